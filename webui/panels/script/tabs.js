// Which of the page's tabs is open. The address remembers it, so that a reload and a link come back to it.
stepwise.tabs = (() => {
  const { at, settleFeeds } = stepwise;
  const heard = [];
  let open = "create";

  const button = (name) => at(`#tabs [data-tab-id="${name}"]`);
  const shown = () => open;
  const choose = (name) => { if (name !== open && button(name)) button(name).click(); };
  const onChange = (listener) => heard.push(listener);

  // Calls `work` once a tab's content is in the page, which is not there until the tab has been opened, and on a slow machine a while after.
  function whenThere(tab, selector, work) {
    if (at(selector)) work();
    else if (open === tab) setTimeout(() => whenThere(tab, selector, work), 50);
  }

  // Presses hidden buttons whenever `edition` is another one than before, each as soon as it is in the page.
  function renewer(ids, first) {
    const pressed = Object.fromEntries(ids.map((id) => [id, first]));
    let edition = first;
    const renew = (id) => { if (pressed[id] !== edition) { pressed[id] = edition; at(`#${id}`).click(); } };
    const press = () => ids.forEach((id) => whenThere("compare", `#${id}`, () => renew(id)));
    onChange((tab) => { if (tab !== "models") press(); });
    return (other) => { edition = other; press(); };
  }

  function look() {
    const chosen = at('#tabs > .tab-wrapper [role="tab"][aria-selected="true"]');
    if (!chosen || chosen.dataset.tabId === open) return;
    open = chosen.dataset.tabId;
    history.replaceState(null, "", open === "create" ? location.pathname + location.search : `#${open}`);
    settleFeeds();
    heard.forEach((listener) => listener(open));
  }

  // Once the page is there; somebody may have opened a tab before.
  function arrive() {
    new MutationObserver(look).observe(at("#tabs > .tab-wrapper"), { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-selected"] });
    look();
    if (location.hash.length > 1) choose(location.hash.slice(1));
  }

  window.addEventListener("hashchange", () => {
    // A link to settings, opened where the studio is open already: the page takes them when it loads.
    if (location.hash.startsWith("#recipe=")) location.reload();
    else choose(location.hash.slice(1) || "create");
  });
  return { arrive, choose, shown, onChange, renewer, whenThere };
})();
