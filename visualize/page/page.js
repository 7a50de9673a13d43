// What does the page know, and what does the reader look at? Runs, the model, one state; views and workers share it.

import { namesOf } from "./naming.js";
import { RunData } from "./run.js";
import { changeBy, keyOf, moduleOf, used } from "./setting.js";

/** @typedef {import("./setting.js").Setting} Setting */

export const ROOMS = { touch: "Touch it", train: "Train it", overview: "Overview" };

export class Page {
  /** @param {any} manifest @param {any} source @param {import("./state.js").State} state */
  constructor(manifest, source, state) {
    this.manifest = manifest;
    this.source = source;
    this.state = state;
    /** @type {RunData[]} */
    this.runs = manifest.runs.map((/** @type {any} */ told) => new RunData(told));
    /** @type {Map<string, any> | null} */
    this.weights = null;
    /** Whether the base model runs in this page. */
    this.live = Boolean(manifest.base?.live);
    /** Why it does not, though the page was written for it. */
    this.failed = "";
    /** @type {import("./lab.js").Remote | null} */
    this.lab = null;
    /** @type {Map<string, any>} */
    this.answers = new Map();
    /** What was graded of models as the reader set them. @type {Map<string, any>} */
    this.grades = new Map();
    this.arrived = 0;
    /** @type {WeakMap<RunData, {whole: boolean, names: import("./naming.js").Names}>} */
    this.named = new WeakMap();
    /** How matrices are multiplied here, once that is known. @type {"relaxed" | "simd" | "plain" | null} */
    this.kernels = null;
  }

  /** The run that is looked at. */
  get run() {
    return this.runs[this.state.get("run")] ?? this.runs[0];
  }

  /** The runs that are there: a training of this tab may have been discarded, and keeps its place. */
  get present() {
    return this.runs.filter((run) => !run.told.gone);
  }

  get palette() {
    return this.manifest.themes[this.state.get("theme")] ?? this.manifest.themes.dark;
  }

  /** Whether the run that is looked at can be asked here: the model runs, and all that the run changed is here whole. */
  get playable() {
    return this.live && this.run.told.plays;
  }

  /** Whether the page brings what the model was taught, to be graded and trained on. */
  get taught() {
    return this.live && this.manifest.tasks.length > 0;
  }

  /** What the run that is looked at was taught and is graded on; undefined where that is not in the page. Runs may have other
   * questions under one name. @returns {{name: string, train: any[], heldout: any[]} | undefined} */
  get data() {
    return this.manifest.tasks[this.run.told.data];
  }

  /** Whether its first run is being trained now. */
  get training() {
    return Boolean(this.manifest.training) && this.runs[0].told.status === "running";
  }

  /** The place of the present step among those whose weights are here; -1 until they have come. */
  get at() {
    return this.run.at(this.state.get("step"));
  }

  /** Whether the base's own weights are drawn: they are here, and of the size of what the run changed. */
  get grounded() {
    return this.weights !== null && this.run.form !== "pictures";
  }

  /** Whether this can be looked at: without the base there is no before and no now, and without a run's weights nothing of what
   * it changed. @param {string} view */
  offers(view) {
    if (this.run.form === "none") return this.grounded && view === "before";
    return this.grounded || view === "glow" || view === "signed";
  }

  /** What the pixels show. */
  get view() {
    const view = this.state.get("view");
    return this.offers(view) ? view : this.offers("before") && !this.offers("glow") ? "before" : "glow";
  }

  /** The base, as a worker is started with it. */
  get base() {
    return { ...this.manifest.base, weights: this.weights };
  }

  /** What the matrices of a run are called, those of the base too. @param {RunData} [run] */
  namesOf(run = this.run) {
    const whole = this.weights !== null;
    let found = this.named.get(run);
    if (found?.whole !== whole) {
      const base = [...(this.weights?.keys() ?? [])].map((name) => name.replace(/\.weight$/, ""));
      found = { whole, names: namesOf([...new Set([...run.modules.map((one) => one.name), ...base])]) };
      this.named.set(run, found);
    }
    return found.names;
  }

  /** The place of the run that can be mixed into this one, or -1. @param {RunData} [run] */
  otherThan(run = this.run) {
    const mixes = (/** @type {RunData} */ one) => one.form !== "pictures" && one.form !== "none";
    return mixes(run) ? this.runs.findIndex((one) => one !== run && !one.told.gone && mixes(one)) : -1;
  }

