// The LoRAs of one tab's prompt as a list with sliders. The words in the prompt are the only truth: the list is read from them and writes them.
// `own` finds what belongs to the tab by the end of its id.
stepwise.loras = (own) => {
  const { at, make, say, ask, tabs } = stepwise;
  const WORD = /<lora:([^<>\n]{0,300})>/gi; // as the engine reads it
  const [LEAST, MOST, USUAL] = [-2, 2, 0.8];
  let prompt = "";
  let model = null;
  let there = null; // names of those that fit the model; `null` until they are known
  let asked = 0;

  // {name, weight} of each, in the order in which they stand there. Of two weights the second one acts on the picture.
  const words = () => [...prompt.matchAll(WORD)].map((match) => {
    const [name, ...weights] = match[1].split(":").map((part) => part.trim());
    return { name, weight: weights.length ? Number(weights[Math.min(1, weights.length - 1)]) : 1 };
  });

  const brief = (number) => String(Number(number.toFixed(2)));

  function write(text) {
    const box = at("textarea", own("prompt"));
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    look(text, model);
  }

  function change(number, how) {
    let seen = -1;
    write(prompt.replace(WORD, (word) => { seen += 1; return seen === number ? how(word) : word; }));
  }

  const weigh = (number, weight) => change(number, (word) => {
    const [name, ...weights] = word.slice(6, -1).split(":");
    return `<lora:${[name, ...weights.slice(0, weights.length > 1 ? 1 : 0), brief(weight)].join(":")}>`;
  });

  // With the space before it.
  function remove(number) {
    const match = [...prompt.matchAll(WORD)][number];
    const [before, after] = [prompt.slice(0, match.index), prompt.slice(match.index + match[0].length)];
    write(before.trim() ? before.replace(/ $/, "") + after : after.trimStart());
    const rows = own("loras").querySelectorAll("li");
    const next = rows.length ? at("button", rows[Math.min(number, rows.length - 1)]) : at("select", own("loras"));
    if (next) next.focus();
  }

  function add(name) {
    write(`${prompt.trimEnd()} <lora:${name}:${USUAL}>`.trimStart());
    const sliders = own("loras").querySelectorAll('input[type="range"]');
    sliders[sliders.length - 1].focus();
  }

  function row() {
    const place = () => [...line.parentNode.children].indexOf(line);
    const slider = make("input", { type: "range", min: LEAST, max: MOST, step: 0.05, oninput: () => weigh(place(), Number(slider.value)) });
    const button = make("button", { type: "button", textContent: "×", onclick: () => remove(place()) });
    const line = make("li", {}, make("span"), slider, make("output"), button);
    return line;
  }

  function paint(line, { name, weight }) {
    const [called, slider, shown, button] = line.children;
    const missing = there !== null && !there.includes(name);
    say(called, name);
    called.title = missing ? `No LoRA of this name fits the model.` : name;
    line.classList.toggle("missing", missing);
    if (slider.value !== brief(weight)) slider.value = weight;
    slider.setAttribute("aria-label", `Weight of ${name}${missing ? ", which does not fit the model" : ""}`);
    say(shown, Number.isNaN(weight) ? "?" : brief(weight));
    button.setAttribute("aria-label", `Remove ${name}`);
  }

  function draw() {
    const place = own("loras");
    if (!place) return;
    const [list, adding] = place.children;
    const shown = words();
    while (list.children.length > shown.length) list.lastChild.remove();
    while (list.children.length < shown.length) list.append(row());
    shown.forEach((one, number) => paint(list.children[number], one));
    const left = (there || []).filter((name) => !shown.some((one) => one.name === name));
    const choice = at("select", adding);
    if (choice.dataset.names !== left.join("\n")) {
      choice.dataset.names = left.join("\n");
      choice.replaceChildren(...left.map((name) => make("option", { value: name, textContent: name })));
      at("button", adding).onclick = () => { if (choice.value) add(choice.value); };
    }
    adding.hidden = !left.length;
    place.hidden = !left.length && !shown.length;
  }

  async function load() {
    const number = ++asked;
    const answer = await ask(`/api/loras?model=${encodeURIComponent(model || "")}`);
    if (number !== asked) return;
    there = answer.ok ? answer.value.loras.map((one) => one.name) : null;
    draw();
  }

  function look(text, name) {
    const other = name !== model;
    [prompt, model] = [text || "", name];
    if (other) load();
    draw();
  }

  tabs.onChange(() => { if (model !== null) load(); }); // meanwhile there may be more of them
  return { look };
};
