// "Add a model" in the Models tab: what a download would bring, then the download itself. The owner's alone; nothing is fetched unasked.
stepwise.adding = (() => {
  const { at, make, say, ask, models } = stepwise;
  let open = false;
  let offer = null;
  let starters = [];
  let downloads = [];
  let timer = null;
  let source = ""; // what is being looked at

  const words = (text, className = "") => make("p", { textContent: text, className });
  const button = (text, className, onclick, more = {}) => make("button", { type: "button", className, textContent: text, onclick, ...more });
  const size = models.size;
  const tell = (sentence) => say(at("#models-add .wrong"), sentence || "");

  // --- what there is to be had ---

  async function look(wanted) {
    const box = at("#models-add input[type=text]");
    source = box.value = wanted.trim();
    tell("");
    show(null);
    say(at("#models-add .offer"), "Asking what it would bring …");
    const answer = await ask("/api/downloads/look", "POST", { source });
    if (answer.ok) show(answer.value);
    else { show(null); tell(answer.sentence); }
  }

  function show(found) {
    offer = found;
    const place = at("#models-add .offer");
    if (!offer) { place.replaceChildren(); return; }
    const files = `${offer.files.length} ${offer.files.length === 1 ? "file" : "files"}`;
    const list = make("details", {}, make("summary", { textContent: files }), make("ul", {}, ...offer.files.map((file) => make("li", {}, make("span", { textContent: file.path }), make("span", { textContent: size(file.bytes) })))));
    place.replaceChildren(...[
      make("h3", { textContent: offer.title }),
      words(`${size(offer.bytes)} · licence: ${offer.licence || "not said; look at its page"}`),
      list,
      ...offer.notes.map((note) => words(note, "note")),
      offer.lacking ? words(offer.lacking, "reason") : make("p", { className: "acts" }, button(`Download ${size(offer.bytes)}`, "main", start), button("Not now", "plain", () => show(null))),
    ].filter(Boolean));
    const first = at("button.main", place);
    if (first) first.focus();
  }

  async function start() {
    const answer = await ask("/api/downloads", "POST", { id: offer.id });
    if (!answer.ok) { tell(answer.sentence); return; }
    at("#models-add input[type=text]").value = "";
    show(null);
    heard(answer.value);
  }

  // --- downloads ---

  const STATES = { waiting: "waits for the one before it", running: "", checking: "checking", paused: "paused", failed: "", done: "done" };

  async function act(path, method, body) {
    const answer = await ask(path, method, body);
    if (answer.ok) heard(answer.value);
    else tell(answer.sentence);
  }

  function row({ id, title, bytes, have, state, reason, name }) {
    const going = ["waiting", "running", "checking"].includes(state);
    const share = bytes ? Math.floor((100 * have) / bytes) : 100;
    const bar = make("progress", { max: 100, value: share, aria: { label: `${title}: ${share} percent` } });
    const said = [state === "done" ? name : `${size(have)} of ${size(bytes)}`, STATES[state]].filter(Boolean).join(" · ");
    const acts = [
      going ? button("Pause", "plain", () => act(`/api/downloads/${id}/pause`, "POST"), { title: `Pause ${title}` }) : null,
      ["paused", "failed"].includes(state) ? button("Resume", "plain", () => act("/api/downloads", "POST", { id }), { title: `Go on with ${title}` }) : null,
      button(state === "done" ? "Close" : "Cancel", "plain", () => act(`/api/downloads/${id}`, "DELETE"), { title: state === "done" ? `Take ${title} off this list` : `Stop ${title} and throw away what has come` }),
    ];
    return make("li", { className: state, data: { id } }, make("b", { textContent: title, title: name }), make("span", { className: "how", textContent: said }), state === "done" ? null : bar,
      reason ? words(reason, "reason") : null, make("span", { className: "acts" }, ...acts));
  }

  function heard(value) {
    const before = new Map(downloads.map((one) => [one.id, one.state]));
    ({ downloads } = value);
    starters = value.starters || starters;
    paint();
    if (downloads.some((one) => one.state === "done" && before.has(one.id) && before.get(one.id) !== "done")) models.draw();
    clearTimeout(timer);
    if (downloads.some((one) => ["waiting", "running", "checking"].includes(one.state))) timer = setTimeout(poll, 700);
  }

  async function poll() {
    if (document.hidden || stepwise.tabs.shown() !== "models") { timer = setTimeout(poll, 2000); return; }
    const answer = await ask("/api/downloads");
    if (answer.ok) heard(answer.value);
    else timer = setTimeout(poll, 3000);
  }

  function paint() {
    const list = at("#models-downloads");
    if (!list) return;
    // A row whose buttons stay the same keeps them: they must not be drawn away under a finger.
    const old = new Map([...list.children].map((one) => [one.dataset.id, one]));
    list.replaceChildren(...downloads.map((one) => {
      const kept = old.get(one.id);
      if (!kept || kept.className !== one.state) return row(one);
      const fresh = row(one);
      say(at(".how", kept), at(".how", fresh).textContent);
      if (at("progress", kept)) { at("progress", kept).value = at("progress", fresh).value; at("progress", kept).setAttribute("aria-label", at("progress", fresh).getAttribute("aria-label")); }
      return kept;
    }));
    list.hidden = !downloads.length;
    const suggested = at("#models-add .starters");
    if (suggested && suggested.children.length !== starters.length) {
      suggested.replaceChildren(...starters.map((one) => make("li", {}, button(one.title, "link", () => look(one.source), { title: one.source }), make("span", { textContent: `${one.summary} About ${one.memory} GB of memory; licence ${one.licence}.` }))));
    }
  }

  // --- in the tab ---

  // Into the frame of the tab: the button beside Refresh, the form under the bar.
  function frame(bar, acts) {
    const toggle = button("Add a model", "plain", () => turn(!open), { id: "models-adding" });
    toggle.setAttribute("aria-expanded", "false");
    toggle.setAttribute("aria-controls", "models-add");
    acts.append(toggle);
    const box = make("input", { type: "text", placeholder: "owner/name, or https://…", autocomplete: "off", spellcheck: false, aria: { label: "Hugging Face id or address" } });
    const form = make("form", { className: "asking" }, box, make("button", { type: "submit", className: "plain", textContent: "Look" }));
    form.onsubmit = (event) => { event.preventDefault(); if (box.value.trim()) look(box.value); };
    const panel = make("section", { id: "models-add", hidden: true, aria: { label: "Add a model" } },
      make("div", {}, make("h2", { textContent: "Add a model" }), words("The id of a model on the Hugging Face hub, or the address of a .safetensors file. You see its size and licence before anything is fetched.", "note"), form,
        words("", "wrong"), make("div", { className: "offer", aria: { live: "polite" } })),
      make("div", {}, make("h3", { textContent: "Good first models" }), make("ul", { className: "starters" })));
    at(".wrong", panel).setAttribute("role", "alert");
    bar.after(panel, make("ul", { id: "models-downloads", hidden: true, aria: { label: "Downloads" } }));
    panel.onkeydown = (press) => { if (press.key === "Escape") { turn(false); toggle.focus(); } };
  }

  function turn(on) {
    open = on;
    at("#models-add").hidden = !open;
    at("#models-adding").setAttribute("aria-expanded", String(open));
    if (open) at("#models-add input[type=text]").focus();
  }

  async function arrive() {
    const answer = await ask("/api/downloads");
    if (answer.ok) heard(answer.value);
  }

  models.frames(frame, arrive);

  return {
    // What this id would bring, as if somebody had typed it.
    offer: (wanted) => { turn(true); at("#models-add").scrollIntoView({ block: "nearest" }); look(wanted); },
  };
})();
