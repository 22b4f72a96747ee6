// Ways of looking: the sheet, one cell large, A|B under a slider; flipping between A and B; the difference from A.
stepwise.look = (() => {
  const { at, make, say, show } = stepwise;
  const { state, cells, view, label, jobOf, ending } = stepwise.comparison;
  let paired = ""; // what the slider shows

  function choose(look) {
    if (!state.shown) return;
    const back = state.look !== look;
    state.look = look;
    if (look === "slider") [state.difference, paired] = [false, ""];
    stepwise.compare.draw();
    // What had the focus may be out of sight now.
    if (back && look === "sheet") requestAnimationFrame(() => focusCell());
    if (back && look === "large") requestAnimationFrame(() => {
      at("#compare-large").focus({ preventScroll: true });
      at("#compare-well").scrollIntoView({ block: "nearest" });
    });
  }

  const focusCell = () => { const cell = at(`#compare-cell-${state.selected}`); if (cell) cell.focus({ preventScroll: false }); };

  function select(number, focus = false) {
    if (number < 0 || number >= cells().length) return;
    state.selected = number;
    stepwise.compare.draw();
    if (focus && state.look === "sheet") requestAnimationFrame(() => {
      focusCell();
      at(`#compare-cell-${number}`).scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }

  function mark(which, number = state.selected) {
    state[which] = number;
    stepwise.compare.draw();
  }

  function flip() {
    if (state.look !== "large") choose("large");
    select(state.selected === state.a ? state.b : state.a);
  }

  function difference(on = !state.difference) {
    if (state.look === "slider") choose("sheet");
    state.difference = on && state.mode === "runs";
    if (state.difference) state.position = null; // it is a difference of finished pictures
    stepwise.compare.draw();
  }

  // For gr.ImageSlider: its value and where it is divided, as the only output of an event. A file of Gradio's is known by its address.
  function pair() {
    const file = (number) => {
      const url = view(cells()[number]).source;
      return url ? { path: url, url: url.startsWith("/") ? location.origin + url : url, orig_name: label(cells()[number]), meta: { _type: "gradio.FileData" } } : null;
    };
    const value = state.shown ? [file(state.a), file(state.b)] : null;
    return [{ __type__: "update", value, slider_position: Number(at("#compare-divide").value) }];
  }

  function paint() {
    const well = at("#compare-well");
    if (!well || !state.shown) return;
    well.dataset.look = state.look;
    const { width, height } = cells()[0].job.request;
    well.style.setProperty("--ratio", width / height);
    document.querySelectorAll('#compare-look input').forEach((input) => { input.checked = input.value === state.look; });
    for (const which of ["a", "b"]) paintChoice(at(`#compare-${which}`), state[which]);
    const button = at("#compare-difference");
    button.setAttribute("aria-pressed", state.difference);
    button.disabled = state.mode !== "runs" || cells().filter((cell) => jobOf(cell).picture).length < 2;
    if (state.look === "large") paintLarge();
    if (state.look === "slider") paintSlider();
  }

  function paintChoice(list, number) {
    const words = cells().map(label);
    if (list.dataset.words !== words.join("\n")) {
      list.dataset.words = words.join("\n");
      list.replaceChildren(...words.map((text, value) => make("option", { value, textContent: text })));
    }
    list.disabled = words.length < 2;
    list.value = number;
  }

  function paintLarge() {
    const cell = cells()[state.selected];
    const { source, there, caption, sentence } = view(cell);
    const large = at("#compare-large");
    const place = at(".frame", large);
    if (source) show(place, source, there);
    else if (at("img", place)) { at("img", place).remove(); place.wanted = null; }
    const mark = [state.selected === state.a ? "A" : "", state.selected === state.b ? "B" : ""].join("");
    say(at("figcaption", large), [label(cell), caption].join("  ·  "));
    say(at(".badges", large), mark);
    say(at(".sentence", large), sentence || "");
    at(".sentence", large).hidden = !sentence;
    large.setAttribute("aria-label", [label(cell), mark, caption, ending(cell, sentence)].filter(Boolean).join(", "));
  }

  function paintSlider() {
    const [{ value: files, slider_position: divide }] = pair();
    const wanted = JSON.stringify([divide, ...files.map((file) => file && file.url)]);
    if (wanted === paired || files.includes(null)) return;
    paired = wanted;
    at("#compare-pair").click();
    say(at("#compare-slider-a"), `A: ${label(cells()[state.a])}`);
    say(at("#compare-slider-b"), `B: ${label(cells()[state.b])}`);
  }

  return { choose, select, mark, flip, difference, pair, paint, focusCell };
})();
