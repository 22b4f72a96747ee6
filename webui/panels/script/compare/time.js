// One timeline for the whole sheet: every cell stands at the same step, or at the same share of its run.
stepwise.time = (() => {
  const { at, say } = stepwise;
  const { state, jobs, running } = stepwise.comparison;
  const [SECONDS, TICK, SLOWEST] = [4, 50, 300]; // a whole run is played in about so many seconds, a step takes at most so many milliseconds
  let playing = null;

  const end = () => (state.by === "share" ? 100 : Math.max(1, ...jobs().map((job) => job.n)));
  // How far the pictures are that are still being made.
  const live = () => (state.by === "share"
    ? Math.round(Math.max(0, ...jobs().map((job) => (100 * job.i) / job.n)))
    : Math.max(0, ...jobs().map((job) => job.i)));
  const there = () => jobs().some((job) => job.frames.length);
  const usable = () => Boolean(state.shown) && state.mode === "runs" && there();

  function move(position) {
    if (!usable() || Number.isNaN(position)) return;
    const last = running() ? live() : end();
    // At its end the timeline is live again, or shows the pictures themselves.
    state.position = position >= last ? null : Math.max(1, position);
    stepwise.compare.draw();
  }

  function play() {
    if (playing) { pause(); return; }
    if (!usable()) return;
    if (state.position === null) move(1);
    const length = end();
    const pace = Math.min(SLOWEST, Math.max(TICK, (SECONDS * 1000) / length));
    const stride = Math.max(1, Math.round((length * pace) / (SECONDS * 1000)));
    playing = setInterval(() => {
      if (state.position === null || !usable()) pause();
      else move(state.position + stride);
    }, pace);
    stepwise.compare.draw();
  }

  function pause() {
    clearInterval(playing);
    playing = null;
    stepwise.compare.draw();
  }

  function by(kind) {
    const share = state.position === null ? null : state.position / end();
    state.by = kind;
    if (share !== null) state.position = Math.max(1, Math.round(share * end()));
    stepwise.compare.draw();
  }

  function paint() {
    const slider = at("#compare-scrub");
    if (!slider) return;
    const shown = state.position ?? (running() ? live() : end());
    slider.disabled = !usable();
    slider.max = end();
    slider.value = shown;
    const words = !usable() ? "" : state.position === null ? (running() ? "Live" : "Finished") : state.by === "share" ? `${shown} % of each run` : `Step ${shown}`;
    slider.setAttribute("aria-valuetext", words);
    say(at("#compare-moment"), words);
    const button = at("#compare-play");
    button.disabled = !usable();
    button.setAttribute("aria-pressed", Boolean(playing));
    const name = playing ? "Pause" : "Play";
    if (button.title !== name) { button.title = name; button.setAttribute("aria-label", name); }
  }

  return { move, play, pause, by, paint, playing: () => playing !== null, at: () => state.position ?? end() };
})();
