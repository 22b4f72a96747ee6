// The page is there, and its controls show what they should.
stepwise.arrive = () => {
  stepwise.tabs.arrive();
  stepwise.watchEngine();
};
