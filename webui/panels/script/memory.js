// What a model's card says of the machine's memory and of the default, and what the owner does about both.
stepwise.memory = (() => {
  const { make, ask } = stepwise;
  const clocks = new Map(); // the line of a card whose model is on its way -> since when

  const paragraph = (className, textContent) => make("p", { className, textContent });

  // --- what is said ---

  function lines(entry) {
    const { usable, loaded, loading, need, trouble } = entry;
    if (!usable) return [];
    const told = [];
    if (loading !== null) told.push(clock(entry));
    else if (loaded) told.push(paragraph("loaded", `In memory as ${loaded}`));
    else if (need && !trouble) told.push(paragraph(need.fits ? "need" : "need tight", need.words));
    if (trouble) told.push(paragraph("trouble", trouble));
    return told;
  }

  function clock({ loading }) {
    const line = paragraph("loading", "");
    clocks.set(line, Date.now() - 1000 * loading);
    tick();
    return line;
  }

  function tick() {
    for (const [line, since] of clocks) {
      const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
      line.textContent = `Loading …${seconds ? ` ${seconds} s` : ""}`;
    }
  }
  setInterval(() => {
    for (const line of clocks.keys()) if (!line.isConnected) clocks.delete(line);
    tick();
  }, 1000);

  // The same card as long as this stays the same: a clock that runs is no reason to draw it anew.
  const sign = (entry) => JSON.stringify({ ...entry, loading: entry.loading !== null });

  // What happened to a model since the list before, for those who do not see it.
  function news(before, { title, loaded, loading, trouble }) {
    if (!before) return "";
    if (trouble && trouble !== before.trouble) return trouble;
    if (loaded && !before.loaded) return `${title} is in memory.`;
    return !loaded && before.loaded && loading === null ? `${title} is not in memory any more.` : "";
  }

  // --- what the owner does ---

  // Buttons for one model. `after` hears what came of a press: a sentence where it was refused.
  function acts(entry, after) {
    const { name, title, usable, loaded, loading } = entry;
    if (!usable) return [];
    const button = (act, words, hint, method, path) => make("button", {
      type: "button", className: "plain", textContent: words, title: hint, data: { act },
      onclick: async ({ currentTarget: pressed }) => {
        // Not `disabled`, which would take the focus from whoever uses the keyboard.
        if (pressed.classList.contains("pressed")) return;
        pressed.classList.add("pressed");
        const answer = await ask(`/api/models/${path}`, method, { model: name });
        await after(answer.ok ? "" : answer.sentence);
        pressed.classList.remove("pressed");
      },
    });
    const memory = loading !== null ? button("memory", "Cancel", `Do not load ${title}`, "POST", "unload")
      : loaded ? button("memory", "Unload", `Let ${title} go from memory`, "POST", "unload")
        : button("memory", "Load", `Load ${title} now, so that its first picture need not wait`, "POST", "load");
    return [entry.default ? null : button("default", "Set as default", `Make pictures with ${title} wherever no model is named`, "PUT", "default"), memory].filter(Boolean);
  }

  return { lines, sign, news, acts };
})();
