// When? A scrubber over the captured steps, on the curve of the loss; play, arrow keys.

import { fill, h, number, svg } from "../dom.js";
import { doorOf } from "../door.js";
import { extent } from "../run.js";
import { follow, nameOfStep } from "./follow.js";
import { makeDial } from "./instrument.js";

const WIDE = 1000;
const HIGH = 64;
const SECONDS = 7; // a whole run, played

/** @param {import("../page.js").Page} page */
export function makeTimeline(page) {
  const { state } = page;
  const range = h("input", { type: "range", min: 0, step: 1, id: "scrub", "aria-label": "Step", oninput: () => { pause(); toStep(Number(range.value)); }, onkeydown: keys }); // prettier-ignore
  const play = h("button", {
    type: "button",
    class: "play",
    onclick: () => (state.get("playing") ? pause() : start()),
  });
  const label = h("output", { class: "when", for: "scrub" });
  const loss = h("span", { class: "loss" });
  const chart = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const track = h("div", { class: "track" }, chart, range);
  const strength = makeDial(page, "hero-strength");
  const element = h(
    "div",
    { class: "timeline" },
    h("div", { class: "scrubber" }, play, track),
    h("div", { class: "where" }, h("div", {}, label, loss), strength),
  );
  let began = 0;

  const steps = () => page.run.stops;
  /** @param {number} wanted */
  function toStep(wanted) {
    const nearest = page.run.nearest(wanted);
    if (nearest !== undefined) state.set({ step: nearest });
  }
  /** Arrow keys go from capture to capture, not from number to number. @param {KeyboardEvent} event */
  function keys(event) {
    const all = steps();
    const at = all.indexOf(page.run.stopAt(state.get("step")));
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
    if (event.key === " ") (event.preventDefault(), state.get("playing") ? pause() : start());
    if (!by) return;
    event.preventDefault();
    pause();
    state.set({ step: all[Math.min(Math.max(at + by, 0), all.length - 1)] });
  }
  function start() {
    const all = steps();
    if (all.length < 2) return;
    const at = all.indexOf(state.get("step"));
    began = performance.now() - (at >= all.length - 1 || at < 0 ? 0 : (at / (all.length - 1)) * SECONDS * 1000);
    state.set({ playing: true });
    requestAnimationFrame(tick);
  }
  function pause() {
    state.set({ playing: false });
  }
  /** @param {number} time */
  function tick(time) {
    if (!state.get("playing")) return;
    const all = steps();
    const place = Math.max(0, (time - began) / 1000 / SECONDS) * (all.length - 1);
    state.set({ step: all[Math.min(Math.floor(place), all.length - 1)] });
    if (place >= all.length - 1) pause();
    else requestAnimationFrame(tick);
  }

  function drawCurve() {
    const all = steps();
    const last = all.at(-1) || 1;
    range.max = String(last);
    const { metrics } = page.run.told;
    const values = metrics.columns.loss ?? [];
    const [, most] = extent(values, 0, 1e-9);
    const points = metrics.steps
      .map((/** @type {number} */ step, /** @type {number} */ at) => [step, values[at]])
      .filter((/** @type {any[]} */ one) => one[1] !== null && one[1] !== undefined)
      .map(
        (/** @type {number[]} */ [step, value]) =>
          `${((step / last) * WIDE).toFixed(1)},${(HIGH - 4 - (value / most) * (HIGH - 10)).toFixed(1)}`,
      );
    const ticks = all.map((/** @type {number} */ step) =>
      svg("line", { x1: (step / last) * WIDE, x2: (step / last) * WIDE, y1: HIGH - 3, y2: HIGH, class: "tick" }),
    );
    fill(
      chart,
      points.length > 1 && [
        svg("polygon", {
          class: "under",
          points: `0,${HIGH} ${points.join(" ")} ${points.at(-1)?.split(",")[0]},${HIGH}`,
        }),
        svg("polyline", { class: "line", points: points.join(" ") }),
      ],
      ticks,
    );
  }
  function showStep() {
    const step = state.get("step");
    const all = steps();
    range.value = String(step);
    track.style.setProperty("--place", String(step / (all.at(-1) || 1)));
    const { metrics } = page.run.told;
    // The first step's loss was measured before that step changed anything; a mean over more steps was not.
    const before = metrics.steps[0] === 1 ? 1 : 0;
    const at = metrics.steps.findLastIndex((/** @type {number} */ one) => one <= Math.max(step, before));
    const value = metrics.columns.loss?.[at];
    fill(label, nameOfStep(page, step));
    fill(loss, value === undefined || value === null ? "" : `loss ${number(value)}`);
    range.setAttribute(
      "aria-valuetext",
      `${nameOfStep(page, step)}${value ? `, loss ${number(value)} nats a token` : ""}`,
    );
    const playing = state.get("playing");
    fill(play, h("span", { class: playing ? "pauseicon" : "playicon", "aria-hidden": "true" }));
    play.setAttribute("aria-label", playing ? "Pause" : "Play the training");
  }

  follow(page, element, ["run", "arrived"], drawCurve);
  follow(page, element, ["run", "step", "playing", "arrived"], showStep);
  state.watch(["whole"], () => {
    // It plays once by itself, unless the reader came with a link or wants no motion, or Python or a training says what is shown.
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (
      !still &&
      !location.hash &&
      !doorOf() &&
      state.get("room") === "touch" &&
      state.get("step") === state.initial.step
    ) {
      state.set({ step: steps()[0] ?? 0 });
      setTimeout(start, 700);
    }
  });
  return element;
}
