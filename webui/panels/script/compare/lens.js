// One zoom and one pan for every cell: a detail is seen in all of them at once.
stepwise.lens = (() => {
  const { at, say } = stepwise;
  const MOST = 16;
  const lens = { scale: 1, x: 0, y: 0 }; // the part of a frame at its left top, as shares of the frame's size
  const fingers = new Map();
  let moved = false; // the press has become a drag: no click
  const well = () => at("#compare-well");

  function set(scale, x, y) {
    lens.scale = Math.min(MOST, Math.max(1, scale));
    const room = 1 - lens.scale;
    [lens.x, lens.y] = [Math.min(0, Math.max(room, x)), Math.min(0, Math.max(room, y))];
    const { style, classList } = well();
    style.setProperty("--zoom", lens.scale);
    style.setProperty("--left", `${lens.x * 100}%`);
    style.setProperty("--top", `${lens.y * 100}%`);
    classList.toggle("zoomed", lens.scale > 1);
    classList.toggle("grainy", lens.scale >= 4);
    say(at("#compare-zoom"), `${Math.round(lens.scale * 100)} %`);
  }

  // Around a point of the frame, in shares of its size.
  function zoom(factor, x = 0.5, y = 0.5) {
    const scale = Math.min(MOST, Math.max(1, lens.scale * factor));
    const grown = scale / lens.scale;
    set(scale, x - (x - lens.x) * grown, y - (y - lens.y) * grown);
  }

  const reset = () => set(1, 0, 0);
  const pan = (right, down) => set(lens.scale, lens.x + right, lens.y + down);

  const frameOf = (event) => event.target.closest && event.target.closest("#compare-well .frame");
  const within = (frame, event) => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  function wheel(event) {
    const frame = frameOf(event);
    // In the sheet a wheel alone scrolls the page.
    if (!frame || !(event.ctrlKey || event.metaKey || frame.closest("#compare-large"))) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...within(frame, event));
  }

  function down(event) {
    const frame = frameOf(event);
    if (!frame || event.button) return;
    if (!fingers.size) moved = false;
    fingers.set(event.pointerId, { frame, x: event.clientX, y: event.clientY });
  }

  function move(event) {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const box = finger.frame.getBoundingClientRect();
    const [right, lower] = [(event.clientX - finger.x) / box.width, (event.clientY - finger.y) / box.height];
    const far = Math.hypot(event.clientX - finger.x, event.clientY - finger.y) > 4;
    if (fingers.size === 2) {
      const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(finger.x - other.x, finger.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      moved = true;
      zoom(after / Math.max(1, before), (other.x - box.left) / box.width, (other.y - box.top) / box.height);
    } else if (lens.scale > 1 && (moved || far)) {
      moved = true;
      pan(right, lower);
    } else return;
    Object.assign(finger, { x: event.clientX, y: event.clientY });
  }

  const up = (event) => fingers.delete(event.pointerId);

  document.addEventListener("wheel", wheel, { passive: false });
  document.addEventListener("pointerdown", down);
  document.addEventListener("pointermove", move);
  ["pointerup", "pointercancel"].forEach((name) => document.addEventListener(name, up));
  document.addEventListener("dblclick", (event) => {
    const frame = frameOf(event);
    if (!frame || !frame.closest("#compare-large")) return;
    if (lens.scale > 1) reset();
    else zoom(3, ...within(frame, event));
  });

  return { zoom, pan, reset, dragged: () => moved, zoomed: () => lens.scale > 1 };
})();
