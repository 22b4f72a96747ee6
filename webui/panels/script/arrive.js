// The page is there once the controls of all its tabs show what they should: only then is the tab of the address opened.
stepwise.arrive = (() => {
  const awaited = new Set(["create", "compare"]);

  return (tab) => {
    awaited.delete(tab);
    if (awaited.size) return;
    stepwise.tabs.arrive();
    stepwise.watchEngine();
    stepwise.watchQueue();
  };
})();
