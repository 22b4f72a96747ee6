// The Models tab: what lies in the models' folders, as cards. The studio looks and judges; this draws and passes on.
stepwise.models = (() => {
  const { at, make, say, ask, copy } = stepwise;
  const KINDS = { "": "All", model: "Models", lora: "LoRAs", embedding: "Embeddings", vae: "VAEs", parts: "Parts" };
  const CALLED = { model: "", lora: "LoRA", embedding: "Embedding", vae: "Autoencoder (VAE)", parts: "Parts" };
  const PARTS = { unet: "U-Net", vae: "VAE", denoiser: "denoiser" };
  const PAGE = 60; // cards that are drawn before somebody asks for more
  let revision = null; // of the studio's list, as last heard of
  let [search, kind, shown] = ["", "", PAGE];
  let asked = 0;
  let wanted = null; // the model on its way into Create
  let waiting = null;
  let role = null;

  const open = () => stepwise.tabs.shown() === "models";
  const tell = (words) => say(at("#models-said"), words);

  // --- numbers ---

  function size(bytes) {
    const power = Math.min(4, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
    const value = bytes / 1000 ** power;
    return `${power && value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0${["bytes", "kB", "MB", "GB", "TB"][power]}`;
  }
  const digits = (value) => value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0);
  const count = (number) => (number >= 1e9 ? `${digits(number / 1e9)}\u00a0B` : number >= 1e5 ? `${digits(number / 1e6)}\u00a0M` : number.toLocaleString("en"));
  const parts = ({ kind, parameters }) => (kind === "embedding" ? [] : Object.entries(parameters)).map(([name, number]) => `${PARTS[name] || name.replaceAll("_", " ")} ${count(number)}`);

  // --- a card ---

  function card(entry) {
    const { name, title, reason, usable } = entry;
    const works = usable || entry.kind !== "model";
    const what = [CALLED[entry.kind], entry.family].filter(Boolean).join(CALLED[entry.kind] ? " for " : "");
    const facts = [entry.bytes ? size(entry.bytes) : null, ...parts(entry)].filter(Boolean).join(" · ");
    const use = entry.word || (entry.kind === "model" && usable) ? button("Use", "plain use", () => take(entry), entry.word ? `Put ${entry.word} into the prompt` : `Make pictures with ${title}`) : null;
    // The owner alone may fetch something; who is here may not be known yet.
    const fetch = entry.fetch ? button("Fetch what it needs", "plain fetch", () => stepwise.adding.offer(entry.fetch), `See what ${entry.fetch} would bring`) : null;
    if (fetch) fetch.hidden = role !== "owner";
    const about = make("div", { className: "about" },
      make("h3", { textContent: title, title: name }),
      what ? make("p", { className: "kind", textContent: what }) : null,
      entry.summary && works ? make("p", { className: "summary", textContent: entry.summary }) : null,
      works && entry.kind !== "parts" ? null : make("p", { className: works ? "summary" : "reason", textContent: reason }),
      entry.lender ? make("p", { className: "summary", textContent: `Its other parts come from ${entry.lender}.` }) : null,
      facts ? make("p", { className: "facts", textContent: facts }) : null,
      identity(entry),
      entry.loaded ? make("p", { className: "loaded", textContent: entry.loaded }) : null);
    const picture = entry.thumbnail ? make("img", { className: "thumb", loading: "lazy", alt: "", src: `/api/models/thumbnail?name=${encodeURIComponent(name)}` }) : null;
    const words = entry.words.length ? make("ul", { className: "words", aria: { label: `Trigger words of ${title}` } }, ...entry.words.map((word) => make("li", {}, button(word, "chip", (event) => copy(word, event.currentTarget), "Copy")))) : null;
    const foot = make("div", { className: "foot" }, make("span", { className: "file", textContent: name, title: name }), fetch, use);
    const made = make("li", { className: works ? "card" : "card broken", data: { name } }, make("article", { aria: { label: title } }, make("div", { className: "top" }, picture, about), words, foot));
    return made;
  }

  function identity({ licence, hash, sha256 }) {
    if (!licence && !hash) return null;
    const line = make("p", { className: "facts" });
    if (licence) line.append(licence, hash ? " · " : "");
    if (hash) line.append(button(hash, "link hash", (event) => copy(hash, event.currentTarget), `Copy the hash; SHA-256 of the file: ${sha256}`));
    return line;
  }

  const button = (words, className, onclick, title = "") => make("button", { type: "button", className, textContent: words, title, onclick });

  // --- the tab ---

  function frame() {
    const place = at("#models");
    if (!place || place.firstChild) return Boolean(place);
    const box = make("input", { type: "search", placeholder: "Search", aria: { label: "Search models" } });
    box.oninput = () => { [search, shown] = [box.value, PAGE]; clearTimeout(waiting); waiting = setTimeout(draw, 150); };
    const kinds = make("fieldset", { className: "segments" }, make("legend", { className: "unseen", textContent: "What is shown" }), ...Object.keys(KINDS).map((value) => {
      const choice = make("input", { type: "radio", name: "models-kind", value, checked: value === kind, onchange: () => { [kind, shown] = [value, PAGE]; draw(); } });
      return make("label", {}, choice, make("span", { textContent: KINDS[value] }));
    }));
    const acts = make("div", { className: "acts", hidden: true }, make("button", { type: "button", className: "plain", id: "models-refresh", textContent: "Refresh", title: "Look through the models' folders now", onclick: refresh }));
    place.append(
      make("div", { className: "bar" }, box, kinds, make("span", { className: "spring" }), acts),
      make("p", { id: "models-said", aria: { role: "status", live: "polite" } }),
      make("ul", { id: "models-cards", aria: { label: "Models" } }),
      make("p", { className: "more" }, button("Show more", "plain", () => { shown += PAGE; draw(); })));
    return true;
  }

  // What is the owner's alone, as soon as it is known who is here.
  async function own() {
    const acts = at("#models .acts");
    role = document.documentElement.dataset.role || role || (await ask("/api/me")).value?.role;
    acts.hidden = role !== "owner";
    document.querySelectorAll("#models .fetch").forEach((one) => { one.hidden = acts.hidden; });
    if (acts.hidden || acts.dataset.whole) return;
    acts.dataset.whole = "yes";
    added.forEach(([build, arrive]) => { build(at("#models .bar"), acts); arrive(); });
  }

  // What else belongs to the owner's tab: how it is laid out once, and what it asks for first.
  const added = [];
  const frames = (build, arrive) => added.push([build, arrive]);

  async function draw() {
    if (!frame()) return;
    own();
    const number = ++asked;
    const entries = [];
    let answer;
    do {
      const question = new URLSearchParams({ search, kind, start: entries.length, count: Math.min(200, shown - entries.length) });
      answer = await ask(`/api/models/list?${question}`);
      if (number !== asked) return;
      if (!answer.ok) { tell(answer.sentence); return; }
      entries.push(...answer.value.entries);
    } while (entries.length < Math.min(shown, answer.value.total) && answer.value.entries.length);
    paint(answer.value, entries);
    clearTimeout(waiting);
    if (answer.value.summing && open() && !document.hidden) waiting = setTimeout(draw, 3000);
  }

  function paint({ total, kinds, summing }, entries) {
    document.querySelectorAll("#models .segments input").forEach(({ value, nextSibling }) => {
      const there = value ? kinds[value] : Object.values(kinds).reduce((sum, one) => sum + one);
      say(nextSibling, `${KINDS[value]} ${there}`);
    });
    const list = at("#models-cards");
    // Cards that say the same stay: what somebody is reading or about to press must not be drawn away.
    const old = new Map([...list.children].map((one) => [one.dataset.name, one]));
    const cards = entries.map((entry) => {
      const text = JSON.stringify(entry);
      const kept = old.get(entry.name);
      if (kept && kept.told === text) return kept;
      const made = card(entry);
      made.told = text;
      return made;
    });
    const same = cards.length === list.children.length && cards.every((one, number) => one === list.children[number]);
    if (!same) list.replaceChildren(...cards);
    at("#models .more").hidden = entries.length >= total;
    if (!entries.length) tell(search || kind ? "Nothing of that kind." : "There is nothing in the models' folder yet.");
    else tell(summing ? `Computing checksums: ${summing} ${summing === 1 ? "file" : "files"} left.` : "");
  }

  async function refresh() {
    const pressed = at("#models-refresh");
    pressed.disabled = true;
    const answer = await ask("/api/models/refresh", "POST");
    pressed.disabled = false;
    await draw();
    const named = (names) => (names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", "));
    if (!answer.ok) { tell(answer.sentence); return; }
    const { new: added, gone } = answer.value;
    tell([added.length && `New: ${named(added)}.`, gone.length && `Gone: ${named(gone)}.`].filter(Boolean).join(" ") || "Nothing has changed.");
  }

  // --- into Create ---

  async function take(entry) {
    if (entry.word) {
      const other = await misfit(entry);
      if (other) { tell(other); return; }
      speak(entry.word, entry.kind);
    } else {
      wanted = entry.name;
      at("#model-taken").click();
    }
    stepwise.tabs.choose("create");
    at("#prompt textarea").focus();
  }

  // What is for models of another family would be refused with the picture: better said here.
  async function misfit({ title, family }) {
    const answer = await ask("/api/models");
    const chosen = answer.ok && answer.value.models.find((one) => one.name === stepwise.create.settings().model);
    return chosen && family && chosen.family && chosen.family !== family ? `${title} is for ${family} models, and ${chosen.title} is ${chosen.family}. Choose a model of its family first.` : "";
  }

  function speak(word, kind) {
    const box = at("#prompt textarea");
    if (box.value.includes(word)) return;
    const before = box.value.trimEnd();
    box.value = [before, word].filter(Boolean).join(kind === "embedding" ? ", " : " ");
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // --- when ---

  // The studio's list has another number: whatever shows it asks anew.
  function heard(number) {
    if (number === revision) return;
    revision = number;
    renew(number);
    if (open()) draw();
  }

  // The choices of Create and Compare were laid out with the studio's first list.
  const renew = stepwise.tabs.renewer(["models-changed", "compare-models-changed"], 1);

  // A tab's content is not in the page until the tab has been opened.
  function whenThere(tries = 40) {
    if (at("#models")) draw();
    else if (tries) setTimeout(() => whenThere(tries - 1), 50);
  }
  stepwise.tabs.onChange((tab) => { if (tab === "models") whenThere(); });

  return { heard, draw, frames, size, taken: () => wanted };
})();