  /** The model that the reader has set. @returns {Setting} */
  setting() {
    const { state } = this;
    const other = this.runs[this.otherThan()];
    const mix = other ? state.get("mix") : 0;
    const parts = [{ run: String(this.runs.indexOf(this.run)), step: state.get("step"), share: 1 - mix }];
    if (mix) parts.push({ run: String(this.runs.indexOf(other)), step: other.stops.at(-1) ?? 0, share: mix });
    return { parts, strength: state.get("strength"), off: state.get("off") };
  }

  /** Whether the weights of all that a setting adds have come. @param {Setting} setting */
  has(setting) {
    return used(setting).every(({ run, step }) => (this.runs[Number(run)]?.at(step) ?? -1) >= 0);
  }

  /** Whether the reader has changed anything of the run's own model. */
  get pristine() {
    const { strength, off, parts } = this.setting();
    return strength === 1 && parts.length === 1 && !off.length;
  }

  /** What the reader's setting adds to a module: (out, in), or a picture of it; null while that has not come.
   * @param {string} name @param {Setting} [setting] @returns {Float32Array | null} */
  change(name, setting = this.setting()) {
    if (!this.has(setting)) return null;
    if (this.run.form === "pictures") {
      const strength = setting.off.includes(name) ? 0 : setting.strength;
      return this.run.delta(this.at, name)?.map((value) => value * strength) ?? null;
    }
    return changeBy(new Map(this.runs.map((run, at) => [String(at), run])), setting, name);
  }

  /** All that the model is given when this is asked: a question of the run with what stood before it there. Null where nobody
   * knows what that was. @param {string} prompt @returns {{role: string, content: string}[] | null} */
  chatOf(prompt) {
    const known = this.run.told.chats?.find((/** @type {any} */ [shown]) => shown === prompt);
    return known ? known[1] : [{ role: "user", content: prompt }];
  }

  /** What a model says; each is asked once, and nothing before its weights are here, nor what can only be asked in part.
   * @param {Setting} setting @param {string[]} prompts @returns {Promise<any[]>} */
  async ask(setting, prompts) {
    const chats = prompts.map((prompt) => this.chatOf(prompt));
    const key = (/** @type {any} */ chat) => `${keyOf(setting)}\n${JSON.stringify(chat)}`;
    const missing = chats.filter((chat) => chat && !this.answers.has(key(chat)));
    if (missing.length && this.has(setting)) {
      const { answers } = this; // others, where its run went back meanwhile
      const found = await this.tell("ask", { setting, chats: missing });
      if (answers.size > 20000) answers.clear();
      if (found) missing.forEach((chat, at) => answers.set(key(chat), found[at]));
    }
    return chats.map((chat) => this.answers.get(key(chat)));
  }

  /** The worker that holds the model is told or asked; null where it fails, undefined where there is none.
   * @param {string} what @param {any} asked @returns {Promise<any>} */
  async tell(what, asked) {
    return this.lab?.call(what, asked).catch((error) => this.fail(error));
  }

  /** The model does not run here after all: the page says why, and shows what was captured. @param {Error} error @returns {null} */
  fail(error) {
    this.live = false;
    this.failed ||= error.message;
    this.state.set({ arrived: ++this.arrived });
    return null;
  }

  /** A new run, from a training in this page or elsewhere. @param {any} told @returns {number} its place */
  addRun(told) {
    this.runs.push(new RunData(told));
    this.tell("run", { key: String(this.runs.length - 1), told });
    this.state.set({ runs: this.present.length });
    return this.runs.length - 1;
  }

  /** Forget a training of this tab, here and in the worker, and look at the last before it. @param {number} index */
  discard(index) {
    const run = this.runs[index];
    Object.assign(run.told, { gone: true, captured: [], answers: [] });
    run.steps.length = run.tensors.length = 0;
    this.tell("forget", { key: String(index) });
    const others = this.runs.map((one, at) => (one.told.own && !one.told.gone ? at : -1));
    this.choose(Math.max(0, others.findLast((at) => at >= 0 && at < index) ?? others.findLast((at) => at >= 0) ?? 0));
    this.state.set({ runs: this.present.length });
  }

