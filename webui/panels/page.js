// The page's script: follows jobs over the studio's event stream and draws what they say. The controls are Gradio's.
window.stepwise = (() => {
  const MINE = "stepwise-groups";
  const groups = new Set(JSON.parse(sessionStorage.getItem(MINE) || "[]")); // what this tab has asked for or shows: what Stop stops
  let view = null; // the group that is shown
  let stream = null;
  let drawing = false;
  let refusal = null; // why the last press was refused; stays until something is changed
  let pressing = false; // between a press and its ticket
  let stopping = false; // Stop came before the ticket
  let settings = {}; // control -> value, as last heard of

  const at = (selector) => document.querySelector(selector);
  const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
  const ended = (job) => ["finished", "failed", "cancelled"].includes(job.kind);
  const running = () => view && view.jobs.some((job) => !ended(job));

  // --- following ---

  function follow(ticket) {
    pressing = false;
    if (!ticket || (!ticket.group && !ticket.error)) return;
    if (ticket.error) {
      stopping = false;
      refuse(ticket.error, ticket.field);
      return;
    }
    refuse(null);
    open(ticket.group);
    if (stopping) stop();
  }

  function unanswered() {
    pressing = stopping = false;
    refuse("The studio does not answer. Nothing that you typed is lost: look whether it still runs, then press Generate again.");
  }

  function arrive(ticket, names, values, helps) {
    for (const [field, help] of Object.entries(helps)) explain(field, help);
    remember(names, values);
    if (ticket && ticket.group) open(ticket.group);
    at("#stop").classList.toggle("idle", !running());
    watchEngine();
  }

  function open(group) {
    if (stream) stream.close();
    if (!view || view.group !== group) view = { group, jobs: [], selected: 0, scrub: null };
    groups.add(group);
    keepGroups();
    const source = (stream = new EventSource(`/api/groups/${group}/events`));
    // After a lost connection everything is told again from the first event.
    listen(source, "jobs", start);
    listen(source, "events", (events) => { events.forEach((event) => happened(view.jobs[event.job], event)); draw(); });
    // Older frames, held back while there were newer ones to send.
    listen(source, "frames", (steps) => { steps.forEach((step) => keepFrame(view.jobs[step.job], step)); draw(); });
    // Frames that a slow connection could not take when they were new.
    listen(source, "frames", (events) => { events.forEach((event) => keepFrame(view.jobs[event.job], event)); draw(); });
    listen(source, "end", () => source.close());
    source.onerror = () => { if (source === stream && source.readyState === EventSource.CLOSED) lost(); };
  }

  function listen(source, name, heard) {
    source.addEventListener(name, (message) => { if (source === stream) heard(JSON.parse(message.data)); });
  }

  // The studio answered, but does not know these jobs: another outputs folder, perhaps.
  function lost() {
    if (!view.jobs.length) { view = null; return; }
    view.jobs.filter((job) => !ended(job)).forEach((job) => Object.assign(job, { kind: "failed", reason: "The studio does not know this job any more. Press Generate to start it again." }));
    draw();
  }

  function start(jobs) {
    if (view.jobs.length) return; // told again
    view.jobs = jobs.map((job) => ({ ...job, kind: "queued", frames: [], i: 0, n: job.request.steps }));
    layout();
    draw();
  }

  function happened(job, event) {
    if (event.kind === "started" && job.kind === "interrupted") job.frames = [];
    job.kind = event.kind;
    if (event.kind === "started") Object.assign(job, { i: 0, reason: null });
    else if (event.kind === "step") {
      Object.assign(job, { i: event.i, n: event.n, seconds: event.seconds });
      keepFrame(job, event);
    } else if (event.kind === "finished") Object.assign(job, { picture: event.picture, seconds: event.seconds });
    else job.reason = event.reason || event.message || null;
  }

  function keepFrame(job, event) {
    if (event.preview) job.frames[event.i - 1] = `data:image/jpeg;base64,${event.preview}`;
  }

  // --- drawing ---

  function layout() {
    const { jobs } = view;
    const stage = at("#preview .stage");
    const { width, height } = jobs[0].request;
    const columns = jobs.length === 1 ? 1 : Math.ceil(Math.sqrt(jobs.length * (stage.clientWidth > stage.clientHeight ? 1.4 : 0.8)));
    stage.style.setProperty("--columns", Math.min(columns, jobs.length));
    stage.style.setProperty("--rows", Math.ceil(jobs.length / Math.min(columns, jobs.length)));
    stage.style.setProperty("--ratio", width / height);
    stage.dataset.count = jobs.length;
    stage.replaceChildren(...jobs.map((job, number) => {
      const figure = make("figure", { className: "empty" });
      if (jobs.length > 1) {
        Object.assign(figure, { tabIndex: 0, onclick: () => select(number) });
        figure.setAttribute("role", "option");
        figure.setAttribute("aria-label", `Picture ${number + 1}`);
      }
      figure.onkeydown = (press) => { if (press.key === "Enter" || press.key === " ") { press.preventDefault(); select(number); } };
      figure.append(make("figcaption"));
      return figure;
    }));
    if (jobs.length > 1) {
      stage.setAttribute("role", "listbox");
      stage.setAttribute("aria-label", "Pictures");
    } else ["role", "aria-label"].forEach((name) => stage.removeAttribute(name));
    const strip = at("#filmstrip .strip");
    strip.style.setProperty("--ratio", width / height);
    clearStrip();
  }

  function clearStrip() {
    const strip = at("#filmstrip .strip");
    strip.replaceChildren();
    delete strip.dataset.shown;
  }

  function select(number) {
    view.selected = number;
    view.scrub = null;
    clearStrip();
    draw();
  }

  function scrub(step) {
    const job = view && view.jobs[view.selected];
    if (!job || !job.frames.length || Number.isNaN(step)) return;
    view.scrub = Math.max(0, Math.min(step, job.frames.length - 1));
    if (!ended(job) && view.scrub === job.frames.length - 1) view.scrub = null; // at its end the strip is live again
    draw();
  }

  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => { drawing = false; if (view && view.jobs.length) paint(); });
  }

  function paint() {
    view.jobs.forEach(paintFigure);
    paintStrip(view.jobs[view.selected]);
    paintStatus();
    at("#stop").classList.toggle("idle", !running());
  }

  function paintFigure(job, number) {
    const figure = at("#preview .stage").children[number];
    const chosen = number === view.selected;
    // The last step's place holds the picture itself once there is one.
    const scrubbed = chosen && view.scrub !== null && !(job.picture && view.scrub === job.n - 1) ? job.frames[view.scrub] : null;
    const source = scrubbed || (job.picture ? `/pictures/${job.picture}` : job.frames[job.frames.length - 1]);
    if (view.jobs.length > 1) figure.setAttribute("aria-selected", chosen);
    figure.classList.toggle("scrubbed", Boolean(scrubbed));
    if (source) {
      const picture = figure.querySelector("img") || figure.insertBefore(make("img", { draggable: false, src: source }), figure.firstChild);
      show(figure, picture, source, Boolean(scrubbed));
      picture.alt = `${job.request.prompt || "picture"}, ${job.picture && !scrubbed ? "finished" : `step ${scrubbed ? view.scrub + 1 : job.i} of ${job.n}`}`;
      figure.classList.remove("empty");
    }
    const sentence = figure.querySelector(".sentence");
    const words = job.kind === "failed" ? job.reason : null;
    if (words && !sentence) figure.append(make("div", { className: "sentence", textContent: words }));
    if (!words && sentence) sentence.remove();
    const caption = scrubbed ? `step ${view.scrub + 1} of ${job.n}` : job.kind === "finished" ? `seed ${job.request.seed}` : `${job.i} of ${job.n}`;
    figure.querySelector("figcaption").textContent = caption;
  }

  // A picture that is still being fetched and decoded would be a moment of nothing between two frames; the strip's are there already.
  function show(figure, picture, source, there) {
    if (figure.wanted === source) return;
    figure.wanted = source;
    const swap = () => { if (figure.wanted === source && picture.getAttribute("src") !== source) picture.src = source; };
    if (there) swap();
    else make("img", { src: source }).decode().then(swap, swap);
  }

  function paintStrip(job) {
    const strip = at("#filmstrip .strip");
    const slider = at("#filmstrip .scrub");
    while (strip.children.length > job.n) strip.lastChild.remove();
    while (strip.children.length < job.n) {
      const number = strip.children.length;
      const cell = make("button", { type: "button", id: `frame-${number + 1}`, tabIndex: -1, onclick: () => scrub(number) });
      cell.setAttribute("role", "option");
      cell.setAttribute("aria-label", `Step ${number + 1}`);
      cell.append(make("span", { textContent: number + 1 }));
      strip.append(cell);
    }
    const shown = view.scrub ?? job.frames.length - 1;
    job.frames.forEach((frame, number) => {
      const cell = strip.children[number];
      let picture = cell.querySelector("img");
      if (!picture) { picture = make("img", { alt: "", draggable: false }); cell.prepend(picture); }
      if (picture.getAttribute("src") !== frame) picture.src = frame;
    });
    [...strip.children].forEach((cell, number) => {
      cell.setAttribute("aria-selected", number === shown);
      if (!job.frames[number] && cell.querySelector("img")) cell.querySelector("img").remove();
    });
    // Only when another frame is shown: meanwhile the strip is the person's to move.
    if (strip.dataset.shown !== String(shown)) {
      strip.dataset.shown = shown;
      const current = strip.children[shown];
      if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
      if (current) strip.setAttribute("aria-activedescendant", current.id);
      else strip.removeAttribute("aria-activedescendant");
    }
    slider.disabled = job.frames.length < 2;
    slider.max = Math.max(1, job.n - 1);
    slider.value = Math.max(0, shown);
    slider.setAttribute("aria-valuetext", `Step ${shown + 1} of ${job.n}`);
  }

  function paintStatus() {
    const job = view.jobs[view.selected];
    detail(job);
    if (refusal) return;
    const stepped = view.jobs.filter((one) => one.kind === "step");
    if (stepped.length) {
      const rate = stepped.reduce((sum, one) => sum + one.i / Math.max(one.seconds, 0.001), 0);
      const left = Math.max(...stepped.map((one) => ((one.n - one.i) * one.seconds) / one.i));
      const lead = job.kind === "step" ? job : stepped[0];
      say(`Step ${lead.i} of ${lead.n} · ${rate.toFixed(1)} steps per second · ${Math.ceil(left)} s left`);
      announce(`${Math.floor((4 * lead.i) / lead.n) * 25} percent`);
    } else {
      const [sentence, wrong] = calm(job);
      say(sentence, wrong);
      announce(sentence);
    }
  }

  // What there is to say while no step is being made, and whether it is an error.
  function calm(job) {
    const done = view.jobs.filter((one) => one.kind === "finished").length;
    if (view.scrub !== null && ended(job)) return [`Step ${view.scrub + 1} of ${job.n}`];
    if (running()) {
      const waiting = view.jobs.find((one) => !ended(one));
      return [waiting.reason || (waiting.kind === "started" ? `Step 0 of ${waiting.n}` : "Waiting for its turn.")];
    }
    if (job.kind === "failed") return [job.reason, true];
    if (job.kind === "cancelled") return [done ? `Stopped. ${done} of ${view.jobs.length} pictures are finished.` : `Stopped at step ${job.i} of ${job.n}.`];
    return [done > 1 ? `${done} pictures finished.` : `Finished in ${job.seconds.toFixed(1)} s.`];
  }

  function detail(job) {
    const { request } = job;
    const recipe = [`seed ${request.seed}`, `${request.steps} steps`, request.sampler, request.schedule, `guidance ${request.guidance}`, `${request.width} × ${request.height}`].join(" · ");
    if (at("#status-detail").textContent !== recipe) at("#status-detail").textContent = recipe;
    const line = at("#status-file");
    if (line.dataset.shown === String(job.picture)) return;
    line.dataset.shown = job.picture;
    line.replaceChildren();
    if (!job.picture) return;
    const [href, name] = [`/pictures/${job.picture}`, job.picture.split("/").pop()];
    line.append(make("a", { href, download: name, textContent: "Download" }), " · ", make("a", { href, target: "_blank", rel: "noopener", textContent: `outputs/${job.picture}` }));
  }

  function say(sentence, wrong = false) {
    const line = at("#status-text");
    if (!line) return;
    line.classList.toggle("error", wrong);
    if (line.textContent !== sentence) line.textContent = sentence;
  }

  function announce(sentence) {
    const line = at("#announcement");
    if (line && line.textContent !== sentence) line.textContent = sentence;
  }

  // A sentence about the last press, and the control that it is about; `null` takes both away.
  function refuse(sentence, field = null) {
    refusal = sentence;
    document.querySelectorAll("#create .wrong").forEach((block) => mark(block, false));
    const block = sentence && field && document.getElementById(field);
    if (block) mark(block, true);
    if (sentence) { say(sentence, true); announce(sentence); }
    else if (view && view.jobs.length) draw();
    else say("");
  }

  function mark(block, wrong) {
    block.classList.toggle("wrong", wrong);
    block.querySelectorAll("input, textarea").forEach((input) => {
      if (wrong) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    });
  }

  function explain(field, help) {
    const block = document.getElementById(field);
    if (!block) return;
    block.title = help;
    block.querySelectorAll("input, textarea").forEach((input) => input.setAttribute("aria-description", help));
  }

  // --- doing ---

  async function stop() {
    stopping = pressing;
    const answers = await Promise.all([...groups].map((group) => fetch(`/api/groups/${group}`, { method: "DELETE" }).then(() => group, () => null)));
    if (answers.includes(null)) refuse("The studio does not answer, so nothing was stopped. Look whether it still runs.");
    answers.filter((group) => group && !(view && group === view.group)).forEach((group) => groups.delete(group));
    keepGroups();
  }

  const keepGroups = () => sessionStorage.setItem(MINE, JSON.stringify([...groups].slice(-20)));

  let asked = 0;
  async function counted() {
    const line = at("#tokens");
    const number = ++asked;
    const body = JSON.stringify({ prompt: settings.prompt || "", model: settings.model });
    const answer = await fetch("/api/tokens", { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
    if (number !== asked) return;
    if (!answer || !answer.ok) { line.textContent = ""; return; }
    const { count, window: size, windows } = await answer.json();
    line.textContent = windows > 1
      ? `${count} tokens: ${size} in the encoder's first window, the rest in ${windows === 2 ? "a second" : `${windows - 1} more`}`
      : `${count} of ${size} tokens`;
  }

  async function watchEngine() {
    const answer = await fetch("/api/status").catch(() => null);
    const line = at("#engine-state");
    if (answer && answer.ok && line) {
      const status = await answer.json();
      line.textContent = status.message;
      setTimeout(watchEngine, status.state === "ready" ? 2000 : 700);
    } else {
      if (line) line.textContent = "The studio does not answer. Is it still running?";
      setTimeout(watchEngine, 2000);
    }
  }

  let typing = null;
  function remember(names, values) {
    const before = settings;
    settings = Object.fromEntries(names.map((name, number) => [name, values[number]]));
    // The seed is written by the studio too; whatever else changes answers a refusal.
    if (refusal && names.some((name) => name !== "seed" && settings[name] !== before[name])) refuse(null);
    if (settings.prompt !== before.prompt || settings.model !== before.model) {
      clearTimeout(typing);
      typing = setTimeout(counted, 150);
    }
    return settings;
  }

  const frameKeys = { ArrowLeft: (shown) => shown - 1, ArrowRight: (shown) => shown + 1, Home: () => 0, End: () => Infinity };

  document.addEventListener("input", (event) => {
    if (event.target.matches("#filmstrip .scrub")) scrub(Number(event.target.value));
    if (refusal && event.target.closest("#seed")) refuse(null);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#generate")) {
      pressing = true;
      stopping = false;
      fetch("/api/status").catch(unanswered); // Gradio says nothing when there is nobody to answer
    }
    if (event.target.closest("#stop")) stop();
  });
  // While capturing: a list that Escape is about to close is still open.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); at("#generate").click(); }
    if (event.key === "Escape" && (running() || pressing) && event.target.getAttribute("aria-expanded") !== "true") stop();
    if (event.target.matches("#filmstrip .strip, #filmstrip .strip *") && event.key in frameKeys) {
      event.preventDefault();
      const job = view && view.jobs[view.selected];
      if (job) scrub(frameKeys[event.key](view.scrub ?? job.frames.length - 1));
    }
  }, true);
  // A tab in the background gives its connection back: a browser has six for all tabs of the studio.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && stream) stream.close();
    else if (!document.hidden && view && (running() || !view.jobs.length)) open(view.group);
  });

  return { follow, unanswered, arrive, remember };
})();
