// Which of the page's tabs is open. The address remembers it, so that a reload and a link come back to it.
stepwise.tabs = (() => {
  const { at, settleFeeds } = stepwise;
  const heard = [];
  let open = "create";

  const button = (name) => at(`#tabs [data-tab-id="${name}"]`);
  const shown = () => open;
  const choose = (name) => { if (name !== open && button(name)) button(name).click(); };
  const onChange = (listener) => heard.push(listener);

  function look() {
    const chosen = at('#tabs > .tab-wrapper [role="tab"][aria-selected="true"]');
    if (!chosen || chosen.dataset.tabId === open) return;
    open = chosen.dataset.tabId;
    history.replaceState(null, "", open === "create" ? location.pathname + location.search : `#${open}`);
    settleFeeds();
    heard.forEach((listener) => listener(open));
  }

  // Once the page is there.
  function arrive() {
    new MutationObserver(look).observe(at("#tabs > .tab-wrapper"), { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-selected"] });
    if (location.hash.length > 1) choose(location.hash.slice(1));
  }

  window.addEventListener("hashchange", () => choose(location.hash.slice(1) || "create"));
  return { arrive, choose, shown, onChange };
})();
