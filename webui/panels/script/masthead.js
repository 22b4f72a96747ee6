// How the engine is, in the masthead.
stepwise.watchEngine = async () => {
  const { at, say, ask, watchEngine } = stepwise;
  const answer = await ask("/api/status");
  if (answer.ok) stepwise.models.heard(answer.value.models, answer.value.memory);
  say(at("#engine-state"), answer.ok ? answer.value.message : "The studio does not answer. Is it still running?");
  setTimeout(watchEngine, !answer.ok || answer.value.state === "ready" ? 2000 : 700);
};
