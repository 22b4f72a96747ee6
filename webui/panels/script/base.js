// What every script of the page uses. Each file adds one thing to `stepwise`; page.py loads them in order.
window.stepwise = (() => {
  const at = (selector, within = document) => within.querySelector(selector);
  // `aria` and `data` hold attributes without their prefix; `role` goes with `aria`. What is `null` inside is left out.
  const make = (tag, { aria = {}, data = {}, ...properties } = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), properties);
    Object.assign(made.dataset, data);
    Object.entries(aria).forEach(([name, value]) => made.setAttribute(name === "role" ? name : `aria-${name}`, value));
    made.append(...inside.filter((part) => part !== null));
    return made;
  };
  const say = (line, words) => { if (line && line.textContent !== words) line.textContent = words; };

  // However often it is called, `paint` runs once per frame that the browser draws, with the newest state: nothing is ever queued.
  function painter(paint) {
    let asked = false;
    return () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; paint(); });
    };
  }

  // A picture that is still being fetched and decoded would be a moment of nothing between two frames; what is `there` needs no waiting.
  function show(place, source, there) {
    if (place.wanted === source) return;
    place.wanted = source;
    let picture = at("img", place);
    if (!picture) {
      picture = make("img", { draggable: false, src: source, alt: "" });
      place.prepend(picture);
      return;
    }
    const swap = () => { if (place.wanted === source && picture.getAttribute("src") !== source) picture.src = source; };
    if (there) swap();
    else make("img", { src: source }).decode().then(swap, swap);
  }

  // What REST answers: {ok, value} or {ok: false, sentence, field}.
  async function ask(path, method = "GET", body = undefined) {
    const options = body === undefined ? { method } : { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, options).catch(() => null);
    if (answer && answer.status === 401) { location.reload(); return { ok: false, sentence: "" }; } // signed out: the sign-in page says what to do
    const value = answer ? await answer.json().catch(() => null) : null;
    if (answer && answer.ok && value) return { ok: true, value };
    const { message = "The studio does not answer. Look whether it still runs.", field = null } = (value && value.error) || {};
    return { ok: false, sentence: message, field };
  }

  // On plain http, where browsers have no clipboard for scripts, the old way still works.
  async function copy(text, button) {
    let done = false;
    if (navigator.clipboard && window.isSecureContext) done = await navigator.clipboard.writeText(text).then(() => true, () => false);
    if (!done) {
      const box = make("textarea", { value: text, className: "unseen", readOnly: true });
      document.body.append(box);
      box.select();
      done = document.execCommand("copy");
      box.remove();
      button.focus();
    }
    const words = button.dataset.words || button.textContent;
    button.dataset.words = words; // a second press meanwhile must not take "Copied" for its words
    button.textContent = done ? "Copied" : "Select it and copy";
    setTimeout(() => { button.textContent = words; delete button.dataset.words; }, 1600);
  }

  const copier = (text, words = "Copy") => make("button", { type: "button", className: "plain", textContent: words, onclick: (event) => copy(text(), event.currentTarget) });

  const recipe = (request) => [`seed ${request.seed}`, `${request.steps} steps`, request.sampler, request.schedule, `guidance ${request.guidance}`, `${request.width} × ${request.height}`, ...(request.vae ? [`VAE ${request.vae.split("/").pop()}`] : [])].join(" · ");

  // Controls that cannot be used until what they offer has come. Gradio tells of a list that was only looked at as if it had been set.
  const blocks = (ids) => ids.map((id) => document.getElementById(id)).filter(Boolean);
  const face = (block) => [...block.querySelectorAll("input, .token")].map((part) => part.value ?? part.textContent).join();
  let entered = {};
  document.addEventListener("focusin", ({ target }) => {
    const block = target.closest(".block");
    entered = block ? { id: block.id, face: face(block) } : {};
  });
  function hold(source, ids) {
    const looked = entered.id === source && entered.face === face(document.getElementById(source));
    if (!looked) blocks(ids).forEach((block) => { block.inert = true; });
  }
  const release = (ids) => blocks(ids).forEach((block) => { block.inert = false; });

  return { at, make, say, painter, show, ask, copy, copier, recipe, hold, release };
})();
