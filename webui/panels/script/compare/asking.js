// The left side of the Compare tab: what is asked for, what it would cost, and settings that come from elsewhere.
stepwise.asking = (() => {
  const { at, say } = stepwise;
  let sizing = null;
  let sent = null; // settings on their way into the controls

  const form = stepwise.form("compare", "compare-", () => stepwise.compare.calm());

  function follow(ticket) {
    if (!ticket) return;
    if (ticket.ask) { question(ticket.ask); return; }
    question(null);
    if (ticket.error) form.refuse(ticket.error, control(ticket.field));
    else if (ticket.id) { form.refuse(null); stepwise.compare.open(ticket.id); }
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
    const before = JSON.stringify(form.settings());
    form.remember(names, values);
    if (JSON.stringify(form.settings()) !== before) question(null);
    vary(form.settings());
  }

  function sized(ticket) {
    const line = at("#compare-size");
    if (!line || !ticket) return;
    line.classList.toggle("error", Boolean(ticket.error));
    say(line, ticket.error || ticket.sentence);
  }

  // A setting that varies has its values above: its own control would say nothing.
  function vary(settings) {
    const varied = [settings.columns, settings.rows];
    for (const name of ["prompt", "tokens", "negative", "steps", "guidance", "sampler", "schedule", "seed", "seed-mode", "model"]) {
      const block = form.own(name);
      if (block) block.classList.toggle("varied", varied.includes({ tokens: "prompt", "seed-mode": "seed" }[name] || name));
    }
    // Gradio names the crosses of its chips by their place in the list.
    document.querySelectorAll("#compare .token").forEach((chip) => { at(".token-remove", chip).title = `Remove ${at("span", chip).textContent}`; });
  }

  // --- settings that come from elsewhere ---

  // A request's fields, or what the controls of Create show; `axes` where they come from a comparison.
  function take(settings, axes = null) {
    // What is left open is left as it is; of these two nothing is said where there is nothing.
    sent = { styles: [], vae: "", ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null)) };
    if (!("seed-mode" in sent)) sent["seed-mode"] = "Keep";
    (axes || []).concat(axes && axes.length < 2 ? [{ field: "", values: [] }] : []).forEach(({ field, values }, number) => {
      const name = ["columns", "rows"][number];
      const lines = values.at(-1) === "" ? [...values, ""] : values; // the end of the last line is no line
      Object.assign(sent, { [name]: field, [`${name}-values`]: values.map(String), [`${name}-lines`]: lines.join("\n") });
    });
    stepwise.tabs.choose("compare");
    stepwise.compare.there().then(() => at("#compare-take").click());
  }

  return { form, follow, unanswered, remember, sized, vary, question, take, taken: () => [sent] };
})();
