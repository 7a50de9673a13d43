// When is a view drawn? Before the next frame after something that it shows has changed; what is out of sight, once all
// is still, so that scrubbing costs what is seen.

const STILL = 200; // milliseconds

let drawing = 0;

/** Milliseconds that all views together have been drawn for, since the page was opened. */
export const timeDrawn = () => drawing;

/** @type {WeakSet<Element>} */
const unseen = new WeakSet();
const observer =
  typeof IntersectionObserver === "undefined"
    ? null
    : new IntersectionObserver(
        (entries) => {
          for (const { target, isIntersecting } of entries) {
            if (isIntersecting) unseen.delete(target);
            else unseen.add(target);
          }
        },
        { rootMargin: "100px" },
      );

/** Draw when one of these keys changes; also in another theme, and when its room is shown again, since what is in no room is
 * not drawn. Who acts on a change, instead of drawing, watches the state. @param {import("../page.js").Page} page
 * @param {Element} element @param {string[]} keys of the state @param {() => void} draw */
export function follow(page, element, keys, draw) {
  let waiting = false;
  /** @type {any} */
  let timer;
  observer?.observe(element);
  const now = () => {
    waiting = false;
    if (!element.isConnected) return;
    const began = performance.now();
    draw();
    drawing += performance.now() - began;
  };
  const ask = () => {
    if (waiting) return;
    clearTimeout(timer);
    if (unseen.has(element)) {
      timer = setTimeout(now, STILL);
      return;
    }
    waiting = true;
    requestAnimationFrame(now);
  };
  page.state.watch([...keys, "room", "theme"], ask);
  ask();
  return ask;
}

/** What makes the model another one. */
export const MODEL = ["run", "step", "strength", "off", "mix", "arrived"];

/** The steps and the words for one: "before training", "step 18". @param {import("../page.js").Page} page @param {number} step */
export function nameOfStep(page, step) {
  if (page.run.told.unknown_steps) return "as saved";
  return step === 0 ? "before training" : `step ${step}`;
}
