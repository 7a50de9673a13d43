// The second room: teach the model something, here, and watch it happen.

import { fill, h, number } from "../dom.js";
import { RATES } from "../engine/train.js";
import { Remote, startWorker } from "../lab.js";
import { copyUpTo, receiveOwn, toldOfOwn } from "../own.js";
import { makeExamples } from "./examples.js";
import { follow } from "./follow.js";
import { save } from "./keep.js";
import { makeMap } from "./map.js";
import { makePlane } from "./plane.js";
import { makeQuestion } from "./question.js";
import { makeSkills } from "./skills.js";
import { makeTimeline } from "./timeline.js";

const GRADED = 8; // questions of each old skill, while it trains

/** @param {import("../page.js").Page} page */
export function makeTrainRoom(page) {
  const { state } = page;
  const examples = makeExamples(page);
  const fields = makeFields();
  const go = h("button", { type: "button", class: "main", onclick: () => start() }, "Train");
  const stop = h(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: () => remote?.call("rest", { key: key() }) },
    "Stop",
  );
  const on = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => goOn() }, "Go on");
  const branch = h(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: () => startBranch() },
    "Branch from this step",
  );
  const download = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => keep() }, "Download");
  const note = h("p", { class: "note", role: "status" });
  const problem = h("p", { class: "apart", role: "alert" });
  const form = h("form", { class: "teach", "aria-label": "What to teach, and how", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, examples.element, fields.element, h("div", { class: "buttons" }, go, stop, on, branch, download), note, problem); // prettier-ignore
  const stage = h("section", { class: "hero", "aria-label": "The training" });
  const plane = makePlane(page);
  const element = h("div", { class: "train" }, form, stage, plane);
  /** @type {Remote | null} */
  let remote = null;
  let going = -1; // the place of the run that is training
  const own = () => page.runs.indexOf(page.run);
  const key = () => String(going >= 0 ? going : own());

  async function worker() {
    if (remote) return remote;
    remote = new Remote(startWorker());
    const { weights: _, ...about } = page.manifest.base;
    await remote.call("start", { base: { ...about, weights: page.weights } });
    return remote;
  }

  async function start() {
    fill(problem);
    try {
      const chosen = examples.chosen();
      const { method, settings } = fields.chosen();
      const index = page.addRun(toldOfOwn(page, { ...chosen, method, settings, examples: chosen.train.length, heldout: chosen.heldout.length, asked: askedOf(chosen) }, `yours ${page.runs.filter((run) => run.told.own).length + 1}`)); // prettier-ignore
      const closed = Object.entries(page.manifest.skills).filter(([, skill]) => skill.closed);
      const groups = {
        [chosen.task]: { closed: true, examples: (chosen.heldout.length ? chosen.heldout : chosen.train).slice(0, 40) },
        ...Object.fromEntries(
          closed.map(([name, skill]) => [name, { closed: true, examples: skill.examples.slice(0, GRADED) }]),
        ),
      };
      const plan = { examples: chosen.train, replay: settings.mix ? page.manifest.replay : [], method, settings, groups, capture: Math.max(1, Math.round(settings.steps / 40)), evaluate: Math.max(1, Math.round(settings.steps / 12)) }; // prettier-ignore
      const first = chosen.heldout[0] ?? chosen.train[0];
      page.choose(index);
      state.set({ step: 0, strength: 1, prompt: first.at(-2).content });
      fill(note, "Starting…");
      await (await worker()).call("plan", { key: String(index), plan });
      await run(index);
    } catch (error) {
      fill(problem, error instanceof Error ? error.message : String(error));
      fill(note);
    }
  }

  /** @param {number} index @param {any} [settings] */
  async function run(index, settings) {
    going = index;
    show();
    const { told } = page.runs[index];
    told.status = "running";
    let best = Infinity;
    try {
      const end = await (
        await worker()
      ).call("train", { key: String(index), settings }, (step) => {
        const following = state.get("step") === (page.runs[index].steps.at(-1) ?? 0);
        receiveOwn(page, index, step);
        if (step.tensors && following && page.run === page.runs[index]) state.set({ step: step.step });
        if (step.log) {
          best = Math.min(best, step.log.ms);
          fill(
            note,
            `Step ${step.log.step} of ${told.info.settings.steps}: loss ${number(step.log.loss)}, ${number(step.log.ms)} ms a step`,
          );
        }
      });
      told.status = end.done ? "finished" : "stopped";
      fill(note, `${end.done ? "Done" : "Stopped"} after ${end.steps} steps; a step took ${number(best)} ms at best.`);
    } catch (error) {
      told.status = "stopped";
      fill(problem, error instanceof Error ? error.message : String(error));
    }
    going = -1;
    page.receive(index, {});
    show();
  }

  function goOn() {
    const { told } = page.run;
    const { settings } = told.info;
    const rate = fields.chosen().settings.rate;
    if (told.status === "finished") settings.steps += Math.max(20, Math.round(settings.steps / 2));
    settings.learning_rate = settings.rate = rate;
    run(own(), { steps: settings.steps, rate });
  }

  /** From the step that is shown, with the rate that the form has now. */
  async function startBranch() {
    const from = own();
    const before = page.run.told;
    const { rate } = fields.chosen().settings;
    const told = toldOfOwn(page, { task: before.task, method: { ...before.info.method, rank: before.info.method.r }, settings: { ...before.info.settings, rate }, examples: before.info.data.train, heldout: before.info.data.heldout, asked: before.asked }, `branch ${page.runs.filter((one) => one.told.own).length + 1}`); // prettier-ignore
    const index = page.addRun(told);
    const step = await (
      await worker()
    ).call("branch", { key: String(index), from: String(from), step: state.get("step"), settings: { rate } });
    Object.assign(told, copyUpTo(before, step));
    const first = page.runs[from];
    first.steps.forEach((one, at) => one <= step && page.receive(index, { step: one, tensors: first.tensors[at] }));
    page.choose(index);
    state.set({ step });
    await run(index);
  }

  async function keep() {
    const { told } = page.run;
    const { base } = page.manifest;
    const bytes = await (await worker()).call("files", { key: String(own()), name: base.source });
    save(
      new Blob([bytes], { type: "application/zip" }),
      `${told.name}-${told.method === "lora" ? "adapter" : "model"}.zip`,
    );
  }

  function show() {
    const mine = Boolean(page.run.told.own);
    const busy = going >= 0;
    go.disabled = busy;
    stop.hidden = !busy;
    for (const button of [on, branch, download]) button.hidden = busy || !mine;
    fill(download, page.run.told.method === "lora" ? "Download the adapter" : "Download the model");
    element.classList.toggle("begun", mine);
    if (mine && !stage.childElementCount)
      fill(stage, makeQuestion(page), makeMap(page), makeSkills(page), makeTimeline(page));
    element.dataset.going = String(busy);
  }
  /** The room shows what was trained here; a run that came with the file is for the other rooms. */
  state.watch(["room"], () => {
    const last = page.runs.findLastIndex((run) => run.told.own);
    if (state.get("room") === "train" && !page.run.told.own && last >= 0) page.choose(last);
  });
  follow(page, element, ["run", "runs", "ready"], show);
  return element;
}

