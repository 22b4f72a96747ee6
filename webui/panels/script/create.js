// The Create tab: the pictures of the last press, every step on their way, and the strip of steps under them.
stepwise.create = (() => {
  const { at, make, say, painter, show, ended } = stepwise;
  const MINE = "stepwise-groups";
  const ENDED = { finished: "finished", failed: "failed", cancelled: "stopped" };
  const groups = new Set(JSON.parse(sessionStorage.getItem(MINE) || "[]")); // what this tab has asked for or shows: what Stop stops
  let selected = 0;
  let scrubbed = null; // the step that is shown instead of the newest
  let pressing = false; // between a press and its ticket
  let stopping = false; // Stop came before the ticket

  const form = stepwise.form("create", "", () => { if (feed.jobs().length) draw(); else form.tell(""); });
  const draw = painter(() => { if (feed.jobs().length) paint(feed.jobs()); });
  const feed = stepwise.feed(() => stepwise.tabs.shown() === "create", {
    jobs: () => { [selected, scrubbed] = [0, null]; layout(feed.jobs()); draw(); },
    news: draw,
    told: (sentence) => { form.tell(sentence, true); form.announce(sentence); },
  });

  // --- following ---

  function follow(ticket) {
    pressing = false;
    if (!ticket || (!ticket.group && !ticket.error)) return;
    if (ticket.error) {
      stopping = false;
      form.refuse(ticket.error, ticket.field);
      return;
    }
    form.refuse(null);
    open(ticket.group);
    if (stopping) stop();
  }

  function unanswered() {
    pressing = stopping = false;
    form.refuse("The studio does not answer. Nothing that you typed is lost: look whether it still runs, then press Generate again.");
  }

  function arrive(ticket, names, values, helps) {
    form.explain(helps);
    form.remember(names, values);
    if (ticket && ticket.group) open(ticket.group);
    at("#stop").classList.toggle("idle", !feed.running());
    stepwise.arrive("create");
  }

  function open(group) {
    groups.add(group);
    keepGroups();
    feed.open(group);
  }

  const keepGroups = () => sessionStorage.setItem(MINE, JSON.stringify([...groups].slice(-20)));

  // --- drawing ---

  // Columns at which `count` pictures of one shape are shown largest.
  function largest(count, stage, ratio) {
    const wide = (columns) => Math.min(stage.clientWidth / columns, (stage.clientHeight / Math.ceil(count / columns)) * ratio);
    return [...Array(count).keys()].map((number) => number + 1).reduce((best, columns) => (wide(columns) > wide(best) ? columns : best));
  }

  function layout(jobs) {
    const stage = at("#preview .stage");
    const { width, height } = jobs[0].request;
    const columns = largest(jobs.length, stage, width / height);
    stage.style.setProperty("--columns", columns);
    stage.style.setProperty("--rows", Math.ceil(jobs.length / columns));
    stage.style.setProperty("--ratio", width / height);
    stage.dataset.count = jobs.length;
    stage.replaceChildren(...jobs.map((job, number) => {
      const figure = make("figure", { className: "empty" });
      if (jobs.length > 1) {
        Object.assign(figure, { tabIndex: 0, onclick: () => select(number) });
        figure.setAttribute("role", "option");
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
    [selected, scrubbed] = [number, null];
    clearStrip();
    draw();
  }

  function scrub(step) {
    const job = feed.jobs()[selected];
    if (!job || !job.frames.length || Number.isNaN(step)) return;
    scrubbed = Math.max(0, Math.min(step, job.frames.length - 1));
    if (!ended(job) && scrubbed === job.frames.length - 1) scrubbed = null; // at its end the strip is live again
    draw();
  }

  function paint(jobs) {
    jobs.forEach(paintFigure);
    paintStrip(jobs[selected]);
    paintStatus(jobs);
    at("#stop").classList.toggle("idle", !feed.running());
  }

  function paintFigure(job, number) {
    const figure = at("#preview .stage").children[number];
    const several = feed.jobs().length > 1;
    const chosen = number === selected;
    // The last step's place holds the picture itself once there is one.
    const early = chosen && scrubbed !== null && !(job.picture && scrubbed === job.n - 1) ? job.frames[scrubbed] : null;
    const source = early || (job.picture ? `/pictures/${job.picture}` : job.frames[job.frames.length - 1]);
    if (several) {
      figure.setAttribute("aria-selected", chosen);
      figure.setAttribute("aria-label", [`Picture ${number + 1}`, ENDED[job.kind]].filter(Boolean).join(", "));
    }
    figure.classList.toggle("scrubbed", Boolean(early));
    if (source) {
      show(figure, source, Boolean(early));
      at("img", figure).alt = `${(job.drawn || job.request).prompt || "picture"}, ${job.picture && !early ? "finished" : `step ${early ? scrubbed + 1 : job.i} of ${job.n}`}`;
      figure.classList.remove("empty");
    }
    const sentence = at(".sentence", figure);
    const words = job.kind === "failed" ? job.reason : null;
    if (words && !sentence) figure.append(make("div", { className: "sentence", textContent: words }));
    if (!words && sentence) sentence.remove();
    const caption = early ? `step ${scrubbed + 1} of ${job.n}` : job.kind === "finished" ? `seed ${job.request.seed}` : `${job.i} of ${job.n}`;
    say(at("figcaption", figure), caption);
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
    const shown = scrubbed ?? job.frames.length - 1;
    job.frames.forEach((frame, number) => {
      const cell = strip.children[number];
      let picture = at("img", cell);
      if (!picture) { picture = make("img", { alt: "", draggable: false }); cell.prepend(picture); }
      if (picture.getAttribute("src") !== frame) picture.src = frame;
    });
    [...strip.children].forEach((cell, number) => {
      cell.setAttribute("aria-selected", number === shown);
      if (!job.frames[number] && at("img", cell)) at("img", cell).remove();
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

  function paintStatus(jobs) {
    const job = jobs[selected];
    detail(job);
    if (form.refused()) return;
    const stepped = jobs.filter((one) => one.kind === "step");
    if (stepped.length) {
      const rate = stepped.reduce((sum, one) => sum + one.i / Math.max(one.seconds, 0.001), 0);
      const left = Math.max(...stepped.map((one) => ((one.n - one.i) * one.seconds) / one.i));
      const lead = job.kind === "step" ? job : stepped[0];
      form.tell(`Step ${lead.i} of ${lead.n} · ${rate.toFixed(1)} steps per second · ${Math.ceil(left)} s left`);
      form.announce(`${Math.floor((4 * lead.i) / lead.n) * 25} percent`);
    } else {
      const [sentence, wrong] = calm(jobs, job);
      form.tell(sentence, wrong);
      form.announce(sentence);
    }
  }

  // What there is to say while no step is being made, and whether it is an error.
  function calm(jobs, job) {
    if (scrubbed !== null && ended(job)) return [`Step ${scrubbed + 1} of ${job.n}`];
    if (feed.running()) {
      const waiting = jobs.find((one) => !ended(one));
      return [waiting.reason || (waiting.kind === "started" ? `Step 0 of ${waiting.n}` : "Waiting for its turn.")];
    }
    const [all, done, failed, stopped] = [jobs.length, ...["finished", "failed", "cancelled"].map((kind) => jobs.filter((one) => one.kind === kind).length)];
    if (all === 1 && failed) return [job.reason, true];
    if (all === 1) return [stopped ? `Stopped at step ${job.i} of ${job.n}.` : `Finished in ${job.seconds.toFixed(1)} s.`];
    const others = [failed ? `${failed} failed` : "", stopped ? `${stopped} stopped` : ""].filter(Boolean).join(", ");
    if (!others) return [`${all} pictures finished.`];
    return [`${done} of ${all} pictures ${done === 1 ? "is" : "are"} finished, ${others}.${job.kind === "failed" ? ` ${job.reason}` : ""}`, failed > 0];
  }

  function detail(job) {
    const { request } = job;
    const drawn = job.drawn ? job.drawn.prompt : "";
    const about = at("#status-detail");
    if (about) about.title = drawn;
    say(about, stepwise.recipe(request) + (drawn && drawn !== request.prompt ? ` · ${drawn}` : ""));
    const line = at("#status-file");
    // While the disk refuses a finished picture, it is kept in memory and can be had from there.
    const shown = job.picture || (job.download ? `held ${job.id}` : "none");
    if (line.dataset.shown === shown) return;
    line.dataset.shown = shown;
    line.replaceChildren();
    if (job.download && !job.picture) line.append(make("a", { href: `/api/jobs/${job.id}/picture`, download: "", textContent: "Download" }));
    if (!job.picture) return;
    const [href, name] = [`/pictures/${job.picture}`, job.picture.split("/").pop()];
    const compare = make("button", { type: "button", className: "link", textContent: "Compare", title: "Compare step counts from this picture's noise", onclick: () => stepwise.asking.take(request) });
    line.append(make("a", { href, download: name, textContent: "Download" }), " · ", compare, " · ", make("a", { href, target: "_blank", rel: "noopener", textContent: `outputs/${job.picture}` }));
  }

  // --- doing ---

  async function stop() {
    stopping = pressing;
    const answers = await Promise.all([...groups].map((group) => fetch(`/api/groups/${group}`, { method: "DELETE" }).then(() => group, () => null)));
    if (answers.includes(null)) form.refuse("The studio does not answer, so nothing was stopped. Look whether it still runs.");
    answers.filter((group) => group && group !== feed.group()).forEach((group) => groups.delete(group));
    keepGroups();
  }

  const frameKeys = { ArrowLeft: (shown) => shown - 1, ArrowRight: (shown) => shown + 1, Home: () => 0, End: () => Infinity };

  document.addEventListener("input", (event) => {
    if (event.target.matches("#filmstrip .scrub")) scrub(Number(event.target.value));
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#generate")) {
      pressing = true;
      stopping = false;
      fetch("/api/status").catch(unanswered); // Gradio says nothing when there is nobody to answer
    }
    if (event.target.closest("#stop")) stop();
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches("#filmstrip .strip, #filmstrip .strip *") || !(event.key in frameKeys)) return;
    event.preventDefault();
    const job = feed.jobs()[selected];
    if (job) scrub(frameKeys[event.key](scrubbed ?? job.frames.length - 1));
  }, true);
  stepwise.keys.name("create", () => at("#generate").click(), () => { if (feed.running() || pressing) stop(); });

  return { follow, unanswered, arrive, remember: form.remember, kept: () => stepwise.share.kept(form.kept()), settings: form.settings };
})();
