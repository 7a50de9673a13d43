// When is a view drawn? Before the next frame after something that it shows has changed, and only while it is seen.

/** @param {import("../page.js").Page} page @param {Element} element @param {string[]} keys of the state @param {() => void} draw */
export function follow(page, element, keys, draw) {
  let waiting = false;
  const ask = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (element.isConnected) draw();
    });
  };
  page.state.watch([...keys, "room", "theme"], ask);
  ask();
  return ask;
}

/** What makes the model another one. */
export const MODEL = ["run", "step", "strength", "off", "mix", "other", "arrived"];

/** The steps and the words for one: "before training", "step 18". @param {import("../page.js").Page} page @param {number} step */
export function nameOfStep(page, step) {
  if (page.run.told.unknown_steps) return "as saved";
  return step === 0 ? "before training" : `step ${step}`;
}
