// The Models tab: what lies in the models' folders, as cards. The studio looks and judges; this draws and passes on.
stepwise.models = (() => {
  const { at, make, say, ask, copy, memory } = stepwise;
  const KINDS = { "": "All", model: "Models", lora: "LoRAs", embedding: "Embeddings", vae: "VAEs", parts: "Parts" };
  const CALLED = { model: "", lora: "LoRA", embedding: "Embedding", vae: "Autoencoder (VAE)", parts: "Parts" };
  const PARTS = { unet: "U-Net", vae: "VAE", denoiser: "denoiser", text_encoder_2: "second text encoder", text_encoder_3: "third text encoder", text_encoder_4: "fourth text encoder" };
  const PAGE = 60; // cards that are drawn before somebody asks for more
  let revision = null; // of the studio's list, as last heard of
  let held = null; // the same of what is in memory
  let [search, kind, shown] = ["", "", PAGE];
  let asked = 0;
  let wanted = null; // the model on its way into Create
  let waiting = null;
  let role = null;
  let news = ""; // what came of the last press

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
    const what = [[CALLED[entry.kind], entry.family].filter(Boolean).join(CALLED[entry.kind] ? " for " : ""), entry.bytes ? size(entry.bytes) : ""].filter(Boolean).join(" · ");
    const use = entry.word || (entry.kind === "model" && usable) ? button("Use", "plain use", () => take(entry), entry.word ? `Put ${entry.word} into the prompt` : `Make pictures with ${title}`) : null;
    // The owner alone may fetch something; who is here may not be known yet.
    const fetch = entry.fetch ? button("Fetch what it needs", "plain fetch", () => stepwise.adding.offer(entry.fetch), `See what ${entry.fetch} would bring`) : null;
    if (fetch) fetch.hidden = role !== "owner";
    const about = make("div", { className: "about" },
      make("h3", {}, make("span", { textContent: title, title: name }), entry.default ? make("span", { className: "badge", textContent: "Default", title: "Pictures are made with it wherever no model is named" }) : null),
      what ? line("kind", what) : null,
      entry.summary && works ? line("summary", entry.summary) : null,
      works && entry.kind !== "parts" ? null : line(works ? "summary" : "reason", reason),
      entry.lender ? line("summary", `Its other parts come from ${entry.lender}.`) : null,
      usable ? line("facts", defaults(entry)) : null,
      ...memory.lines(entry));
    const picture = entry.thumbnail ? make("img", { className: "thumb", loading: "lazy", alt: "", src: `/api/models/thumbnail?name=${encodeURIComponent(name)}` }) : null;
    const words = entry.words.length ? make("ul", { className: "words", aria: { label: `Trigger words of ${title}` } }, ...entry.words.map((word) => make("li", {}, button(word, "chip", (event) => copy(word, event.currentTarget), "Copy")))) : null;
    const rest = more(entry);
    const foot = make("div", { className: "foot" }, rest && turner(rest, name, title), make("span", { className: "spring" }), fetch, ...(role === "owner" ? memory.acts(entry, acted) : []), use);
    return make("li", { className: works ? "card" : "card broken", data: { name } }, make("article", { aria: { label: title } }, make("div", { className: "top" }, picture, about), words, rest, foot.children.length > 1 ? foot : null));
  }

  const line = (className, textContent) => make("p", { className, textContent });

  // What it proposes where a request leaves something open.
  function defaults({ defaults: { steps, guidance, sampler, width, height }, guidance: called }) {
    return [`${steps} ${steps === 1 ? "step" : "steps"}`, called && guidance > 1 ? `${called.toLowerCase()} ${guidance}` : "", sampler, `${width}\u00a0×\u00a0${height}`].filter(Boolean).join(" · ");
  }

  // What is good to know, and seldom asked for.
  function more(entry) {
    const { name, licence, training, hash, sha256 } = entry;
    const facts = {
      Parameters: parts(entry).join(" · "),
      Licence: licence,
      Training: training,
      Hash: hash && button(hash, "link hash", (event) => copy(hash, event.currentTarget), `Copy the hash; SHA-256 of the file: ${sha256}`),
      File: name === entry.title ? "" : name,
    };
    const rows = Object.entries(facts).filter(([, value]) => value).flatMap(([term, value]) => [make("dt", { textContent: term }), make("dd", {}, value)]);
    return rows.length ? make("dl", { hidden: !opened.has(name), id: `about-${encodeURIComponent(name)}` }, ...rows) : null;
  }

  // Which cards show all that is known of their models.
  const opened = new Set();

  function turner(rest, name, title) {
    const turn = (on) => { rest.hidden = !on; say(made, on ? "Less" : "More"); made.setAttribute("aria-expanded", String(on)); };
    const made = button("More", "link turn", () => { opened[rest.hidden ? "add" : "delete"](name); turn(rest.hidden); }, `All that is known of ${title}`);
    made.dataset.act = "more";
    made.setAttribute("aria-controls", rest.id);
    turn(opened.has(name));
    return made;
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
      make("p", { id: "models-lost", className: "reason" }),
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
    const number = ++asked;
    await own();
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
    const coming = answer.value.weighing || entries.some((one) => one.loading !== null);
    if ((answer.value.summing || coming) && open() && !document.hidden) waiting = setTimeout(draw, coming ? 1500 : 3000);
  }

  function paint({ total, kinds, summing, lost }, entries) {
    document.querySelectorAll("#models .segments input").forEach(({ value, nextSibling }) => {
      const there = value ? kinds[value] : Object.values(kinds).reduce((sum, one) => sum + one);
      say(nextSibling, `${KINDS[value]} ${there}`);
    });
    const list = at("#models-cards");
    // Cards that say the same stay: what somebody is reading or about to press must not be drawn away.
    const old = new Map([...list.children].map((one) => [one.dataset.name, one]));
    const focus = document.activeElement;
    const cards = entries.map((entry) => {
      const text = memory.sign(entry);
      const kept = old.get(entry.name);
      if (kept && kept.told === text) return kept;
      news = (kept && memory.news(JSON.parse(kept.told), entry)) || news;
      const made = card(entry);
      made.told = text;
      return made;
    });
    const same = cards.length === list.children.length && cards.every((one, number) => one === list.children[number]);
    if (!same) list.replaceChildren(...cards);
    if (!focus.isConnected) refocus(focus, old, cards);
    at("#models .more").hidden = entries.length >= total;
    say(at("#models-lost"), lost);
    if (!entries.length) tell(search || kind ? "Nothing of that kind." : "There is nothing in the models' folder yet.");
    else tell(news || (summing ? `Computing checksums: ${summing} ${summing === 1 ? "file" : "files"} left.` : ""));
  }

  // Whoever was on a button of a card that was drawn anew is on the same button of it, or on another one.
  function refocus(focus, old, cards) {
    const before = [...old.values()].find((one) => one.contains(focus));
    const now = before && cards.find((one) => one.dataset.name === before.dataset.name);
    if (!now) return;
    const same = at(focus.dataset.act ? `[data-act="${focus.dataset.act}"]` : ".use", now) || at(".foot button:not(.turn)", now);
    if (same) same.focus();
  }

  // After a press on a card.
  async function acted(sentence) {
    news = sentence;
    await draw();
    if (sentence) tell(sentence);
  }

  async function refresh() {
    const pressed = at("#models-refresh");
    pressed.disabled = true;
    const answer = await ask("/api/models/refresh", "POST");
    pressed.disabled = false;
    const named = (names) => (names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", "));
    if (!answer.ok) { acted(answer.sentence); return; }
    const { new: added, gone } = answer.value;
    acted([added.length && `New: ${named(added)}.`, gone.length && `Gone: ${named(gone)}.`].filter(Boolean).join(" ") || "Nothing has changed.");
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

  // The studio's list has another number, or what is in memory has: whatever shows it asks anew.
  function heard(number, memorised) {
    const other = number !== revision;
    if (!other && memorised === held) return;
    [revision, held] = [number, memorised];
    if (other) renew(number);
    if (open()) draw();
  }

  // The choices of Create and Compare were laid out with the studio's first list.
  const renew = stepwise.tabs.renewer(["models-changed", "compare-models-changed"], 1);

  stepwise.tabs.onChange((tab) => { if (tab === "models") stepwise.tabs.whenThere("models", "#models", draw); });

  return { heard, draw, frames, size, taken: () => wanted };
})();
