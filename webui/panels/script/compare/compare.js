// The Compare tab: from a press to cells that are live, and back to them after a reload.
stepwise.compare = (() => {
  const { at, say, ask, painter, ended, sheet, time, look, lens, curve, shelf } = stepwise;
  const { state, set, cells, jobs, jobOf, running, label, overSteps, longest } = stepwise.comparison;
  const SHOWN = "stepwise-comparison"; // what this window shows
  let arrived = null; // what there is to show as soon as the tab is there
  let sent = null; // settings on their way into the controls
  let wasRunning = false;
  let sizing = null;

  const form = stepwise.form("compare", "compare-", () => { if (state.shown) draw(); else form.tell(""); });
  const draw = painter(paint);
  const feed = stepwise.feed(() => stepwise.tabs.shown() === "compare", {
    jobs: (all) => { stepwise.comparison.follow(all); draw(); },
    news: (all) => { stepwise.comparison.follow(all); draw(); },
    lost: () => {},
  });

  // --- what is shown ---

  async function open(id) {
    const answer = await ask(`/api/comparisons/${id}`);
    if (answer.ok) shown(answer.value);
    else { sessionStorage.removeItem(SHOWN); form.refuse(answer.sentence); }
    return answer.ok;
  }

  function shown(comparison) {
    const other = set(comparison);
    sessionStorage.setItem(SHOWN, comparison.id);
    wasRunning = true;
    if (other) {
      form.refuse(null);
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
    set(answer.value);
    if (overSteps()) curve.load();
    shelf.refresh();
    draw();
  }

  function paintStatus() {
    const cell = cells()[state.selected];
    say(at("#compare-status-detail"), `${label(cell)} · ${stepwise.recipe(jobOf(cell).request)}`);
    if (form.refused()) return;
    const stepped = jobs().filter((job) => job.kind === "step");
    if (stepped.length) {
      const rate = stepped.reduce((sum, job) => sum + job.i / Math.max(job.seconds, 0.001), 0);
      const left = Math.max(...stepped.map((job) => ((job.n - job.i) * job.seconds) / Math.max(1, job.i)));
      const [made, all] = ["i", "n"].map((name) => jobs().reduce((sum, job) => sum + job[name], 0));
      form.tell(`Step ${made} of ${all} in all · ${rate.toFixed(1)} steps per second · ${Math.ceil(left)} s left`);
      form.announce(`${Math.floor((4 * made) / all) * 25} percent`);
    } else {
      const [sentence, wrong] = calm();
      form.tell(sentence, wrong);
      form.announce(sentence);
    }
  }

  // What there is to say while no step is being made, and whether it is an error.
  function calm() {
    const count = (kind) => jobs().filter((job) => job.kind === kind).length;
    if (running()) {
      const waiting = jobs().find((job) => !ended(job));
      return [waiting.reason || "Waiting for its turn."];
    }
    const [all, done, failed, stopped] = [jobs().length, count("finished"), count("failed"), count("cancelled")];
    const rest = [failed ? `${failed} failed` : "", stopped ? `${stopped} stopped` : ""].filter(Boolean).join(", ");
    if (!rest) return [all === 1 ? "Finished." : `All ${all} cells are finished.`];
    return [`${done} of ${all} cells ${done === 1 ? "is" : "are"} finished, ${rest}.`, failed > 0];
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

  // --- asking ---

  function follow(ticket) {
    if (!ticket) return;
    if (ticket.ask) { question(ticket.ask); return; }
    question(null);
    if (ticket.error) form.refuse(ticket.error, control(ticket.field));
    else if (ticket.id) { form.refuse(null); open(ticket.id); }
  }

  // What varies is set above, not in the control of its own name.
  function control(field) {
    const axis = ["columns", "rows"].find((name) => field && form.settings()[name] === field);
    return axis ? `${axis}-${["prompt", "negative"].includes(field) ? "lines" : "values"}` : field;
  }

  function question(words) {
    const place = at("#compare-question");
    if (!place) return;
    place.hidden = !words;
    if (words) {
      say(at("p", place), words);
      at("#compare-yes").focus();
    }
  }

  const unanswered = () => form.refuse("The studio does not answer. Nothing that you typed is lost: look whether it still runs, then press Generate again.");

  // The size of the job, as soon as nobody has changed anything for a moment.
  function remember(names, values) {
    clearTimeout(sizing);
    sizing = setTimeout(() => { const button = at("#compare-estimate"); if (button) button.click(); }, 250);
    form.remember(names, values);
    vary(form.settings());
  }

  function sized(ticket) {
    const line = at("#compare-size");
    if (!line || !ticket) return;
    line.classList.toggle("error", Boolean(ticket.error));
    say(line, ticket.error || ticket.sentence);
    question(null);
  }

  // A setting that varies has its values above: its own control would say nothing.
  function vary(settings) {
    const varied = [settings.columns, settings.rows];
    for (const name of ["prompt", "negative", "steps", "guidance", "sampler", "schedule", "seed", "seed-mode", "model"]) {
      const block = form.own(name);
      if (block) block.classList.toggle("varied", varied.includes(name.replace("-mode", "")));
    }
    // Gradio names the crosses of its chips by their place in the list.
    document.querySelectorAll("#compare .token").forEach((chip) => { at(".token-remove", chip).title = `Remove ${at("span", chip).textContent}`; });
  }

  async function doing(path, body = {}, method = "POST") {
    const answer = await ask(`/api/comparisons/${state.shown.id}${path}`, method, body);
    if (answer.ok) shown(answer.value);
    else form.refuse(answer.sentence);
    return answer.ok;
  }

  async function stop() {
    if (!state.shown) return;
    const answer = await ask(`/api/comparisons/${state.shown.id}`, "DELETE");
    if (!answer.ok) form.refuse(answer.sentence);
  }

  async function extend(text) {
    const numeric = ["steps", "guidance", "seed"].includes(state.shown.axes[0].field);
    const lines = ["prompt", "negative"].includes(state.shown.axes[0].field);
    const pieces = lines ? [text] : text.split(",").map((piece) => piece.trim()).filter(Boolean);
    const values = numeric ? pieces.map((piece) => (Number.isNaN(Number(piece)) ? piece : Number(piece))) : pieces;
    if (await doing("/columns", { values })) at("#compare-add input").value = "";
  }

  // --- settings that come from elsewhere ---

  // A request's fields, or what the controls of Create show; `axes` where they come from a comparison.
  function take(settings, axes = null) {
    // What is left open is left as it is.
    sent = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null));
    if (!("seed-mode" in sent)) sent["seed-mode"] = "Keep";
    (axes || []).concat(axes && axes.length < 2 ? [{ field: "", values: [] }] : []).forEach(({ field, values }, number) => {
      const name = ["columns", "rows"][number];
      Object.assign(sent, { [name]: field, [`${name}-values`]: values.map(String), [`${name}-lines`]: values.map(String).join("\n") });
    });
    stepwise.tabs.choose("compare");
    there().then(() => at("#compare-take").click());
  }

  // --- arriving ---

  // A tab is laid out when it is opened for the first time.
  const there = () => new Promise((done) => {
    const look = () => (at("#compare-well") && at("#compare-take") && at("#compare-foot") ? done() : requestAnimationFrame(look));
    look();
  });

  function arrive(names, values, helps) {
    arrived = { helps };
    remember(names, values);
    stepwise.arrive("compare");
  }

  async function mount() {
    if (!arrived) return;
    const { helps } = arrived;
    arrived = null;
    await there();
    form.explain(helps);
    vary(form.settings());
    form.count();
    new ResizeObserver(() => { sheet.fit(); curve.paint(); }).observe(at("#compare-well"));
    at("#compare-estimate").click();
    lens.reset();
    await shelf.refresh();
    const id = sessionStorage.getItem(SHOWN) || (await shelf.newest());
    if (id && !state.shown) open(id);
    else if (state.shown) shown(state.shown);
  }

  stepwise.tabs.onChange((name) => { if (name === "compare") mount(); });

  return { follow, unanswered, arrive, remember, kept: form.kept, sized, take, taken: () => [sent], draw, mode, stop, extend, open, doing, question, settings: form.settings };
})();
