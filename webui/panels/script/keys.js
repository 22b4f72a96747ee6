// Keys that every tab has. A tab names its two buttons here: Ctrl+Enter presses the first, Escape the second while there is something to stop.
stepwise.keys = (() => {
  const NAMING = "#welcome, .naming"; // who gives up a name does not mean the picture
  const tabs = {};
  const name = (tab, generate, escape) => { tabs[tab] = { generate, escape }; };

  // While capturing: a list that Escape is about to close is still open.
  document.addEventListener("keydown", (event) => {
    const tab = tabs[stepwise.tabs.shown()];
    if (!tab || event.isComposing) return; // a half-written word is accepted and given up with the same keys
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!event.repeat) tab.generate(); // however long it is held, it is one press
    }
    if (event.key === "Escape" && event.target.getAttribute("aria-expanded") !== "true" && !event.target.closest(NAMING)) tab.escape(event);
  }, true);

  return { name };
})();
