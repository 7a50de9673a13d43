// Who else sets what is looked at, and brings what is new? The frame around the page, which is a notebook's, or the
// address that it came from, while a training goes on. Both say the same things, one after the other.

import { newestOnly } from "./lab.js";
import { checked } from "./page.js";
import { tensorsOf, unpack } from "./source.js";
import { toAddress } from "./state.js";
import { timeDrawn } from "./views/follow.js";

/** @typedef {import("./page.js").Page} Page */

/**
 * set: values of the state. told: facts of the run that is trained, in this version. step, tensors, text: its newest
 * weights, what lists them, and the piece that holds them. again: the page is to be opened anew. cost: milliseconds of a
 * processor that the message took.
 * @typedef {{set?: Record<string, any>, version?: number, told?: any, step?: number, tensors?: import("./source.js").Listing, text?: string, again?: boolean, cost?: number}} Message
 */

/** What a notebook's widget and the page have in common (widget.js, too). */
const SHARED = ["step", "module", "strength"];

const SHARE = 0.02; // of the machine that showing a training takes from it, about
const DRAWN = 300; // milliseconds after which all of a message is drawn, what is out of sight, too
const LONGEST = 15_000; // milliseconds that nothing new is shown
const DEAF = 3000; // milliseconds until an address that did not answer is asked again

/** What the page was written for: "" (to lie on a disk), "frame" or "training". */
export function doorOf() {
  return document.querySelector('meta[name="glasstune-door"]')?.getAttribute("content") ?? "";
}

/** @param {Page} page */
export function openDoor(page) {
  const door = doorOf();
  if (door === "frame") listenToFrame(page);
  if (door === "training") void askTheTraining(page);
}

/** @param {Page} page */
function listenToFrame(page) {
  /** @type {Message} what has come while the page rested */
  let come = {};
  const show = newestOnly(() => {
    const message = come;
    come = {};
    return atEase(() => receive(page, message));
  });
  const say = (/** @type {any} */ glasstune) => parent.postMessage({ glasstune }, "*");
  const told = () => Object.fromEntries(SHARED.map((key) => [key, page.state.get(key)]));
  const take = (/** @type {Message} */ message) => {
    if (message.set) {
      page.state.set(checked(page, message.set));
      // Of a step that the page does not hold, the kernel is told which stands for it.
      if (SHARED.some((key) => message.set?.[key] !== undefined && message.set[key] !== page.state.get(key)))
        say({ state: told() });
    }
    if (!message.told) return;
    come = { ...come, ...message };
    show(undefined);
  };
  addEventListener("message", (event) => {
    if (event.source === parent && event.data?.glasstune) take(event.data.glasstune);
  });
  page.state.watch(SHARED, () => say({ state: told() }));
  say({ ready: told() });
}

/** What is new is asked of this page's own address: when there is time for it, and nothing but the end while nobody sees
 * the page. @param {Page} page */
async function askTheTraining(page) {
  let { version } = page.manifest.training;
  while (page.training) {
    const hidden = document.visibilityState === "hidden";
    const asked = { version, step: page.runs[0].steps.at(-1) ?? 0, hidden: Number(hidden) };
    /** @type {Message} */
    let message;
    try {
      const answer = await fetch(`news?${new URLSearchParams(/** @type {any} */ (asked))}`);
      message = await answer.json();
    } catch {
      page.state.set({ heard: false });
      await pause(DEAF);
      continue;
    }
    page.state.set({ heard: true });
    if (message.again) return openAgain(page);
    if (message.told) await atEase(() => receive(page, message), message.cost);
    version = message.version ?? version;
  }
}

/** @param {Page} page @param {Message} message */
async function receive(page, { told, step, tensors, text }) {
  if (step === undefined || !tensors) return page.receive(0, { told });
  const { state, run } = page;
  const weights = tensorsOf(await unpack(text ?? ""), tensors.tensors);
  page.runs[0].told.steps.push(step);
  // Who looks at the newest step goes on looking at the newest; who went back stays there.
  const follows = run === page.runs[0] && state.get("step") >= (run.steps.at(-1) ?? 0);
  page.receive(0, { step, tensors: weights, told });
  if (follows && !state.get("playing")) state.set({ step });
}

/** The address brings another page now, that of the finished run; what is looked at stays. @param {Page} page */
function openAgain(page) {
  const address = toAddress(page.state) || `step=${page.state.get("step")}`;
  history.replaceState(null, "", `#${address}`);
  location.reload();
}

const pause = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));

/** What showing something took, the last times. @type {number[]} */
const costs = [];

/**
 * Training wants the same processor. So the page rests after it has shown something, the longer the more that takes and the
 * fewer cores there are. The clock also counts when others had the processor, so the least of the last times is taken.
 * @param {() => Promise<void>} act @param {number} [cost] milliseconds that it has taken elsewhere
 */
async function atEase(act, cost = 0) {
  const [began, drawn] = [performance.now(), timeDrawn()];
  await act().catch((error) => console.error(error));
  const taken = performance.now() - began;
  await pause(DRAWN);
  costs.push(cost + taken + timeDrawn() - drawn);
  if (costs.length > 3) costs.shift();
  const all = Math.min(...costs);
  await pause(Math.min(LONGEST, all / (SHARE * (navigator.hardwareConcurrency || 2))) - DRAWN);
}
