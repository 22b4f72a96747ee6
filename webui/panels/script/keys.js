// Keys that every tab has. A tab names its two buttons here: Ctrl+Enter presses the first, Escape the second while there is something to stop.
stepwise.keys = (() => {
  const tabs = {};
  const name = (tab, generate, escape) => { tabs[tab] = { generate, escape }; };

  // While capturing: a list that Escape is about to close is still open.
  document.addEventListener("keydown", (event) => {
    const tab = tabs[stepwise.tabs.shown()];
    if (!tab) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); tab.generate(); }
    if (event.key === "Escape" && event.target.getAttribute("aria-expanded") !== "true") tab.escape(event);
  }, true);

  return { name };
})();
