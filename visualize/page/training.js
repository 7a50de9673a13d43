// How is a model trained beside the page? A worker's second task: step after step, told as it happens.
//
// It can be stopped between any two steps, go on with another rate, and go back to a step that it kept.

import { adapterFiles, modelFiles } from "./engine/adapter.js";
import { encodeChat, summed } from "./engine/grade.js";
import { makeTrainer } from "./engine/train.js";
import { zip } from "./engine/zip.js";

/** @typedef {import("./engine/train.js").Trainer} Trainer */
/** @typedef {{examples: any[], typed: boolean, replay: any[], method: any, settings: any, groups: Record<string, any>, capture: number, evaluate: number}} Plan
 * typed: by the reader, now. capture, evaluate: every so many steps */

const KEPT = { lora: 60, full: 6 }; // snapshots: a full one takes three times the model

/** A typed example that the model cannot read whole is refused: of its answer too little would be learned, or nothing.
 * @param {import("./engine/grade.js").Row[]} rows @param {number} longest */
function refuseTooLong(rows, longest) {
  const at = rows.findIndex(({ ids }) => ids.length > longest);
  if (at >= 0)
    throw new Error(
      `example ${at + 1} is ${rows[at].ids.length} tokens long, and this model reads ${longest}; make it shorter`,
    );
}

export class Training {
  /** @param {any} base @param {any} tokenizer @param {any} kernels @param {Plan} plan */
  constructor(base, tokenizer, kernels, plan) {
    this.base = base;
    this.tokenizer = tokenizer;
    this.plan = plan;
    const longest = base.config.max_position_embeddings;
    const rows = (/** @type {any[]} */ chats) => chats.map((chat) => encodeChat(tokenizer, chat));
    const examples = rows(plan.examples);
    if (plan.typed) refuseTooLong(examples, longest);
    this.trainer = makeTrainer(base.config, base.weights, kernels, {
      rows: examples,
      replay: rows(plan.replay),
      method: plan.method,
      settings: plan.settings,
    });
    this.groups = Object.entries(plan.groups).map(([name, { examples, closed }]) => ({
      name,
      closed,
      rows: examples.map((/** @type {any} */ chat) => encodeChat(tokenizer, chat, { last: true, longest })),
    }));
    /** @type {Map<number, import("./engine/train.js").Snapshot>} */
    this.snapshots = new Map();
    this.going = false;
  }

  /** Train until it is done or stopped, or has diverged. @param {(told: any) => void} tell */
  async go(tell) {
    if (this.going) return;
    this.going = true;
    try {
      await this.train(tell);
    } finally {
      this.going = false; // whatever went wrong, it can be gone on with
    }
  }

  /** @param {(told: any) => void} tell */
  async train(tell) {
    const { trainer, plan } = this;
    if (trainer.steps === 0) tell({ step: 0, ...this.capture(), ...this.graded() });
    let last = performance.now();
    while (this.going && !trainer.done) {
      const log = trainer.step();
      const now = performance.now();
      const told = { log: { ...log, ms: now - last } };
      last = now;
      const diverged = (/** @type {number} */ from, /** @type {string} */ what) => {
        const back = this.backBefore(from);
        tell({ ...told, step: log.step, back });
        throw new Error(
          `${what} at step ${log.step}: training diverged, and is back at step ${back}; try a lower rate`,
        );
      };
      // The loss is that of the weights before the step.
      if (!Number.isFinite(log.loss)) diverged(log.step - 1, "the loss is no number");
      const end = trainer.done;
      if (end || log.step % plan.capture === 0 || log.step <= 4) {
        const taken = this.capture();
        if (!Object.values(taken.norms).every(Number.isFinite)) diverged(log.step, "a weight is no number");
        Object.assign(told, { step: log.step }, taken);
      }
      if (end || log.step % plan.evaluate === 0) Object.assign(told, this.graded());
      tell(told);
      // A message may have come: to stop, say.
      await new Promise((done) => setTimeout(done, 0));
      if (told.log && "graded" in told) last = performance.now();
    }
    if (!this.snapshots.has(trainer.steps)) tell({ step: trainer.steps, ...this.capture() });
  }

  /** The weights as they are, as a run keeps them, and a snapshot to go back to. */
  capture() {
    const { trainer } = this;
    const most = trainer.method === "lora" ? KEPT.lora : KEPT.full;
    this.snapshots.set(trainer.steps, trainer.snapshot());
    if (this.snapshots.size > most) {
      // The first and the newest stay; of the others every second one.
      [...this.snapshots.keys()].slice(1, -1).forEach((step, at) => at % 2 === 0 && this.snapshots.delete(step));
    }
    /** @type {Map<string, {shape: number[], data: Float32Array}>} */
    const tensors = new Map();
    for (const module of /** @type {string[]} */ (trainer.modules)) {
      const [out, into] = this.base.weights.get(`${module}.weight`).shape;
      const b = /** @type {Float32Array} */ (trainer.parameters.get(`${module}.lora_B`));
      const a = /** @type {Float32Array} */ (trainer.parameters.get(`${module}.lora_A`));
      tensors.set(`${module}#B`, { shape: [out, trainer.rank], data: b.map((value) => value * trainer.scaling) });
      tensors.set(`${module}#A`, { shape: [trainer.rank, into], data: a.slice() });
    }
    if (trainer.method === "full") {
      for (const [name, { shape }] of this.base.weights) {
        const module = name.replace(/\.weight$/, "");
        tensors.set(module, { shape, data: trainer.delta(module) });
      }
    }
    return { tensors, norms: normsOf(trainer, tensors) };
  }

  graded() {
    /** @type {Record<string, {exact: number | null, loss: number}>} */
    const graded = {};
    for (const { name, closed, rows } of this.groups) {
      const { right, count, loss } = summed(rows, this.trainer.model.score(rows));
      graded[name] = { exact: closed && count ? right / count : null, loss };
    }
    return { graded };
  }

  stop() {
    this.going = false;
  }

  /** Back to a step that was kept, the nearest at or before it. @param {number} step @returns {number} */
  back(step) {
    const found = [...this.snapshots.keys()].filter((one) => one <= step).at(-1) ?? 0;
    const snapshot = this.snapshots.get(found);
    if (snapshot) this.trainer.restore(snapshot);
    return found;
  }

  /** Back to the last kept step before this one, from which on the weights are of no use; what was kept of those is forgotten.
   * @param {number} step @returns {number} */
  backBefore(step) {
    for (const one of [...this.snapshots.keys()].slice(1)) if (one >= step) this.snapshots.delete(one);
    return this.back(step);
  }

  /** What can be opened elsewhere: PEFT's adapter, or the whole model, in an archive. @param {string} name */
  files(name) {
    const { trainer, base } = this;
    return trainer.method === "lora"
      ? zip(adapterFiles(/** @type {any} */ (trainer), name))
      : zip(modelFiles(base.config, trainer.weights));
  }
}

/** @param {Trainer} trainer @param {Map<string, {shape: number[], data: Float32Array}>} tensors @returns {Record<string, number>} */
function normsOf(trainer, tensors) {
  const names = /** @type {string[]} */ (trainer.method === "lora" ? trainer.modules : [...tensors.keys()]);
  return Object.fromEntries(
    names.map((name) => {
      const delta = trainer.method === "lora" ? trainer.delta(name) : /** @type {any} */ (tensors.get(name)).data;
      let sum = 0;
      for (const value of delta) sum += value * value;
      return [name, Math.sqrt(sum)];
    }),
  );
}
