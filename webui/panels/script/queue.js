// Who runs and who waits, in the masthead: everybody sees the order and how long it takes; prompts only where the studio shows them.
stepwise.watchQueue = (() => {
  const { at, make, say, ask } = stepwise;
  const PAUSE = 2000;

  const counted = (running, waiting) => [running && `${running} running`, waiting && `${waiting} waiting`].filter(Boolean).join(", ");

  const placed = (job) => (job.state === "running" ? `${job.steps_done} of ${job.steps}` : job.wait ? `in ${job.wait}` : "waits");

  function row(job, before) {
    const words = job.prompt === null ? "a private picture" : job.prompt || "no prompt";
    const line = make("li", { className: job.mine ? "mine" : "" }, make("b", { textContent: job.mine ? "You" : job.who }), make("span", { className: "words", textContent: words }), make("span", { className: "place", textContent: placed(job) }));
    if (!job.mine || job.state !== "waiting") return line;
    if (before) line.append(act(job, "Earlier", `Put ${words} before your picture that waits in front of it`, () => ask(`/api/jobs/${job.id}/move`, "POST", { before: before.id })));
    line.append(act(job, "Remove", `Take ${words} out of the queue`, () => ask(`/api/jobs/${job.id}`, "DELETE")));
    return line;
  }

  const act = (job, name, help, doing) => make("button", { id: `queue-${name}-${job.id}`, type: "button", className: "link", textContent: name, title: help, onclick: () => doing().then(look) });

  function draw({ trouble, jobs }) {
    const panel = at("#queue");
    const waiting = jobs.filter((job) => job.state === "waiting");
    panel.hidden = !jobs.length && !trouble;
    say(at("summary", panel), counted(jobs.length - waiting.length, waiting.length) || "Queue");
    say(at("p", panel), trouble || "");
    const own = waiting.filter((job) => job.mine);
    const list = at("ol", panel);
    // A button that is about to be pressed must not be drawn away under the finger, nor lose the focus to every step.
    const rows = JSON.stringify(jobs.map(({ starts, ends, steps_done, wait, ...told }) => told));
    if (list.dataset.rows === rows) {
      list.querySelectorAll(".place").forEach((place, number) => say(place, placed(jobs[number])));
      return;
    }
    list.dataset.rows = rows;
    const held = document.activeElement.id;
    list.replaceChildren(...jobs.map((job) => row(job, own[own.indexOf(job) - 1])));
    if (held.startsWith("queue-")) document.getElementById(held)?.focus();
  }

  async function look() {
    const answer = document.hidden ? { ok: false } : await ask("/api/queue");
    if (answer.ok) draw(answer.value);
  }

  return async function watch() {
    await look();
    setTimeout(watch, PAUSE);
  };
})();