  /** A training of this tab is back at a step: what came after it is forgotten, since other weights may come under its number.
   * @param {number} index @param {number} step */
  back(index, step) {
    this.runs[index].forgetAfter(step);
    this.tell("back", { key: String(index), step });
    [this.answers, this.grades] = [new Map(), new Map()];
    this.state.set({ arrived: ++this.arrived });
  }

  /** A piece of a run: weights of a step, or lines of its log. Every view that shows it is told.
   * @param {number} index @param {{step?: number, tensors?: Map<string, any>, told?: any}} piece */
  receive(index, { step, tensors, told }) {
    const run = this.runs[index];
    if (told) Object.assign(run.told, told);
    if (step !== undefined && tensors) {
      run.add(step, tensors);
      this.tell("step", { key: String(index), step, tensors });
    }
    this.state.set({ arrived: ++this.arrived });
  }

  /** Look at another run: its own steps and modules. @param {number} index */
  choose(index) {
    const run = this.runs[index];
    if (!run) return;
    const { state } = this;
    const module = run.byName.has(state.get("module"))
      ? state.get("module")
      : (run.modules.find((one) => one.shape.length === 2)?.name ?? "");
    state.set({ run: index, module, step: run.stopAt(state.get("step")), off: [], mix: 0 });
  }
}

/** @param {any} manifest */
export function firstState(manifest) {
  const run = manifest.runs[0];
  const steps = run.steps.length ? run.steps : run.captured;
  const dark = typeof matchMedia === "undefined" || !matchMedia("(prefers-color-scheme: light)").matches;
  const moved = run.norms.columns;
  const most = Object.keys(moved).sort((a, b) => (moved[b].at(-1) ?? 0) - (moved[a].at(-1) ?? 0));
  const matrices = run.modules
    .filter((/** @type {any} */ one) => one.shape.length === 2)
    .map((/** @type {any} */ one) => one.name);
  return {
    room: "touch", run: 0, step: steps.at(-1) ?? 0, module: most.find((name) => matrices.includes(name)) ?? matrices[0] ?? "",
    view: "glow", strength: 1, mix: 0, off: [], prompt: firstPrompt(run), theme: dark ? "dark" : "light",
    playing: false, arrived: 0, runs: manifest.runs.length, ready: false, whole: false, heard: true,
  }; // prettier-ignore
}

/** The question whose answer changed for the better, else one that changed, else the first. @param {any} run */
function firstPrompt(run) {
  const rows = run.answers;
  const steps = [...new Set(rows.map((/** @type {any} */ row) => row.step))];
  const first = rows.filter((/** @type {any} */ row) => row.step === steps[0]);
  const last = new Map(
    rows
      .filter((/** @type {any} */ row) => row.step === steps.at(-1))
      .map((/** @type {any} */ row) => [row.prompt, row]),
  );
  const learned = first.filter((/** @type {any} */ row) => !row.correct && last.get(row.prompt)?.correct);
  // A question that can be read across a hall says more than a long one.
  learned.sort((/** @type {any} */ a, /** @type {any} */ b) => b.prompt.split(" ").length - a.prompt.split(" ").length);
  return learned.find((/** @type {any} */ row) => row.prompt.length < 60)?.prompt ?? first[0]?.prompt ?? "";
}

/** What an address or a notebook may set: only what there is. @param {Page} page @param {Record<string, any>} found */
export function checked(page, found) {
  const clamp = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.min(Math.max(value, low), high);
  const good = { ...found };
  if (!Object.hasOwn(ROOMS, found.room)) delete good.room;
  if (!page.runs[found.run] || page.runs[found.run].told.gone) delete good.run;
  const run = page.runs[good.run] ?? page.run;
  if (!run.byName.has(found.module)) delete good.module;
  if (!["glow", "signed", "before", "now"].includes(found.view)) delete good.view;
  if (!Object.hasOwn(page.manifest.themes, found.theme)) delete good.theme;
  // Another run may not hold the step that is looked at.
  if (found.step !== undefined || run !== page.run) good.step = run.stopAt(found.step ?? page.state.get("step"));
  if (found.strength !== undefined) good.strength = clamp(found.strength, -1, 2);
  if (found.mix !== undefined) good.mix = clamp(found.mix, 0, 1);
  if (found.off) good.off = found.off.filter((/** @type {string} */ name) => run.byName.has(moduleOf(name)));
  if (good.mix && page.otherThan(run) < 0) delete good.mix;
  return good;
}