/** A few of its questions, to ask while it learns. @param {{task: string, train: any[], heldout: any[]}} chosen */
const askedOf = ({ task, train, heldout }) =>
  (heldout.length ? heldout : train)
    .slice(0, 6)
    .map((chat) => ({ skill: task, prompt: chat.at(-2).content, expected: chat.at(-1).content }));

/** Method and settings, with what works for this model filled in. */
function makeFields() {
  const input = (/** @type {string} */ label, /** @type {number} */ value, /** @type {any} */ about) => {
    const field = h("input", { type: "number", value, required: true, ...about });
    return { field, element: h("label", {}, h("span", {}, label), field) };
  };
  const method = h(
    "select",
    { "aria-label": "Method", onchange: () => usual() },
    h("option", { value: "lora" }, "LoRA"),
    h("option", { value: "full" }, "full fine-tuning"),
  );
  const parts = {
    rank: input("rank", 8, { min: 1, max: 64, step: 1 }), alpha: input("alpha", 16, { min: 1, max: 512, step: 1 }), rate: input("learning rate", RATES.lora, { min: 0.00001, max: 0.1, step: "any" }),
    steps: input("steps", 120, { min: 1, max: 2000, step: 1 }), batch: input("batch", 32, { min: 1, max: 128, step: 1 }), mix: input("old examples mixed in, %", 0, { min: 0, max: 90, step: 5 }), seed: input("seed", 0, { min: 0, max: 1e6, step: 1 }),
  }; // prettier-ignore
  function usual() {
    const name = /** @type {"lora" | "full"} */ (method.value);
    parts.rate.field.value = String(RATES[name]);
    parts.rank.element.hidden = parts.alpha.element.hidden = name === "full";
  }
  const element = h(
    "div",
    { class: "fields" },
    h("label", {}, h("span", {}, "method"), method),
    Object.values(parts).map((one) => one.element),
  );
  function chosen() {
    const value = (/** @type {keyof typeof parts} */ name) => {
      const { field } = parts[name];
      const found = Number(field.value);
      if (field.value === "" || !(found >= Number(field.min)) || !(found <= Number(field.max)))
        throw new Error(`${field.previousSibling.textContent} must be a number from ${field.min} to ${field.max}`);
      return found;
    };
    const lora = method.value === "lora";
    return {
      method: lora ? { name: "lora", rank: value("rank"), alpha: value("alpha") } : { name: "full" },
      settings: {
        rate: value("rate"),
        steps: value("steps"),
        batch: value("batch"),
        mix: value("mix") / 100,
        seed: value("seed"),
      },
    };
  }
  return { element, chosen };
}
