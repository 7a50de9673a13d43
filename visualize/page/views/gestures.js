// How is a picture moved by mouse, pen and fingers? One finger or the wheel scrolls the page until it is zoomed into.

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{zoomed: () => boolean, zoom: (by: number, x: number, y: number) => void, pan: (dx: number, dy: number) => void,
 *   point: (x: number, y: number) => void, tap: (x: number, y: number) => void, leave: () => void}} doing
 */
export function gestures(canvas, doing) {
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  let moved = 0;
  const at = (/** @type {PointerEvent | WheelEvent | MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !doing.zoomed()) return;
      event.preventDefault();
      const { x, y } = at(event);
      doing.zoom(Math.exp(-Math.min(Math.max(event.deltaY, -120), 120) / (event.ctrlKey ? 90 : 250)), x, y);
    }, { passive: false }); // prettier-ignore
  canvas.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, at(event));
    moved = 0;
    if (doing.zoomed()) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event);
    if (!event.buttons) down.delete(event.pointerId); // it was let go where the canvas was not told
    const before = down.get(event.pointerId);
    if (!before) return doing.point(now.x, now.y);
    const others = [...down.entries()].filter(([id]) => id !== event.pointerId);
    moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (others.length) {
      const other = others[0][1];
      const far = Math.hypot(before.x - other.x, before.y - other.y);
      doing.zoom(
        Math.hypot(now.x - other.x, now.y - other.y) / Math.max(far, 1),
        (now.x + other.x) / 2,
        (now.y + other.y) / 2,
      );
    } else if (doing.zoomed() && moved > 4) doing.pan(now.x - before.x, now.y - before.y);
    down.set(event.pointerId, now);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    const { x, y } = at(event);
    if (down.delete(event.pointerId) && moved < 6 && event.type === "pointerup") doing.tap(x, y);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && doing.leave());
  canvas.addEventListener("dblclick", (event) => {
    const { x, y } = at(event);
    doing.zoom(4, x, y);
  });
  // While a picture is zoomed its one finger moves it; else it scrolls the page.
  canvas.addEventListener(
    "touchmove",
    (event) => (doing.zoomed() || event.touches.length > 1) && event.preventDefault(),
    { passive: false },
  );
}
