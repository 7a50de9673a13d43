// The second room: teach the model something, here, and watch it happen.

import { fill, h, number } from "../dom.js";
import { Trainings } from "../trainings.js";
import { makeExamples } from "./examples.js";
import { makeFields } from "./fields.js";
import { follow } from "./follow.js";
import { save } from "./keep.js";
import { makeMap } from "./map.js";
import { makePlane } from "./plane.js";
import { makeQuestion } from "./question.js";
import { makeSkills } from "./skills.js";
import { makeTimeline } from "./timeline.js";

const ASKED = 5000; // milliseconds in which a second click is the answer

/** @param {import("../page.js").Page} page */
export function makeTrainRoom(page) {
  const { state } = page;
  const examples = makeExamples(page);
  const fields = makeFields();
  const trainings = new Trainings(page, ({ log, end }) => {
    const { steps } = page.runs[trainings.going].told.info.settings;
    if (log) fill(note, `Step ${log.step} of ${steps}: loss ${number(log.loss)}, ${number(log.ms)} ms a step`);
    if (end) fill(note, `${end.done ? "Done" : "Stopped"} after ${end.steps} steps${end.best < Infinity ? `; a step took ${number(end.best)} ms at best` : ""}.`); // prettier-ignore
  });
  const button = (/** @type {string} */ kind, /** @type {string} */ text, /** @type {() => any} */ act) =>
    h("button", { type: "button", class: kind, onclick: act }, text);
  const own = () => page.runs.indexOf(page.run);
  const go = button("main", "Train", () => act(() => trainings.start(examples.chosen(), fields.chosen()), "Starting…"));
  const stop = button("quiet", "Stop", () => trainings.stop());
  const on = button("quiet", "Go on", () => act(() => trainings.goOn(own(), fields.rate())));
  const branch = button("quiet", "Branch from this step", () =>
    act(() => trainings.branch(own(), state.get("step"), fields.rate())),
  );
  const download = button("quiet", "Download", () => act(keep));
  const discard = button("quiet", "", () => {
    if (asking !== own()) return ask(own());
    ask(-1);
    const { name } = page.run.told;
    act(async () => {
      await trainings.discard(own());
      fill(note, `${name} is discarded.`);
    });
  });
  /** The run of which it was asked whether it is to go, or -1. */
  let asking = -1;
  /** @type {any} */
  let askedAt;
  const note = h("p", { class: "note", role: "status" });
  const problem = h("p", { class: "apart", role: "alert" });
  const form = h("form", { class: "teach", "aria-label": "What to teach, and how", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, examples.element, fields.element, h("div", { class: "buttons" }, go, stop, on, branch, download, discard), note, problem); // prettier-ignore
  const stage = h("section", { class: "hero", "aria-label": "The training" });
  const plane = makePlane(page);
  const element = h("div", { class: "train" }, form, stage, plane);
  let busy = false;

  /** What a button does: one at a time, and what goes wrong is said. @param {() => Promise<void>} work @param {string} [said] meanwhile */
  async function act(work, said) {
    if (busy) return;
    busy = true;
    fill(problem);
    if (said) fill(note, said);
    show();
    try {
      await work();
    } catch (error) {
      fill(problem, error instanceof Error ? error.message : String(error));
      fill(note);
    }
    busy = false;
    show();
  }

  /** A training is nowhere else: it goes at the second click, soon after the first. @param {number} index */
  function ask(index) {
    asking = index;
    clearTimeout(askedAt);
    if (index >= 0) askedAt = setTimeout(() => ask(-1), ASKED);
    show();
  }

  async function keep() {
    const { told, steps } = page.run;
    const bytes = await trainings.files(own());
    const kind = told.method === "lora" ? "adapter" : "model";
    save(new Blob([bytes], { type: "application/zip" }), `${told.name}-step-${steps.at(-1)}-${kind}.zip`);
  }

  function show() {
    const { told, steps } = page.run;
    const mine = Boolean(told.own);
    go.disabled = busy || !state.get("ready");
    stop.hidden = trainings.going < 0;
    for (const one of [on, branch, download, discard]) one.hidden = busy || !mine || !steps.length;
    branch.disabled = state.get("step") >= told.info.settings?.steps; // no step would be left
    // The worker has the weights of the last step, whichever is looked at.
    fill(download, `Download the ${told.method === "lora" ? "adapter" : "model"} (step ${steps.at(-1)})`);
    fill(discard, asking === own() ? `Discard ${told.name}, which is nowhere else?` : "Discard");
    element.classList.toggle("begun", mine);
    if (mine && !stage.childElementCount)
      fill(stage, makeQuestion(page), makeMap(page), makeSkills(page), makeTimeline(page));
    element.dataset.going = String(busy);
  }
  /** The room shows what was trained here; a run that came with the file is for the other rooms. */
  state.watch(["room"], () => {
    const last = page.runs.findLastIndex((run) => run.told.own && !run.told.gone);
    if (state.get("room") === "train" && !page.run.told.own && last >= 0) page.choose(last);
  });
  follow(page, element, ["run", "runs", "ready", "step", "arrived"], show);
  return element;
}
