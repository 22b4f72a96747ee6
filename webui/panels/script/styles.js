// Where the owner keeps styles: one form, drawn from REST when it is opened.
stepwise.styles = (() => {
  const { at, make, say, ask } = stepwise;
  const TEXTS = [["prompt", "Prompt", "ink drawing of {prompt}"], ["negative", "Negative prompt", ""]];
  let kept = [];
  let edition = 0;
  const renew = stepwise.tabs.renewer(["styles-again", "compare-styles-again"], edition);

  const field = (name, title, placeholder, area) => {
    const box = make(area ? "textarea" : "input", { name, placeholder, rows: 2, maxLength: area ? 20000 : 200, required: !area, autocomplete: "off" });
    return make("label", {}, make("span", { textContent: title }), box);
  };

  function draw(chosen, sentence = "") {
    const form = at("#styles-keeper");
    const which = make("select", { name: "which" }, make("option", { value: "", textContent: "A new style, from these prompts" }));
    kept.forEach((style) => which.append(make("option", { value: style.name, textContent: style.name })));
    which.value = kept.some((style) => style.name === chosen) ? chosen : "";
    which.onchange = () => { draw(which.value); at("select", form).focus(); }; // an arrow key goes on where it was
    const style = kept.find((one) => one.name === which.value);
    const remove = make("button", { type: "button", className: "tool", textContent: "Delete", disabled: !style, onclick: () => drop(style.name) });
    const line = make("p", { textContent: sentence });
    line.setAttribute("role", "status");
    form.replaceChildren(
      make("label", {}, make("span", { textContent: "Style" }), which),
      field("name", "Name", "Ink", false),
      ...TEXTS.map(([name, title, hint]) => field(name, title, hint, true)),
      make("p", { className: "note", textContent: "{prompt} is where your prompt goes; without it the text follows it." }),
      make("div", { className: "acts" }, make("button", { type: "submit", className: "tool", textContent: "Save" }), remove, make("button", { type: "button", className: "tool", textContent: "Close", onclick: () => toggle(false) })),
      line,
    );
    const shown = stepwise.create.settings();
    const texts = style || { name: "", prompt: shown.prompt || "", negative: shown.negative || "" };
    ["name", "prompt", "negative"].forEach((name) => { form.elements[name].value = texts[name]; });
  }

  async function toggle(open) {
    const form = at("#styles-keeper");
    form.hidden = !open;
    at("#styles-edit").setAttribute("aria-expanded", open);
    if (!open) { at("#styles-edit").focus(); return; }
    const { ok, value, sentence } = await ask("/api/styles");
    kept = ok ? value.styles : [];
    draw("", ok ? "" : sentence);
    at("select", form).focus();
  }

  async function save() {
    const { name, prompt, negative } = at("#styles-keeper").elements;
    const style = { name: name.value.trim(), prompt: prompt.value, negative: negative.value };
    told(await ask("/api/styles", "PUT", style), style.name, "Saved. Choose it above.");
  }

  const drop = async (name) => told(await ask(`/api/styles?name=${encodeURIComponent(name)}`, "DELETE"), "", `${name} is deleted.`);

  // What is typed stays where it was refused.
  function told({ ok, value, sentence }, chosen, done) {
    if (!ok) { say(at("#styles-keeper > p:last-child"), sentence); return; }
    kept = value.styles;
    draw(chosen, done);
    at("#styles-keeper select").focus();
    renew(++edition);
  }

  document.addEventListener("click", (event) => { if (event.target.closest("#styles-edit")) toggle(at("#styles-keeper").hidden); });
  document.addEventListener("submit", (event) => { if (event.target.id === "styles-keeper") { event.preventDefault(); save(); } });
  // On the window, which hears of a key before the document: there Escape would stop the picture as well.
  window.addEventListener("keydown", (event) => {
    const form = at("#styles-keeper");
    if (event.key !== "Escape" || event.isComposing || !form || form.hidden || stepwise.tabs.shown() !== "create") return;
    event.stopPropagation();
    toggle(false);
  }, true);
  return { toggle };
})();
