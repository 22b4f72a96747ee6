// All cells side by side: where they are, what they show, which of them is chosen.
stepwise.sheet = (() => {
  const { at, make, say, show } = stepwise;
  const { state, cells, view, label, twoAxes, ending } = stepwise.comparison;
  const [GAP, HEAD, ROW_HEAD] = [10, 24, 92];
  const sheet = () => at("#compare-sheet");
  let columns = 1; // cells side by side

  function layout() {
    const place = sheet();
    const { shown } = state;
    if (!place || !shown) return;
    const heads = twoAxes() ? [make("span", { className: "corner" }), ...shown.columns.map((words) => head(words, "column-head"))] : [];
    const rows = shown.rows.map((words, row) => {
      const across = cells().filter((cell) => cell.row === row).sort((one, other) => one.column - other.column);
      return [...(twoAxes() ? [head(words, "row-head")] : []), ...across.map(frame)];
    });
    place.dataset.axes = shown.axes.length;
    place.replaceChildren(...heads, ...rows.flat());
    fit();
  }

  const head = (words, className) => {
    const made = make("span", { className: `head ${className}`, textContent: words, title: words });
    made.setAttribute("aria-hidden", "true"); // every cell says it too
    return made;
  };

  function frame(cell) {
    const number = cells().indexOf(cell);
    const words = label(cell);
    const made = make("figure", { className: "cell", id: `compare-cell-${number}` });
    made.dataset.number = number;
    made.setAttribute("role", "option");
    made.append(
      make("span", { className: "head", textContent: words, title: words }),
      make("div", { className: "frame" }),
      make("span", { className: "badges" }),
      make("figcaption"),
      make("div", { className: "sentence", hidden: true }),
    );
    return made;
  }

  // As large as the place allows; one axis runs over several lines where that makes the cells clearly larger.
  function fit() {
    const place = sheet();
    if (!place || !state.shown || !place.clientWidth) return;
    const { width, height } = state.shown.cells[0].job.request;
    const ratio = width / height;
    const count = state.shown.columns.length;
    const rows = state.shown.rows.length;
    const [wide, high] = [place.clientWidth - 2 * GAP, Math.max(300, window.innerHeight - 420)];
    const size = (across, down, left) => Math.min((wide - left - (across - 1) * GAP) / across, ((high - down * (HEAD + GAP)) / down) * ratio);
    let edge;
    if (twoAxes()) {
      columns = count;
      edge = Math.max(96, Math.min((wide - ROW_HEAD - count * GAP) / count, Math.max(150, size(1, rows, 0))));
    } else {
      const choices = state.shown.columns.map((_, k) => ({ across: k + 1, edge: size(k + 1, Math.ceil(count / (k + 1)), 0) }));
      const best = choices.reduce((one, other) => (other.edge * (other.across === count ? 1.3 : 1) >= one.edge ? other : one));
      [columns, edge] = [best.across, Math.max(96, best.edge)];
    }
    place.style.setProperty("--columns", columns);
    place.style.setProperty("--across", count);
    place.style.setProperty("--cell", `${Math.floor(edge)}px`);
    place.style.setProperty("--ratio", ratio);
  }

  function paint() {
    const place = sheet();
    if (!place || !state.shown) return;
    place.querySelectorAll(".cell").forEach((made) => paintCell(made, Number(made.dataset.number)));
    place.setAttribute("aria-label", state.difference ? "Cells, as their difference from A" : "Cells");
  }

  function paintCell(made, number) {
    const cell = cells()[number];
    const { source, there, caption, sentence } = view(cell);
    const place = at(".frame", made);
    if (source) show(place, source, there);
    else if (at("img", place)) { at("img", place).remove(); place.wanted = null; }
    const chosen = number === state.selected;
    made.tabIndex = chosen ? 0 : -1;
    made.setAttribute("aria-selected", chosen);
    const marks = [number === state.a ? "A" : "", number === state.b ? "B" : ""];
    const name = [label(cell), ...marks, ending(cell, sentence)].filter(Boolean).join(", ");
    if (made.getAttribute("aria-label") !== name) made.setAttribute("aria-label", name);
    say(at("figcaption", made), caption);
    say(at(".badges", made), marks.join(""));
    say(at(".sentence", made), sentence || "");
    at(".sentence", made).hidden = !sentence;
    made.classList.toggle("empty", !source);
  }

  // The cell `right` columns and `down` lines from the chosen one, or none.
  function neighbour(right, down) {
    const all = cells();
    const from = all[state.selected];
    if (!from) return -1;
    if (twoAxes()) return all.findIndex((cell) => cell.column === from.column + right && cell.row === from.row + down);
    return all.findIndex((cell) => cell.column === from.column + right + down * columns);
  }

  return { layout, fit, paint, neighbour };
})();
