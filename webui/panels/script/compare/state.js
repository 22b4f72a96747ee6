// The comparison that is shown and how it is looked at: all that the scripts of this tab share.
stepwise.comparison = (() => {
  const { ended, told } = stepwise;
  const fresh = () => ({
    selected: 0, // number of a cell, as in `shown.cells`
    a: 0,
    b: 0,
    look: "sheet", // or "large", "slider"
    difference: false, // finished pictures as their difference from A
    mode: "runs", // each cell a run of its own; or "frames": each column a step of the longest run
    position: null, // where all timelines stand, in steps or per cent; null is their end, live while there is one
    by: "step", // or "share"
  });
  const state = { shown: null, jobs: new Map(), ...fresh() };

  // A comparison as REST tells it. What is known of its jobs stays.
  function set(shown) {
    const other = !state.shown || state.shown.id !== shown.id;
    const [before, marks] = [cells(), ["selected", "a", "b"]];
    state.shown = shown;
    // With another column the cells are counted anew.
    if (!other) marks.forEach((mark) => { state[mark] = Math.max(0, shown.cells.findIndex((cell) => cell.job.id === before[state[mark]].job.id)); });
    if (other) Object.assign(state, fresh(), { jobs: new Map(), b: Math.max(0, shown.cells.length - 1) });
    for (const { job } of shown.cells) {
      if (!state.jobs.has(job.id)) state.jobs.set(job.id, told(job));
    }
    return other;
  }

  // Jobs as the event stream tells them.
  const follow = (jobs) => jobs.forEach((job) => state.jobs.set(job.id, job));

  const cells = () => (state.shown ? state.shown.cells : []);
  const jobOf = (cell) => state.jobs.get(cell.job.id);
  const jobs = () => cells().map(jobOf);
  const running = () => jobs().some((job) => !ended(job));
  const label = (cell) => [state.shown.columns[cell.column], state.shown.rows[cell.row]].filter(Boolean).join(" · ");
  const twoAxes = () => state.shown.axes.length > 1;
  const overSteps = () => Boolean(state.shown) && state.shown.axes.some((axis) => axis.field === "steps");
  const picture = (job) => `/pictures/${job.picture}`;

  // The run with the most steps among the cells that differ from this one in nothing but their steps. One that came to nothing has no steps to show.
  function longest(cell) {
    const along = state.shown.axes[0].field === "steps" ? "row" : "column";
    const runs = cells().filter((other) => other[along] === cell[along]).map(jobOf);
    const able = runs.filter((job) => job.kind !== "failed" && (job.kind !== "cancelled" || job.frames.length));
    return (able.length ? able : runs).reduce((most, job) => (job.n > most.n ? job : most));
  }

  // The step of a run of `n` steps at which all timelines stand.
  const stepOf = (n) => (state.by === "step" ? Math.min(state.position, n) : Math.max(1, Math.ceil((state.position * n) / 100)));

  // The newest frame up to step `k`, and its step.
  function frameAt(job, k) {
    for (let i = Math.min(k, job.frames.length); i > 0; i -= 1) if (job.frames[i - 1]) return [job.frames[i - 1], i];
    return [null, 0];
  }

  // What a cell shows now: {source, there (decoded as soon as it is set), caption, sentence}.
  function view(cell) {
    const number = cells().indexOf(cell);
    const job = jobOf(cell);
    const sentence = job.kind === "failed" ? job.reason : job.kind === "cancelled" && !job.frames.length ? "Stopped." : null;
    if (state.mode === "frames") return frameOfLongest(cell, sentence);
    if (state.difference && state.position === null && number !== state.a) {
      const base = jobOf(cells()[state.a]);
      if (job.picture && base.picture) {
        const source = `/api/comparisons/${state.shown.id}/difference.png?a=${state.a}&b=${number}`;
        return { source, there: false, caption: "difference from A", sentence };
      }
    }
    const k = state.position === null ? job.n : stepOf(job.n);
    if (job.picture && k >= job.n) return { source: picture(job), there: false, caption: `${job.n} of ${job.n}`, sentence };
    const [frame, i] = frameAt(job, k);
    return { source: frame, there: true, caption: `${state.position === null ? job.i : i} of ${job.n}`, sentence };
  }

  function frameOfLongest(cell, own) {
    const job = longest(cell);
    const k = cell.values.steps;
    if (k > job.n) return { source: null, there: true, caption: `no step ${k} in one run of ${job.n}`, sentence: own };
    const caption = `step ${k} of one run of ${job.n}`;
    if (job.picture && k === job.n) return { source: picture(job), there: false, caption, sentence: null };
    const sentence = job.kind === "failed" ? job.reason : null;
    return { source: job.frames[k - 1] || null, there: true, caption, sentence };
  }

  // How a cell has ended, for those who hear the page: `sentence` is what it says of itself.
  const ending = (cell, sentence) => sentence || { finished: "finished", cancelled: "stopped" }[jobOf(cell).kind] || "";

  return { state, set, follow, cells, jobOf, jobs, running, label, twoAxes, overSteps, longest, view, ending, picture };
})();
