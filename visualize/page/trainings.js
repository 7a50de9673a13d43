// How is a training of this tab begun, gone on with, branched, and taken along? In one worker, one at a time; each is a run
// of the page, under the same number there as here.

import { Remote, startWorker } from "./lab.js";
import { changeRate, copyUpTo, receiveOwn, toldOfOwn } from "./own.js";

const GRADED = 8; // questions of each old skill, while it trains
const CAPTURES = { lora: 40, full: 12 }; // a full one is the whole model again, here and where it is asked

/** data: its place among the page's tasks, if it is one of them.
 * @typedef {{task: string, data: number | null, train: any[], heldout: any[], typed: boolean}} Taught */

export class Trainings {
  /** @param {import("./page.js").Page} page
   * @param {(told: {log?: any, end?: {done: boolean, steps: number, best: number}}) => void} tell of a step; of the end, with the
   * milliseconds of its fastest step */
  constructor(page, tell) {
    this.page = page;
    this.tell = tell;
    /** @type {Remote | null} */
    this.remote = null;
    /** The place of the run that trains now, or -1. */
    this.going = -1;
  }

  /** The worker, with the base in it: one that could not take it is not kept. */
  async worker() {
    if (this.remote) return this.remote;
    const remote = new Remote(startWorker());
    try {
      await remote.call("start", { base: this.page.base });
    } catch (error) {
      remote.end();
      throw error;
    }
    return (this.remote = remote);
  }

  /** Teach it from the base on. A run is made once the worker has taken the plan. @param {Taught} taught
   * @param {{method: any, settings: any}} how */
  async start(taught, { method, settings }) {
    const { page } = this;
    const { task, data, train, heldout, typed } = taught;
    const closed = Object.entries(page.manifest.skills).filter(([, skill]) => skill.closed);
    const groups = {
      [task]: { closed: true, examples: (heldout.length ? heldout : train).slice(0, 40) },
      ...Object.fromEntries(
        closed.map(([name, skill]) => [name, { closed: true, examples: skill.examples.slice(0, GRADED) }]),
      ),
    };
    const every = (/** @type {number} */ times) => Math.max(1, Math.round(settings.steps / times));
    const capture = every(method.name === "lora" ? CAPTURES.lora : CAPTURES.full);
    const replay = settings.mix ? page.manifest.replay : [];
    const plan = { examples: train, typed, replay, method, settings, groups, capture, evaluate: every(12) };
    const remote = await this.worker();
    const { mixed } = await remote.call("plan", { key: String(page.runs.length), plan });
    const about = { task, data, method, settings, examples: train.length, heldout: heldout.length, mixed, asked: askedOf(taught), chats: chatsOf(taught), typed: typed ? train : [] }; // prettier-ignore
    const index = page.addRun(toldOfOwn(page, about, this.nextName("yours")));
    page.choose(index);
    page.state.set({ step: 0, strength: 1, prompt: about.asked[0].prompt });
    await this.run(index);
  }

  /** Further with a run, at this rate; one that was done goes on for half as many steps again.
   * @param {number} index @param {number} rate */
  async goOn(index, rate) {
    const run = this.page.runs[index];
    const { settings } = run.told.info;
    Object.assign(run.told, copyUpTo(run.told, run.steps.at(-1) ?? 0)); // it may have gone back after it diverged
    if (run.told.status === "finished") settings.steps += Math.max(20, Math.round(settings.steps / 2));
    changeRate(settings, run.steps.at(-1) ?? 0, rate);
    await this.run(index, { steps: settings.steps, rate });
  }

  /** Another run from a step of this one, or the last before it that can be gone back to.
   * @param {number} from @param {number} wanted @param {number} rate */
  async branch(from, wanted, rate) {
    const { page } = this;
    const first = page.runs[from];
    const before = first.told;
    const remote = await this.worker();
    const asked = { key: String(page.runs.length), from: String(from), step: wanted, settings: { rate } };
    const step = await remote.call("branch", asked);
    const { info } = before;
    const told = toldOfOwn(page, { task: before.task, data: before.data, method: { ...info.method, rank: info.method.r }, settings: {}, examples: info.data.train, heldout: info.data.heldout, mixed: info.data.mixed_in?.examples ?? 0, asked: before.asked, chats: before.chats, typed: before.typed }, this.nextName("branch")); // prettier-ignore
    told.info.settings = { ...info.settings };
    changeRate(told.info.settings, step, rate);
    Object.assign(told, copyUpTo(before, step));
    const index = page.addRun(told);
    first.steps.forEach((one, at) => one <= step && page.receive(index, { step: one, tensors: first.tensors[at] }));
    page.choose(index);
    page.state.set({ step });
    await this.run(index);
  }

  /** @param {number} index @param {any} [settings] that are others from now on */
  async run(index, settings) {
    const { page } = this;
    const run = page.runs[index];
    this.going = index;
    run.told.status = "running";
    page.receive(index, {});
    let best = Infinity;
    try {
      const remote = await this.worker();
      const end = await remote.call("train", { key: String(index), settings }, (step) => {
        const following = page.state.get("step") === (run.steps.at(-1) ?? 0);
        receiveOwn(page, index, step);
        if (step.back !== undefined && page.run === run) page.state.set({ step: run.stopAt(page.state.get("step")) });
        if (step.tensors && following && page.run === run) page.state.set({ step: step.step });
        if (!step.log) return;
        best = Math.min(best, step.log.ms);
        this.tell({ log: step.log });
      });
      run.told.status = end.done ? "finished" : "stopped";
      this.tell({ end: { ...end, best } });
    } catch (error) {
      run.told.status = "stopped";
      throw error;
    } finally {
      this.going = -1;
      page.receive(index, {});
    }
  }

  stop() {
    if (this.going >= 0) this.remote?.call("rest", { key: String(this.going) });
  }

  /** The adapter or the model as the last step of the run left it, in an archive. @param {number} index @returns {Promise<BlobPart>} */
  async files(index) {
    return (await this.worker()).call("files", { key: String(index), name: this.page.manifest.base.source });
  }

  /** Forget a run, its weights and its optimizer. @param {number} index */
  async discard(index) {
    await this.remote?.call("forget", { key: String(index) });
    this.page.discard(index);
  }

  /** @param {string} kind */
  nextName(kind) {
    return `${kind} ${this.page.runs.filter((run) => run.told.own).length + 1}`;
  }
}

/** A few of its questions, to ask while it learns. @param {Taught} taught */
const fewOf = ({ train, heldout }) => (heldout.length ? heldout : train).slice(0, 6);

/** @param {Taught} taught */
const askedOf = (taught) =>
  fewOf(taught).map((chat) => ({ skill: taught.task, prompt: chat.at(-2).content, expected: chat.at(-1).content }));

/** All that each of them is asked with, as `asked_whole` has it. @param {Taught} taught */
const chatsOf = (taught) => fewOf(taught).map((chat) => [chat.at(-2).content, chat.slice(0, -1)]);
