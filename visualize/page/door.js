// Who else sets what is looked at, and brings what is new? The frame around the page, which is a notebook's, or the
// address that it came from, while a training goes on. Both say the same things, one after the other.

import { checked } from "./page.js";
import { toAddress } from "./state.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./source.js").PageSource} Source */

/**
 * set: values of the state. told: facts of the run that is trained. step, tensors, text: the weights of one of its steps,
 * what lists them, and the piece that holds them. again: the page is to be opened anew.
 * @typedef {{set?: Record<string, any>, told?: any, step?: number, tensors?: import("./source.js").Listing, text?: string, again?: boolean}} Message
 */

/** What a notebook's widget and the page have in common. */
const SHARED = ["step", "module", "strength"];

/** What the page was written for: "" (to lie on a disk), "frame" or "training". */
export function doorOf() {
  return document.querySelector('meta[name="glasstune-door"]')?.getAttribute("content") ?? "";
}

/** @param {Page} page @param {Source} source */
export function openDoor(page, source) {
  const door = doorOf();
  if (door === "frame") listenToFrame(page, source);
  if (door === "training") listenToTraining(page, source);
}

/** @param {Page} page @param {Source} source */
function listenToFrame(page, source) {
  const take = inOrder((/** @type {Message} */ message) => receive(page, source, message));
  const say = (/** @type {any} */ glasstune) => parent.postMessage({ glasstune }, "*");
  addEventListener("message", (event) => {
    if (event.source === parent && event.data?.glasstune) take(event.data.glasstune);
  });
  const told = () => Object.fromEntries(SHARED.map((key) => [key, page.state.get(key)]));
  page.state.watch(SHARED, () => say({ state: told() }));
  say({ ready: told() });
}

/** Events of this page's own address. The browser asks again by itself, and says what it had last.
 * @param {Page} page @param {Source} source */
function listenToTraining(page, source) {
  const events = new EventSource(`events?after=${page.manifest.training.after}`);
  const take = inOrder((/** @type {Message} */ message) => {
    if (message.again) events.close();
    return receive(page, source, message);
  });
  events.addEventListener("message", (event) => {
    page.state.set({ heard: true });
    take(JSON.parse(event.data));
  });
  events.addEventListener("error", () => page.state.set({ heard: false }));
}

/** @param {Page} page @param {Source} source @param {Message} message */
async function receive(page, source, { set, told, step, tensors, text, again }) {
  if (set) page.state.set(checked(page, set));
  if (again) return openAgain(page);
  if (step === undefined || !tensors) {
    if (told) page.receive(0, { told });
    return;
  }
  source.give(tensors.piece, text ?? "");
  page.runs[0].told.steps.push(step);
  const { state, run } = page;
  // Who looks at the newest step goes on looking at the newest; who went back stays there.
  const follows = run === page.runs[0] && state.get("step") >= (run.steps.at(-1) ?? 0);
  page.receive(0, { step, tensors: await source.tensors(tensors), told });
  if (follows && !state.get("playing")) state.set({ step });
}

/** The address brings another page now, that of the finished run; what is looked at stays. @param {Page} page */
function openAgain(page) {
  const address = toAddress(page.state) || `step=${page.state.get("step")}`;
  history.replaceState(null, "", `#${address}`);
  location.reload();
}

/** @template T @param {(given: T) => any} act @returns {(given: T) => void} */
function inOrder(act) {
  let last = Promise.resolve();
  return (given) => {
    last = last.then(() => act(given)).catch((error) => console.error(error));
  };
}
