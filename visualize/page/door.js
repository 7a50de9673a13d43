// Who else sets what is looked at, and brings what is new? The frame around the page, which is a notebook's, or the
// address that it came from, while a training goes on. Both say the same things, one after the other.

import { checked } from "./page.js";
import { toAddress } from "./state.js";
import { timeDrawn } from "./views/follow.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./source.js").PageSource} Source */

/**
 * set: values of the state. told: facts of the run that is trained. step, tensors, text: the weights of one of its steps,
 * what lists them, and the piece that holds them. again: the page is to be opened anew.
 * @typedef {{set?: Record<string, any>, told?: any, step?: number, tensors?: import("./source.js").Listing, text?: string, again?: boolean}} Message
 */

/** What a notebook's widget and the page have in common. */
const SHARED = ["step", "module", "strength"];

const SHARE = 0.02; // of the machine that showing a training takes from it, about
const DRAWN = 300; // milliseconds after which all of a message is drawn, what is out of sight, too
const LONGEST = 15_000; // milliseconds that nothing new is shown

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
  const take = inOrder((/** @type {Message} */ message) => receive(page, source, [message]));
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
  const take = atEase((/** @type {Message[]} */ messages) => receive(page, source, messages));
  events.addEventListener("message", (event) => {
    page.state.set({ heard: true });
    const message = JSON.parse(event.data);
    if (!message.again) return take(message);
    events.close();
    openAgain(page);
  });
  events.addEventListener("error", () => page.state.set({ heard: false }));
}

/** Some at once, so that what all of them change is drawn once.
 * @param {Page} page @param {Source} source @param {Message[]} messages */
async function receive(page, source, messages) {
  const opened = [];
  for (const { tensors, text, ...message } of messages) {
    if (tensors) source.give(tensors.piece, text ?? "");
    opened.push({ ...message, tensors: tensors && (await source.tensors(tensors)) });
  }
  for (const { set, told, step, tensors, again } of opened) {
    if (set) page.state.set(checked(page, set));
    if (again) openAgain(page);
    else if (step !== undefined && tensors) receiveStep(page, step, tensors, told);
    else if (told) page.receive(0, { told });
  }
}

/** @param {Page} page @param {number} step @param {Awaited<ReturnType<Source["tensors"]>>} tensors @param {any} told */
function receiveStep(page, step, tensors, told) {
  const { state, run } = page;
  page.runs[0].told.steps.push(step);
  // Who looks at the newest step goes on looking at the newest; who went back stays there.
  const follows = run === page.runs[0] && state.get("step") >= (run.steps.at(-1) ?? 0);
  page.receive(0, { step, tensors, told });
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

/**
 * Training wants the same processor. So the page rests after each drawing, the longer the more that took and the fewer
 * cores there are, and then takes what has come meanwhile together.
 * @template T @param {(given: T[]) => Promise<void>} act @returns {(given: T) => void}
 */
function atEase(act) {
  /** @type {T[]} */
  const waiting = [];
  let going = false;
  const pause = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));
  const go = async () => {
    while (waiting.length) {
      const [began, drawn] = [performance.now(), timeDrawn()];
      await act(waiting.splice(0)).catch((error) => console.error(error));
      const taken = performance.now() - began;
      await pause(DRAWN);
      const cost = taken + timeDrawn() - drawn;
      await pause(Math.min(LONGEST, cost / (SHARE * (navigator.hardwareConcurrency || 2))) - DRAWN);
    }
    going = false;
  };
  return (given) => {
    waiting.push(given);
    if (!going) void go();
    going = true;
  };
}
