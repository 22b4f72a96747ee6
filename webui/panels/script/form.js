// The controls of one tab, as far as the script has to do with them: what they say, what was refused, how long the prompt is.
// `root` is the id of the tab's frame, `prefix` begins the ids in it; `calm()` says again what there is to say when a refusal is over.
stepwise.form = (root, prefix, calm) => {
  const { at, say, ask } = stepwise;
  let settings = {}; // control -> value, as last heard of
  let refusal = null; // why the last press was refused; stays until something is changed
  let typing = null;
  let asked = 0;

  const KEPT = `stepwise-${root}`;
  const own = (id) => document.getElementById(prefix + id);
  const loras = stepwise.loras(own);
  const announce = (words) => say(own("announcement"), words);

  function tell(words, wrong = false) {
    const line = own("status-text");
    if (!line) return;
    line.classList.toggle("error", wrong);
    say(line, words);
  }

  // A sentence about the last press, and the control that it is about; `null` takes both away.
  function refuse(sentence, field = null) {
    refusal = sentence;
    document.querySelectorAll(`#${root} .wrong`).forEach((block) => mark(block, false));
    const block = sentence && field && own(field);
    if (block) mark(block, true);
    if (sentence) { tell(sentence, true); announce(sentence); }
    else calm();
  }

  function mark(block, wrong) {
    block.classList.toggle("wrong", wrong);
    block.querySelectorAll("input, textarea").forEach((input) => {
      if (wrong) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    });
  }

  function explain(helps) {
    for (const [field, help] of Object.entries(helps)) {
      const block = own(field);
      if (!block) continue;
      block.title = help;
      block.querySelectorAll("input, textarea").forEach((input) => input.setAttribute("aria-description", help));
    }
  }

  function remember(names, values) {
    const before = settings;
    settings = Object.fromEntries(names.map((name, number) => [name, values[number]]));
    // The seed is written by the studio too; whatever else changes answers a refusal.
    if (refusal && names.some((name) => name !== "seed" && settings[name] !== before[name])) refuse(null);
    if (["prompt", "model", "styles", "seed", "seed-mode"].some((name) => String(settings[name]) !== String(before[name]))) {
      clearTimeout(typing);
      typing = setTimeout(count, 150);
      loras.look(settings.prompt, settings.model);
    }
    const unheard = own("negative");
    if (unheard) unheard.classList.toggle("unheard", settings.guidance <= 1 && ![settings.columns, settings.rows].includes("guidance"));
    try { localStorage.setItem(KEPT, JSON.stringify(settings)); } catch { /* A browser may be told to keep nothing. */ }
  }

  // What the controls showed when this browser was here last.
  function kept() {
    try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch { return {}; }
  }

  async function count() {
    const number = ++asked;
    const { prompt, model, styles, seed } = settings;
    const kept = settings["seed-mode"] === "Keep" && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32 ? { seed } : {};
    const answer = await ask("/api/tokens", "POST", { prompt: prompt || "", model, styles: styles || [], ...kept });
    if (number !== asked) return;
    const line = own("tokens");
    // A wildcard or a style that does not exist is better told before Generate is pressed.
    if (line) line.title = answer.ok ? answer.value.problem || counts(answer.value) : "";
    say(line, answer.ok ? answer.value.problem || counted(answer.value) : "");
  }

  function counted({ count: tokens, window: size, windows, sample, cut }) {
    const about = sample ? "about " : "";
    if (tokens <= size && windows < 2) return `${about}${tokens} of ${size} tokens`;
    if (cut) return `${about}${tokens} tokens: the first ${size} are read`;
    return `${about}${tokens} tokens, in ${windows} windows of ${size}`;
  }

  const counts = ({ encoders }) => (encoders.length > 1 ? encoders.map(({ encoder, total, window }) => `${encoder}: ${total} of ${window}`).join(", ") : "");

  document.addEventListener("input", (event) => { if (refusal && event.target.closest(`#${prefix}seed`)) refuse(null); });

  return { own, count, kept, tell, announce, refuse, explain, remember, settings: () => settings, refused: () => refusal !== null };
};
