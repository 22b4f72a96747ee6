// One follower of the studio's event stream: the jobs of one group, and what has come of them so far. Every tab of the page uses it.
// A browser has six connections for all its windows on the studio: a feed holds one only while somebody can see it and there is more to come.
(() => {
  const feeds = [];
  const ended = (job) => ["finished", "failed", "cancelled"].includes(job.kind);
  const settle = () => feeds.forEach((feed) => feed.settle());
  // A job as REST tells it. One that runs tells the rest of itself over the stream; one that has ended has nothing more to tell but its frames.
  const told = (job) => {
    const over = ended({ kind: job.state });
    const n = job.request.steps;
    return { ...job, kind: over ? job.state : "queued", frames: [], n, i: job.state === "finished" ? n : 0, reason: job.error || null };
  };
  const LATER = 3000; // milliseconds until a stream that was refused is asked for again
  const ROOM = "It goes on by itself as soon as there is room.";
  const GONE = "The studio does not know this job any more. Press Generate to start it again.";

  // `seen()`: whether it can be seen. `on.jobs(jobs)`: which jobs they are; `on.news(jobs)`: something happened to them; `on.told(sentence)`: why nothing is heard.
  function feed(seen, on) {
    let group = null;
    let jobs = [];
    let source = null;
    let complete = true;
    let again = null;

    function open(other) {
      shut();
      if (other !== group) jobs = [];
      [group, complete] = [other, false];
      settle();
    }

    function close() {
      shut();
      [group, jobs, complete] = [null, [], true];
    }

    function shut() {
      clearTimeout(again);
      if (source) source.close();
      source = null;
    }

    const where = () => `/api/groups/${group}/events`;

    function connect() {
      const opened = (source = new EventSource(where()));
      const listen = (name, heard) => opened.addEventListener(name, (message) => { if (opened === source) heard(JSON.parse(message.data)); });
      // After a lost connection everything is told again from the first event.
      listen("jobs", start);
      listen("events", (events) => { events.forEach((event) => happened(jobs[event.job], event)); on.news(jobs); });
      // Older frames, held back while there were newer ones to send.
      listen("frames", (steps) => { steps.forEach((step) => keep(jobs[step.job], step)); on.news(jobs); });
      listen("end", () => { complete = true; shut(); });
      opened.onerror = () => { if (opened === source && opened.readyState === EventSource.CLOSED) refused(opened); };
    }

    // A stream does not say why it was refused; a plain request does. Until it is clear `source` stays, so that nothing else asks.
    async function refused(opened) {
      const stop = new AbortController();
      const answer = await fetch(where(), { signal: stop.signal }).catch(() => null);
      const words = answer && answer.status === 429 ? await answer.json().then(({ error }) => error.message, () => "") : "";
      stop.abort();
      if (opened !== source) return;
      if (answer && answer.status === 401) { location.reload(); return; } // the sign-in page says what to do
      if (answer && !answer.ok && answer.status !== 429) { lost(); return; }
      if (words) on.told(`${words} ${ROOM}`);
      again = setTimeout(() => { shut(); settleOne(); }, answer && answer.ok ? 0 : LATER);
    }

    // The studio answered, but does not know these jobs: another outputs folder, perhaps.
    function lost() {
      complete = true;
      shut();
      if (!jobs.length) { group = null; return; }
      jobs.filter((job) => !ended(job)).forEach((job) => Object.assign(job, { kind: "failed", reason: GONE }));
      on.news(jobs);
    }

    function start(all) {
      const known = new Map(jobs.map((job) => [job.id, job]));
      const same = all.length === jobs.length && all.every((job) => known.has(job.id));
      if (same) return; // told again
      jobs = all.map((job) => known.get(job.id) || told(job));
      on.jobs(jobs);
    }

    function happened(job, event) {
      if (ended(job)) {
        if (event.kind === "step") job.i = Math.max(job.i, event.i);
        keep(job, event);
        return;
      }
      // Between the two it may wait, for its model to be loaded: until it begins again, the last frame stays.
      if (event.kind === "interrupted") job.again = true;
      if (event.kind === "started" && job.again) Object.assign(job, { frames: [], again: false });
      job.kind = event.kind;
      if (event.kind === "started") Object.assign(job, { i: 0, reason: null });
      else if (event.kind === "step") {
        Object.assign(job, { i: event.i, n: event.n, seconds: event.seconds });
        keep(job, event);
      } else if (event.kind === "finished") Object.assign(job, { picture: event.picture, seconds: event.seconds, reason: null });
      else Object.assign(job, { reason: event.reason || event.message || null, download: event.download || false });
    }

    function keep(job, event) {
      if (event.preview) job.frames[event.i - 1] = `data:image/jpeg;base64,${event.preview}`;
    }

    function settleOne() {
      const wanted = group !== null && !complete && !document.hidden && seen();
      if (wanted && !source) connect();
      if (!wanted && source) shut();
    }

    const made = { open, close, settle: settleOne, running: () => jobs.some((job) => !ended(job)), jobs: () => jobs, group: () => group };
    feeds.push(made);
    return made;
  }

  document.addEventListener("visibilitychange", settle);
  Object.assign(stepwise, { feed, ended, told, settleFeeds: settle });
})();
