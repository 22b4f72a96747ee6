// Earlier comparisons, and what can be taken away from this one.
stepwise.shelf = (() => {
  const { at, make, say, ask } = stepwise;
  const { state, cells, label, jobOf, jobs, running } = stepwise.comparison;

  const EXAMPLES = { steps: "64", sampler: "Heun", schedule: "Karras", guidance: "9", seed: "5", model: "its folder's name", prompt: "another prompt", negative: "blurry" };

  async function refresh() {
    const answer = await ask("/api/comparisons");
    const list = at("#compare-earlier");
    if (!answer.ok || !list) return [];
    const entries = answer.value.comparisons;
    list.replaceChildren(
      make("option", { value: "", textContent: entries.length ? "Open an earlier comparison" : "No comparisons yet" }),
      ...entries.map((entry) => make("option", { value: entry.id, textContent: line(entry) })),
    );
    list.disabled = !entries.length;
    list.value = state.shown && entries.some((entry) => entry.id === state.shown.id) ? state.shown.id : "";
    return entries;
  }

  function line({ created, title, cells: count, state: how }) {
    const when = new Date(created).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    return `${when} · ${title} · ${count} ${count === 1 ? "cell" : "cells"}${how === "running" ? " · running" : ""}`;
  }

  function paint() {
    const place = at("#compare-away");
    if (!place || !state.shown) return;
    const [some, all] = [jobs().some((job) => job.picture), !running()];
    ["#compare-again", "#compare-use"].forEach((id) => { at(id).disabled = false; });
    at("#compare-add").hidden = false;
    at("#compare-add input").placeholder = EXAMPLES[state.shown.axes[0].field];
    const key = [state.shown.id, cells().length, some, all, state.by, state.selected, jobOf(cells()[state.selected]).picture].join();
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    const root = `/api/comparisons/${state.shown.id}`;
    const cell = cells()[state.selected];
    const { picture } = jobOf(cell);
    at(".sheet-files", place).replaceChildren(...(some ? [
      file("Contact sheet", `${root}/sheet.png`),
      all ? animation(`${root}/animation`, `?by=${state.by}`) : make("span", { textContent: "Animation: as soon as all have ended." }),
    ] : [make("span", { textContent: "As soon as the first picture is finished." })]));
    say(at(".cell-name", place), label(cell));
    at(".cell-files", place).replaceChildren(...(picture ? [
      file("Picture", `/pictures/${picture}`, picture.split("/").pop()),
      file("From noise to picture", `${root}/strip.png?cell=${state.selected}`),
      animation(`${root}/animation`, `?cell=${state.selected}`),
    ] : [make("span", { textContent: "As soon as it is finished." })]));
  }

  const file = (textContent, href, name = "") => make("a", { textContent, href, download: name, className: "file" });

  function animation(path, query) {
    const [webp, gif] = ["WebP", "GIF"].map((words) => {
      const made = file(words, `${path}.${words.toLowerCase()}${query}`);
      made.setAttribute("aria-label", `Animation, ${words}`);
      return made;
    });
    return make("span", { textContent: "Animation: " }, webp, " · ", gif);
  }

  return { refresh, paint };
})();
