// What mouse, fingers and keys do in the Compare tab.
(() => {
  const { at, asking, compare, look, lens, time, sheet, shelf } = stepwise;
  const { state, running } = stepwise.comparison;
  const here = (event) => event.target.closest && event.target.closest("#compare");
  const typing = (target) => target.matches("input:not([type=range]):not([type=radio]), textarea, select, [contenteditable], [role=combobox]");

  const presses = {
    "#compare-stop": () => compare.stop(),
    "#compare-yes": () => { asking.question(null); at("#compare-sure").click(); },
    "#compare-no": () => { asking.question(null); at("#compare-generate").focus(); },
    "#compare-again": () => compare.doing("/again"),
    "#compare-use": () => asking.take(state.shown.request, state.shown.axes),
    "#compare-play": () => time.play(),
    "#compare-flip": () => look.flip(),
    "#compare-difference": () => look.difference(),
    "#compare-out": () => lens.zoom(1 / 1.5),
    "#compare-in": () => lens.zoom(1.5),
    "#compare-zoom": () => lens.reset(),
    "#compare-full": () => (document.fullscreenElement ? document.exitFullscreen() : at("#compare-well").requestFullscreen().catch(() => {})),
  };

  document.addEventListener("click", (event) => {
    if (!here(event)) return;
    if (event.target.closest("#compare-generate")) fetch("/api/status").catch(asking.unanswered); // Gradio says nothing when there is nobody to answer
    const cell = event.target.closest("#compare-sheet .cell");
    if (cell && !lens.dragged()) {
      look.select(Number(cell.dataset.number));
      look.choose("large");
    }
    const button = event.target.closest("button");
    const press = button && !button.disabled && presses[`#${button.id}`];
    if (press) press();
  });

  document.addEventListener("change", (event) => {
    const { id, name, value } = event.target;
    if (name === "compare-mode") compare.mode(value);
    if (name === "compare-look") look.choose(value);
    if (name === "compare-by") time.by(value);
    if (id === "compare-a" || id === "compare-b") look.mark(id.slice(-1), Number(value));
    if (id === "compare-earlier" && value) compare.open(value);
  });
  document.addEventListener("focusin", (event) => { if (event.target.id === "compare-earlier") shelf.refresh(); });
  document.addEventListener("input", ({ target }) => {
    if (target.id === "compare-divide") compare.draw();
    if (target.id !== "compare-scrub") return;
    if (time.playing()) time.pause();
    time.move(Number(target.value));
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "compare-add") return;
    event.preventDefault();
    const text = at("input", event.target).value.trim();
    if (text) compare.extend(text);
  });
  window.addEventListener("resize", sheet.fit);
  // At phone width the cell that has been swiped to is the chosen one.
  document.addEventListener("scrollend", (event) => {
    if (event.target.id !== "compare-sheet" || getComputedStyle(event.target).scrollSnapType === "none") return;
    const middle = event.target.getBoundingClientRect().left + event.target.clientWidth / 2;
    const far = (cell) => { const box = cell.getBoundingClientRect(); return Math.abs(box.left + box.width / 2 - middle); };
    const row = [...event.target.querySelectorAll(".cell")];
    const nearest = row.reduce((one, other) => (far(other) < far(one) ? other : one), row[0]);
    if (nearest && far(nearest) + 1 < far(row[state.selected])) look.select(Number(nearest.dataset.number));
  }, true);

  const keys = {
    ArrowLeft: () => look.select(sheet.neighbour(-1, 0), true),
    ArrowRight: () => look.select(sheet.neighbour(1, 0), true),
    ArrowUp: () => look.select(sheet.neighbour(0, -1), true),
    ArrowDown: () => look.select(sheet.neighbour(0, 1), true),
    a: () => look.mark("a"),
    b: () => look.mark("b"),
    f: () => look.flip(),
    d: () => look.difference(),
    s: () => look.choose(state.look === "slider" ? "sheet" : "slider"),
    " ": () => time.play(),
    Enter: () => look.choose("large"),
    "+": () => lens.zoom(1.5),
    "-": () => lens.zoom(1 / 1.5),
    0: () => lens.reset(),
  };
  const onButtons = ["Enter", " "];

  document.addEventListener("keydown", (event) => {
    if (stepwise.tabs.shown() !== "compare" || !state.shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    if (target !== document.body && !here(event)) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const press = keys[name];
    if (!press || typing(target)) return;
    // A button, a slider and a choice have keys of their own.
    if (onButtons.includes(name) && target.closest("button, a, summary, [role=button], [role=tab]")) return;
    if (name.startsWith("Arrow") && !target.closest("#compare-sheet, #compare-large") && target !== document.body) return;
    if (name === " " && target.matches("input")) return;
    event.preventDefault();
    press();
  });

  stepwise.keys.name("compare", () => at("#compare-generate").click(), () => {
    const asked = at("#compare-question");
    if (asked && !asked.hidden) asking.question(null);
    else if (state.look !== "sheet") look.choose("sheet");
    else if (lens.zoomed()) lens.reset();
    else if (state.difference) look.difference(false);
    else if (running()) compare.stop();
  });
})();
