// The page's script: follows jobs over the studio's event stream and draws what they say. The controls are Gradio's.
window.stepwise = (() => {
  const groups = new Set(); // everything that this page has asked for: what Stop stops
  let view = null; // the group that is shown
  let stream = null;
  let drawing = false;

  const at = (selector) => document.querySelector(selector);
  const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
  const ended = (job) => ["finished", "failed", "cancelled"].includes(job.kind);
  const running = () => view && view.jobs.some((job) => !ended(job));

  // --- following ---

  function follow(ticket) {
    if (!ticket || (!ticket.group && !ticket.error)) return;
    if (ticket.error) {
      say(ticket.error, true);
      return;
    }
    groups.add(ticket.group);
    open(ticket.group);
  }

  function arrive(ticket) {
    if (ticket && ticket.group) follow(ticket);
    counted();
    watchEngine();
  }

  function open(group) {
    if (stream) stream.close();
    view = { group, jobs: [], selected: 0, scrub: null };
    stream = new EventSource(`/api/groups/${group}/events`);
    // A reconnect after a lost connection starts from the first event again.
    stream.addEventListener("jobs", (message) => start(JSON.parse(message.data)));
    stream.addEventListener("events", (message) => { JSON.parse(message.data).forEach(happened); draw(); });
    stream.addEventListener("end", () => stream.close());
  }

  function start(jobs) {
    view.jobs = jobs.map((job) => ({ ...job, kind: "queued", frames: [], i: 0, n: job.request.steps, since: null }));
    layout();
    draw();
  }

  function happened(event) {
    const job = view.jobs[event.job];
    job.kind = event.kind;
    if (event.kind === "started") Object.assign(job, { frames: [], i: 0, reason: null });
    else if (event.kind === "step") {
      Object.assign(job, { i: event.i, n: event.n, seconds: event.seconds });
      if (event.preview) job.frames[event.i - 1] = `data:image/jpeg;base64,${event.preview}`;
    } else if (event.kind === "finished") Object.assign(job, { picture: event.picture, seconds: event.seconds });
    else job.reason = event.reason || event.message || null;
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
      const figure = make("figure", { className: "empty", tabIndex: 0, onclick: () => select(number) });
      figure.setAttribute("role", "option");
      figure.onkeydown = (press) => { if (press.key === "Enter" || press.key === " ") { press.preventDefault(); select(number); } };
      figure.append(make("figcaption"));
      return figure;
    }));
    const strip = at("#filmstrip .strip");
    strip.style.setProperty("--ratio", width / height);
    strip.replaceChildren();
  }

  function select(number) {
    view.selected = number;
    view.scrub = null;
    at("#filmstrip .strip").replaceChildren();
    draw();
  }

  function scrub(step) {
    const job = view && view.jobs[view.selected];
    if (!job || !job.frames.length) return;
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
    const scrubbed = chosen && view.scrub !== null ? job.frames[view.scrub] : null;
    const source = scrubbed || (job.picture ? `/pictures/${job.picture}` : job.frames[job.frames.length - 1]);
    figure.setAttribute("aria-selected", chosen);
    if (source) {
      const picture = figure.querySelector("img") || figure.insertBefore(make("img", { draggable: false }), figure.firstChild);
      if (picture.getAttribute("src") !== source) picture.src = source;
      picture.alt = `${job.request.prompt || "picture"}, ${job.picture && !scrubbed ? "finished" : `step ${scrubbed ? view.scrub + 1 : job.i} of ${job.n}`}`;
      figure.classList.remove("empty");
    }
    const sentence = figure.querySelector(".sentence");
    const words = job.kind === "failed" ? job.reason : null;
    if (words && !sentence) figure.append(make("div", { className: "sentence", textContent: words }));
    if (!words && sentence) sentence.remove();
    figure.querySelector("figcaption").textContent = job.kind === "finished" ? `seed ${job.request.seed}` : `${job.i} of ${job.n}`;
  }

  function paintStrip(job) {
    const strip = at("#filmstrip .strip");
    const slider = at("#filmstrip .scrub");
    while (strip.children.length > job.n) strip.lastChild.remove();
    while (strip.children.length < job.n) {
      const number = strip.children.length;
      const cell = make("button", { type: "button", tabIndex: -1, onclick: () => scrub(number) });
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
    const current = strip.children[shown];
    if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
    slider.disabled = job.frames.length < 2;
    slider.max = Math.max(0, job.frames.length - 1);
    slider.value = Math.max(0, shown);
  }

  function paintStatus() {
    const job = view.jobs[view.selected];
    const done = view.jobs.filter((one) => one.kind === "finished").length;
    const stepped = view.jobs.filter((one) => one.kind === "step");
    if (stepped.length) {
      const rate = stepped.reduce((sum, one) => sum + one.i / Math.max(one.seconds, 0.001), 0);
      const left = Math.max(...stepped.map((one) => ((one.n - one.i) * one.seconds) / one.i));
      const lead = job.kind === "step" ? job : stepped[0];
      say(`Step ${lead.i} of ${lead.n} · ${rate.toFixed(1)} steps per second · ${Math.ceil(left)} s left`);
    } else if (running()) {
      const waiting = view.jobs.find((one) => !ended(one));
      say(waiting.reason || (waiting.kind === "started" ? `Step 0 of ${waiting.n}` : "Waiting for its turn."));
    } else if (job.kind === "failed") say(job.reason, true);
    else if (job.kind === "cancelled") say(done ? `Stopped. ${done} of ${view.jobs.length} pictures are finished.` : `Stopped at step ${job.i} of ${job.n}.`);
    else if (view.scrub !== null) say(`Step ${view.scrub + 1} of ${job.n}`);
    else say(done > 1 ? `${done} pictures finished.` : `Finished in ${job.seconds.toFixed(1)} s.`);
    detail(job);
  }

  function detail(job) {
    const { request } = job;
    const recipe = [`seed ${request.seed}`, `${request.steps} steps`, request.sampler, request.schedule, `guidance ${request.guidance}`, `${request.width} × ${request.height}`].join(" · ");
    const line = at("#status-detail");
    if (line.dataset.shown === recipe + job.picture) return;
    line.dataset.shown = recipe + job.picture;
    line.replaceChildren();
    if (job.picture) {
      line.append(make("a", { href: `/pictures/${job.picture}`, download: job.picture.split("/").pop(), textContent: "Download" }), ` · outputs/${job.picture} · `);
    }
    line.append(recipe);
  }

  function say(sentence, wrong = false) {
    const line = at("#status-text");
    if (!line) return;
    line.classList.toggle("error", wrong);
    if (line.textContent !== sentence) line.textContent = sentence;
  }

  // --- doing ---

  async function stop() {
    for (const group of groups) {
      await fetch(`/api/groups/${group}`, { method: "DELETE" }).catch(() => {});
      if (!view || group !== view.group) groups.delete(group);
    }
  }

  let asked = 0;
  async function counted() {
    const box = at("#prompt textarea");
    const line = at("#tokens");
    if (!box || !line) return;
    const number = ++asked;
    const answer = await fetch("/api/tokens", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ prompt: box.value }) }).catch(() => null);
    if (!answer || !answer.ok || number !== asked) return;
    const { count, window: size, windows } = await answer.json();
    line.textContent = windows > 1
      ? `${count} tokens · the encoder's window ends after ${size}; the rest goes into ${windows === 2 ? "a second one" : `${windows - 1} more`}`
      : `${count} of ${size} tokens`;
  }

  async function watchEngine() {
    const answer = await fetch("/api/status").catch(() => null);
    const line = at("#engine-state");
    if (answer && answer.ok && line) {
      const status = await answer.json();
      line.textContent = status.message;
      setTimeout(watchEngine, status.state === "ready" ? 5000 : 700);
    } else {
      if (line) line.textContent = "The studio does not answer. Is it still running?";
      setTimeout(watchEngine, 2000);
    }
  }

  const remember = (names, values) => Object.fromEntries(names.map((name, number) => [name, values[number]]));

  let typing = null;
  document.addEventListener("input", (event) => {
    if (event.target.closest("#prompt")) { clearTimeout(typing); typing = setTimeout(counted, 150); }
    if (event.target.matches("#filmstrip .scrub")) scrub(Number(event.target.value));
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#stop")) stop();
    if (event.target.closest(".ideas")) setTimeout(counted, 200);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); at("#generate").click(); }
    if (event.key === "Escape" && running()) stop();
    if (event.target.matches("#filmstrip .strip") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      const job = view && view.jobs[view.selected];
      if (job) scrub((view.scrub ?? job.frames.length - 1) + (event.key === "ArrowLeft" ? -1 : 1));
    }
  });

  return { follow, arrive, remember };
})();
