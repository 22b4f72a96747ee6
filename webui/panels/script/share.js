// Sharing: who is here, the links, what is shown to the team, and links to settings. Every right is checked by the studio, not here.
stepwise.share = (() => {
  const ME = "stepwise-me"; // the name and colour that somebody chose, kept in this browser
  const { at, make, ask, copy, copier } = stepwise;
  let me = null;
  let state = null; // what only the owner hears of

  // Taken out of the address at once: a reload is to show what was changed since.
  const recipeLink = location.hash.startsWith("#recipe=") ? location.hash : "";
  if (recipeLink) history.replaceState(null, "", location.pathname + location.search);

  // --- links to settings ---

  // What the browser kept of the last visit, with the link that the page was opened with now.
  const kept = (settings) => (recipeLink ? { ...settings, recipe: recipeLink } : settings);

  function told(ticket) {
    const sentence = ticket && ticket.told;
    if (!sentence) return;
    const notice = make("section", { id: "notice", aria: { role: "alert" } }, make("p", { textContent: sentence }));
    notice.append(make("button", { type: "button", className: "plain", textContent: "Close", onclick: () => notice.remove() }));
    at("#masthead").after(notice);
  }

  // Whether something was done as it should be; if not, the page says what is the matter.
  async function attempt(path, method) {
    const { value, sentence } = await ask(path, method);
    if (!value) told({ told: sentence });
    return Boolean(value);
  }

  function recipe(names, values, fields) {
    const shown = names.map((name, number) => [name, values[number]]).filter(([name, value]) => fields.includes(name) && value !== null && value !== "" && value.length !== 0)
      .map(([name, value]) => [name, Array.isArray(value) ? JSON.stringify(value) : value]);
    const parameters = new URLSearchParams([["recipe", 1], ...shown]).toString().replaceAll("+", "%20");
    copy(`${location.origin}/#${parameters}`, at("#recipe-link"));
  }

  // Beside the finished picture: its link, and whether it is shown to the team.
  async function besidePicture() {
    const line = at("#status-file");
    const link = line.querySelector('a[href^="/pictures/"]');
    if (!link || line.querySelector(".beside")) return;
    const beside = make("span", { className: "beside" });
    line.append(beside);
    const path = link.getAttribute("href");
    const { value } = await ask(`/api${path}`);
    if (!value || !beside.isConnected) return;
    if (value.recipe) beside.append(" · ", copier(() => `${location.origin}/${value.recipe}`, "Copy settings link"));
    if (value.yours && me?.role !== "viewer") beside.append(" · ", visibility(path, value.shown));
  }

  function visibility(path, shown) {
    const words = (is) => (is ? "Shown to the team" : "Private");
    const button = make("button", { type: "button", className: "plain", textContent: words(shown), title: "Private, or shown to everybody at this studio", aria: { pressed: shown } });
    button.onclick = async () => {
      const { value } = await ask(`/api${path}`, "PUT", { shown: button.getAttribute("aria-pressed") !== "true" });
      if (!value) return;
      button.textContent = words(value.shown);
      button.setAttribute("aria-pressed", value.shown);
    };
    return button;
  }

  // --- who I am ---

  async function meet() {
    const { value } = await ask("/api/me");
    if (!value) return;
    const changed = !me || ["name", "colour", "role"].some((field) => me[field] !== value[field]);
    me = { ...me, ...value };
    document.documentElement.dataset.role = me.role;
    if (changed) badge();
  }

  function badge() {
    const mast = at("#masthead");
    if (!mast) return;
    const old = at("#me");
    const shown = make("button", { id: "me", type: "button", title: `You: ${me.name}, who ${me.may}`, onclick: () => at('#tabs [role="tab"][data-tab-id="share"]')?.click() }, dot(me.shade), make("span", { textContent: me.name }), me.role === "viewer" ? make("em", { textContent: "looking" }) : null);
    if (old) old.replaceWith(shown);
    else mast.append(shown);
  }

  const dot = (shade) => { const made = make("i", { className: "dot" }); made.style.background = shade; return made; };

  // A guest who has chosen a name in this browser before is called so again; anybody else is asked once.
  async function introduce() {
    if (!me || me.role === "owner" || !/^Guest \d+$/.test(me.name)) return;
    const kept = JSON.parse(localStorage.getItem(ME) || "null");
    if (kept && (await name(kept.name, kept.colour)) === null) return;
    if (at("#welcome")) return;
    const welcome = make("section", { id: "welcome", aria: { label: "Your name" } }, make("p", { textContent: "What shall the others call you?" }), naming(() => {}));
    at("#masthead").after(welcome);
  }

  // `null` when it is done, else a sentence.
  async function name(wanted, colour) {
    const { value, sentence } = await ask("/api/me", "PUT", { name: wanted, colour });
    if (!value) return sentence;
    localStorage.setItem(ME, JSON.stringify({ name: value.name, colour: value.colour }));
    me = { ...me, ...value };
    badge();
    at("#welcome")?.remove();
    return null;
  }

  function naming(done) {
    const kept = JSON.parse(localStorage.getItem(ME) || "null") || {};
    const fresh = /^Guest \d+$/.test(me.name);
    const box = make("input", { type: "text", maxLength: 24, value: kept.name || (fresh ? "" : me.name), placeholder: me.name, autocomplete: "nickname", aria: { label: "Your name" } });
    const shades = make("div", { className: "shades", aria: { role: "radiogroup", label: "Your colour" } });
    Object.entries(me.colours).forEach(([colour, shade]) => {
      const choice = make("label", { title: colour }, make("input", { type: "radio", name: "colour", value: colour, checked: colour === me.colour, aria: { label: colour } }), dot(shade));
      shades.append(choice);
    });
    const wrong = make("p", { className: "wrong", aria: { role: "alert" } });
    const form = make("form", { className: "naming" }, box, shades, make("button", { type: "submit", className: "main", textContent: "Save" }), wrong);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const sentence = await name(box.value.trim() || me.name, form.querySelector("input[name=colour]:checked").value);
      wrong.textContent = sentence || "";
      if (sentence === null) done();
    };
    return form;
  }

  // --- the tab ---

  async function draw() {
    const place = at("#share");
    if (!place || !me) return;
    const [{ value: people }, { value: pictures }, owned] = await Promise.all([ask("/api/people"), ask("/api/shown"), me.role === "owner" ? ask("/api/share") : {}]);
    state = owned.value || null;
    const typing = place.contains(document.activeElement) && document.activeElement.matches("input[type=text], input[type=password]");
    if (typing) return;
    const everybody = present((people && people.people) || []);
    const wall = team((pictures && pictures.pictures) || []);
    const columns = state ? [[network(), rules(), everybody], [...(state.on ? [links()] : []), myself(), wall]] : [[wall], [myself(), everybody]];
    const held = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    place.replaceChildren(...columns.map((column) => make("div", {}, ...column)));
    if (held) at(`[aria-label="${CSS.escape(held)}"]`, place)?.focus(); // the keyboard goes on where it was
  }

  const part = (className, title, ...inside) => make("section", { className }, make("h2", { textContent: title }), ...inside);
  const words = (text, className = "") => make("p", { textContent: text, className });

  async function change(body, line) {
    const { value, sentence } = await ask("/api/share", "PUT", body);
    if (value) draw();
    else if (line) line.textContent = sentence;
    return Boolean(value);
  }

  function toggle(on, label, flip) {
    const button = make("button", { type: "button", className: "switch", aria: { role: "switch", checked: on, label } });
    let flipping = false; // not `disabled`, which would take the focus from it
    button.onclick = () => {
      if (flipping) return;
      flipping = true;
      flip(!on).finally(() => { flipping = false; });
    };
    return make("div", { className: "toggle" }, button, make("span", { textContent: label, onclick: () => button.click() }));
  }

  function network() {
    const wrong = make("p", { className: "wrong", aria: { role: "alert" } });
    const place = state.on ? new URL(state.links.maker.url).origin : "";
    const now = state.on ? `On, at ${place}. Whoever has a link can come in; nobody else gets further than the sign-in page.` : "Off. Only this machine reaches the studio.";
    const open = state.on && !state.fingerprint ? words("The connection is not encrypted: whoever can listen on this network can read along. Start webui with --tls-self-signed to encrypt it.", "note") : null;
    const print = state.fingerprint ? words("The certificate's fingerprint (SHA-256), to compare with what a guest's browser shows:", "note") : null;
    return part("network", "Local network", toggle(state.on, "Share this studio on the local network", (on) => change({ on }, wrong)), words(now), wrong, open, print, print && make("code", { textContent: state.fingerprint }));
  }

  function links() {
    const cards = [["maker", "To make pictures"], ["viewer", "Only to look"]].map(([role, title]) => {
      const { url, qr } = state.links[role];
      const code = make("div", { className: "code", aria: { role: "img", label: `QR code of the link: ${title.toLowerCase()}` } });
      code.innerHTML = qr; // drawn by the studio
      const box = make("input", { type: "text", readOnly: true, value: url, aria: { label: `Link: ${title.toLowerCase()}` }, onfocus: () => box.select() });
      return make("div", { className: "card" }, make("h3", { textContent: title }), code, make("div", { className: "copying" }, box, copier(() => url)));
    });
    const sure = make("div", { className: "sure", hidden: true }, words("All guests are signed out at once. They come in again, with their pictures, through the new link."));
    sure.append(make("button", { type: "button", className: "main", textContent: "Make new links", onclick: () => attempt("/api/share/links", "POST").then(draw) }));
    const renew = make("button", { type: "button", className: "plain", textContent: "New links", onclick: () => { sure.hidden = !sure.hidden; } });
    return part("links", "Links for guests", make("div", { className: "cards" }, ...cards), make("p", {}, renew), sure);
  }

  function rules() {
    const wrong = make("p", { className: "wrong", aria: { role: "alert" } });
    const box = make("input", { type: "password", autocomplete: "new-password", placeholder: state.password ? "A new password" : "At least 8 characters", aria: { label: "Password for guests" } });
    const form = make("form", { className: "copying" }, box, make("button", { type: "submit", className: "plain", textContent: state.password ? "Change password" : "Set password" }));
    form.onsubmit = async (event) => {
      event.preventDefault();
      const password = box.value;
      box.blur();
      if (password && !(await change({ password }, wrong))) box.value = password;
    };
    const gone = state.password ? make("button", { type: "button", className: "plain", textContent: "Remove password", onclick: () => change({ password: "" }, wrong) }) : null;
    return part("rules", "Rules", toggle(state.shown, "Show new pictures to the team", (shown) => change({ shown }, wrong)),
      words("Otherwise a picture is private until its maker shows it. Those that there are stay as they are.", "note"),
      words(state.password ? "Guests are asked for a password after their link." : "Guests need only the link. A password can be asked for besides."), form, gone, wrong);
  }

  function myself() {
    const more = [];
    if (me.role !== "owner") {
      const place = make("div", { className: "card", hidden: true });
      const device = make("button", { type: "button", className: "plain", textContent: "Go on on another device" });
      device.onclick = async () => {
        const { value, sentence } = await ask("/api/me/link", "POST");
        place.hidden = false;
        if (!value) { place.replaceChildren(words(sentence, "wrong")); return; }
        const code = make("div", { className: "code", aria: { role: "img", label: "QR code of a link to your own place" } });
        code.innerHTML = value.qr;
        place.replaceChildren(words("Opens once, within ten minutes: that device is you too.", "note"), code, copier(() => value.url));
      };
      const stays = "Whoever opens the studio's link in this browser later is you again. In a private window nothing is kept.";
      const leave = make("button", { type: "button", className: "plain", textContent: "Sign out", title: stays, onclick: async () => { if (await attempt("/api/me", "DELETE")) location.reload(); } });
      more.push(make("p", { className: "acts" }, device, leave), place);
    }
    return part("myself", "You", words(`You ${me.may}.`), naming(() => draw()), ...more);
  }

  function present(people) {
    const rows = people.map((person) => {
      const dismiss = state && person.role !== "owner" ? make("button", { type: "button", className: "plain", textContent: "Sign out", title: "A link that they still have lets them in again", aria: { label: `Sign out ${person.name}` } }) : null;
      if (dismiss) dismiss.onclick = async () => { if (await attempt(`/api/people/${person.id}`, "DELETE")) dismiss.textContent = "Signed out"; };
      return make("li", {}, dot(person.shade), make("b", { textContent: person.name }), make("span", { textContent: person.id === me.id ? "you" : person.may }), dismiss);
    });
    return part("people-here", "People", make("ul", { className: "people" }, ...rows));
  }

  function team(names) {
    const pictures = names.map((name) => {
      const link = make("a", { href: `/pictures/${name}`, target: "_blank", rel: "noopener" }, make("img", { src: `/pictures/${name}`, loading: "lazy", alt: "" }));
      // What it is called and whose it is, once somebody looks at it.
      link.onpointerenter = link.onfocus = async () => {
        link.onpointerenter = link.onfocus = null;
        const { value } = await ask(`/api/pictures/${name}`);
        if (!value) return;
        const prompt = value.recipe ? new URLSearchParams(value.recipe.slice(1)).get("prompt") : "";
        link.title = [prompt, value.by && `by ${value.by.name}`].filter(Boolean).join(", ");
      };
      link.setAttribute("aria-label", name.split("/").pop());
      return link;
    });
    return part("team", "Shown to the team", pictures.length ? make("div", { className: "wall" }, ...pictures) : words("Nothing yet. Under a finished picture, Private turns into Shown to the team.", "note"));
  }

  // --- when ---

  stepwise.tabs.onChange((tab) => { if (tab === "share") stepwise.tabs.whenThere("share", "#share", draw); });

  async function begin() {
    if (!at("#masthead") || !at("#status-file")) { setTimeout(begin, 100); return; }
    new MutationObserver(besidePicture).observe(at("#status-file"), { childList: true });
    await meet();
    besidePicture();
    introduce();
    setInterval(() => { if (!document.hidden) meet(); }, 4000);
  }
  begin();

  return { kept, told, recipe };
})();
