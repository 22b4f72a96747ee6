// What every script of the page uses. Each file adds one thing to `stepwise`; page.py loads them in order.
window.stepwise = (() => {
  const at = (selector, within = document) => within.querySelector(selector);
  const make = (tag, properties = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...inside);
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
    const value = answer ? await answer.json().catch(() => null) : null;
    if (answer && answer.ok && value) return { ok: true, value };
    const { message = "The studio does not answer. Look whether it still runs.", field = null } = (value && value.error) || {};
    return { ok: false, sentence: message, field };
  }

  const recipe = (request) => [`seed ${request.seed}`, `${request.steps} steps`, request.sampler, request.schedule, `guidance ${request.guidance}`, `${request.width} × ${request.height}`].join(" · ");

  return { at, make, say, painter, show, ask, recipe };
})();
