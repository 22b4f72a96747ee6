// The Compare tab: from a press to cells that are live, and back to them after a reload.
stepwise.compare = (() => {
  const { at, say, ask, painter, ended, sheet, time, look, lens, curve, shelf, asking } = stepwise;
  const { form } = asking;
  const { state, set, cells, jobs, jobOf, running, label, overSteps, longest } = stepwise.comparison;
  const SHOWN = "stepwise-comparison"; // what this window shows
  let arrived = null; // what there is to show as soon as the tab is there
  let wasRunning = false;
  let opened = 0; // comparisons that were asked for: the last one is shown, however late the others come

  const draw = painter(paint);
  const feed = stepwise.feed(() => stepwise.tabs.shown() === "compare", {
    jobs: (all) => { stepwise.comparison.follow(all); draw(); },
    news: (all) => { stepwise.comparison.follow(all); draw(); },
    told: (sentence) => { form.tell(sentence, true); form.announce(sentence); },
  });

  const calm = () => { if (state.shown) draw(); else form.tell(""); };

  // --- what is shown ---

  async function open(id) {
    const number = ++opened;
    const answer = await ask(`/api/comparisons/${id}`);
    if (number !== opened) return;
    if (answer.ok) shown(answer.value);
    else form.refuse(answer.sentence);
  }

  function shown(comparison) {
    const other = set(comparison);
    sessionStorage.setItem(SHOWN, comparison.id);
    wasRunning = true;
    form.refuse(null);
    if (other) {
      lens.reset();
      curve.clear(overSteps() ? "The curve comes when all cells are finished." : "There is a curve where step counts vary.");
    }
    sheet.layout();
    feed.open(comparison.group);
    shelf.refresh();
    paintMode();
    draw();
  }

  function paint() {
    if (!state.shown || !at("#compare-well")) return;
    sheet.paint();
    look.paint();
    time.paint();
    shelf.paint();
    at("#compare-stop").classList.toggle("idle", !running());
    if (wasRunning && !running()) finished();
    paintStatus();
  }

  // Once, when the last cell has ended: its picture has a name now, and the curve can be had.
  async function finished() {
    wasRunning = false;
    const { id } = state.shown;
    const answer = await ask(`/api/comparisons/${id}`);
    if (!answer.ok || state.shown.id !== id) return;
    // Columns may have been added meanwhile: here, and the answer is older than they; or in another window.
    const more = answer.value.cells.length - cells().length;
    if (more > 0) shown(answer.value);
    if (more) return;
    set(answer.value);
    paintMode();
    if (overSteps()) curve.load();
    shelf.refresh();
    at("#compare-estimate").click(); // this run has taught something about the machine
    draw();
  }

  function paintStatus() {
    const cell = cells()[state.selected];
    say(at("#compare-status-detail"), `${name(cell)}${stepwise.recipe(jobOf(cell).request)}`);
    if (form.refused()) return;
    const stepped = jobs().filter((job) => job.kind === "step");
    if (stepped.length) {
      const rate = stepped.reduce((sum, job) => sum + job.i / Math.max(job.seconds, 0.001), 0);
      const left = Math.max(...stepped.map((job) => ((job.n - job.i) * job.seconds) / Math.max(1, job.i)));
      const [made, all] = ["i", "n"].map((name) => jobs().reduce((sum, job) => sum + job[name], 0));
      form.tell(`Step ${made} of ${all} in all · ${rate.toFixed(1)} steps per second · ${Math.ceil(left)} s left`);
      form.announce(`${Math.floor((4 * made) / all) * 25} percent`);
    } else {
      const [sentence, wrong] = rest();
      form.tell(sentence, wrong);
      form.announce(sentence);
    }
  }

  // What a recipe does not say of itself.
  const name = (cell) => (state.shown.axes.some((axis) => ["prompt", "negative", "model"].includes(axis.field)) ? `${label(cell)} · ` : "");

  // What there is to say while no step is being made, and whether it is an error.
  function rest() {
    const count = (kind) => jobs().filter((job) => job.kind === kind).length;
    if (running()) {
      const waiting = jobs().find((job) => !ended(job));
      return [waiting.reason || "Waiting for its turn."];
    }
    const [all, done, failed, stopped] = [jobs().length, count("finished"), count("failed"), count("cancelled")];
    const others = [failed ? `${failed} failed` : "", stopped ? `${stopped} stopped` : ""].filter(Boolean).join(", ");
    if (!others) return [all === 1 ? "Finished." : `All ${all} cells are finished.`];
    return [`${done} of ${all} cells ${done === 1 ? "is" : "are"} finished, ${others}.`, failed > 0];
  }

  // "Finished in k steps" or "step k of one run": why they differ, with this comparison's own numbers.
  function paintMode() {
    const bar = at("#compare-mode");
    if (!bar) return;
    bar.disabled = !overSteps();
    bar.querySelectorAll("input").forEach((input) => { input.checked = input.value === state.mode; });
    say(at("#compare-why"), overSteps() ? why() : "");
    at("#compare-sheet").dataset.mode = state.mode;
  }

  function why() {
    const most = longest(cells()[0]).n;
    const less = [...new Set(cells().map((cell) => cell.values.steps))].filter((steps) => steps < most);
    if (!less.length) return "";
    const k = less[Math.floor((less.length - 1) / 2)];
    return `A run of ${k} takes all of the noise away in ${k} steps; step ${k} of a run of ${most} still has ${most - k} to go, so the two are different pictures.`;
  }

  function mode(kind) {
    state.mode = kind;
    if (kind === "frames") [state.difference, state.position] = [false, null];
    paintMode();
    draw();
  }

  // --- doing ---

  async function doing(path, body = {}, method = "POST") {
    const answer = await ask(`/api/comparisons/${state.shown.id}${path}`, method, body);
    if (answer.ok) shown(answer.value);
    else form.refuse(answer.sentence);
    return answer.ok;
  }

  async function stop() {
    if (!state.shown) return;
    const answer = await ask(`/api/comparisons/${state.shown.id}`, "DELETE");
    form.refuse(answer.ok ? null : answer.sentence);
  }

  async function extend(text) {
    const { field } = state.shown.axes[0];
    const numeric = ["steps", "guidance", "seed"].includes(field);
    // One at a time: these may hold commas.
    const whole = ["prompt", "negative", "model"].includes(field);
    const pieces = whole ? [text.trim()] : text.split(",").map((piece) => piece.trim()).filter(Boolean);
    const values = numeric ? pieces.map((piece) => (Number.isNaN(Number(piece)) ? piece : Number(piece))) : pieces;
    if (await doing("/columns", { values })) at("#compare-add input").value = "";
  }

  // --- arriving ---

  // A tab is laid out when it is opened for the first time.
  const there = () => new Promise((done) => {
    const look = () => (at("#compare-well") && at("#compare-take") && at("#compare-foot") ? done() : requestAnimationFrame(look));
    look();
  });

  function arrive(names, values, helps) {
    arrived = { helps };
    asking.remember(names, values);
    stepwise.arrive("compare");
  }

  async function mount() {
    if (!arrived) return;
    const { helps } = arrived;
    arrived = null;
    await there();
    form.explain(helps);
    asking.vary(form.settings());
    form.count();
    new ResizeObserver(() => { sheet.fit(); curve.paint(); }).observe(at("#compare-well"));
    at("#compare-estimate").click();
    lens.reset();
    const entries = await shelf.refresh();
    // What this window showed; if that is gone, or in a new window, the newest.
    const last = entries.find((entry) => entry.id === sessionStorage.getItem(SHOWN)) || entries[0];
    if (state.shown) shown(state.shown);
    else if (last) open(last.id);
  }

  stepwise.tabs.onChange((name) => { if (name === "compare") mount(); });

  return { open, draw, calm, mode, stop, extend, doing, there, arrive, remember: asking.remember, kept: form.kept };
})();
