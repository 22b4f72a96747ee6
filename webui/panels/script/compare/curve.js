// The convergence curve: how far each step count's picture is from that of the longest run, with the pictures on it.
stepwise.curve = (() => {
  const { at, make, say, ask } = stepwise;
  const { state, cells, label } = stepwise.comparison;
  const SVG = "http://www.w3.org/2000/svg";
  const [HEIGHT, LEFT, RIGHT, FOOT, GAP] = [236, 44, 16, 34, 6];
  let told = null; // {id, rows: [{curve, sentence, settled}]}
  let row = 0;

  const place = () => at("#compare-curve");
  const drawn = (tag, properties, words) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
    if (words !== undefined) made.textContent = words;
    return made;
  };

  async function load() {
    const { id } = state.shown;
    const answer = await ask(`/api/comparisons/${id}/curve`);
    if (!state.shown || state.shown.id !== id) return;
    told = answer.ok ? { id, rows: answer.value.rows || [answer.value] } : { id, rows: [], sentence: answer.sentence };
    row = Math.min(row, Math.max(0, told.rows.length - 1));
    paint();
  }

  function clear(words) {
    told = null;
    row = 0;
    if (!place()) return;
    at(".plot", place()).replaceChildren();
    at(".rows", place()).replaceChildren();
    say(at(".verdict", place()), words);
  }

  function paint() {
    if (!place() || !told || !state.shown || told.id !== state.shown.id) return;
    const one = told.rows[row];
    say(at(".verdict", place()), one ? one.sentence : told.sentence);
    const choices = at(".rows", place());
    choices.replaceChildren(...(told.rows.length > 1 ? told.rows.map(choice) : []));
    const plot = at(".plot", place());
    plot.replaceChildren();
    if (one && one.curve.length > 1) draw(plot, one);
  }

  function choice({ head: words }, number) {
    const made = make("button", { type: "button", className: "tool", textContent: words, onclick: () => { row = number; paint(); } });
    made.setAttribute("aria-pressed", number === row);
    return made;
  }

  function draw(plot, { curve, sentence, settled }) {
    const width = Math.max(240, plot.clientWidth);
    const inner = width - LEFT - RIGHT;
    const [low, high] = [curve[0].steps, curve[curve.length - 1].steps];
    // Doubling the steps is one stride: the first few change the most.
    const x = (steps) => LEFT + (inner * Math.log(steps / low)) / Math.log(high / low);
    const gaps = curve.slice(1).map((point, k) => x(point.steps) - x(curve[k].steps));
    const thumb = Math.min(64, Math.max(26, Math.min(...gaps) - GAP));
    const head = thumb + 12;
    const distance = (point) => 1 - point.ssim;
    const most = ceiling(Math.max(...curve.map((point) => Math.max(distance(point), point.mae))));
    const y = (value) => head + (HEIGHT - head - FOOT) * (1 - value / most);
    const svg = drawn("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": sentence });
    if (settled) svg.append(drawn("rect", { class: "settled", x: x(settled), y: head, width: Math.max(2, width - RIGHT - x(settled)), height: HEIGHT - head - FOOT }));
    for (const part of [0, 0.5, 1]) {
      const level = y(most * part);
      svg.append(drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: level, y2: level }));
      svg.append(drawn("text", { class: "tick", x: LEFT - 6, y: level + 4, "text-anchor": "end" }, Number((most * part).toPrecision(2))));
    }
    const line = (of) => curve.map((point) => `${x(point.steps).toFixed(1)},${y(of(point)).toFixed(1)}`).join(" ");
    svg.append(drawn("polyline", { class: "mae", points: line((point) => point.mae) }), drawn("polyline", { class: "ssim", points: line(distance) }));
    let right = -Infinity;
    const pictures = [];
    for (const [k, point] of curve.entries()) {
      const [across, level] = [x(point.steps), y(distance(point))];
      svg.append(drawn("circle", { class: "mae", cx: across, cy: y(point.mae), r: 3 }), drawn("circle", { class: "ssim", cx: across, cy: level, r: 4 }));
      // Where there are many, some stand for their neighbours; the last is always there.
      const last = k === curve.length - 1;
      const fits = across - thumb / 2 >= right && (last || across + thumb / 2 + GAP <= x(high) - thumb / 2);
      if (!fits && !last) continue;
      right = across + thumb / 2 + GAP;
      svg.append(drawn("line", { class: "stem", x1: across, x2: across, y1: thumb + 2, y2: level }));
      svg.append(drawn("text", { class: "tick", x: across, y: HEIGHT - FOOT + 16, "text-anchor": "middle" }, point.steps));
      pictures.push(thumbnail(point, Math.min(Math.max(0, across - thumb / 2), width - thumb), thumb));
    }
    plot.append(svg, ...pictures);
  }

  function thumbnail(point, left, edge) {
    const number = cells().findIndex((cell) => cell.values.steps === point.steps && cell.job.picture === point.picture);
    const words = `${point.steps} steps: SSIM ${point.ssim.toFixed(3)}, mean absolute difference ${point.mae.toFixed(3)}, SSIM where it is least alike ${point.worst.toFixed(3)}`;
    const made = make("button", { type: "button", className: "thumb", title: words }, make("img", { src: `/pictures/${point.picture}`, alt: "", draggable: false }));
    made.setAttribute("aria-label", `${words}. Show it large`);
    Object.assign(made.style, { left: `${left}px`, width: `${edge}px`, height: `${edge}px` });
    made.onclick = () => { if (number >= 0) { stepwise.look.select(number); stepwise.look.choose("large"); } };
    return made;
  }

  // The next of 0.05, 0.1, 0.2, 0.5, 1 that is not below.
  const ceiling = (value) => [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((one) => one >= value) || 1;

  return { load, clear, paint };
})();
