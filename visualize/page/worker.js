// What runs beside the page, so that it never stutters? The model itself: it answers, grades, and is trained.
//
// A worker is this same script, started without a document. It holds the base and the runs, puts the weights that the
// reader has set into the model, and asks it. `lab.js` is the other end.

import { encodeChat, isRight, strip, summed } from "./engine/grade.js";
import { makeKernels } from "./engine/kernels.js";
import { makeModel } from "./engine/llama.js";
import { makeTokenizer } from "./engine/tokenizer.js";
import { RunData } from "./run.js";
import { bare, keyOf, makeSetter } from "./setting.js";
import { Training } from "./training.js";

/** @typedef {import("./setting.js").Setting} Setting */
/** @typedef {(progress: any) => void} Tell */

/** @param {any} scope the worker's global object */
export function serve(scope) {
  const host = new Host();
  scope.onmessage = async (/** @type {MessageEvent} */ event) => {
    const { id, what, asked } = event.data;
    try {
      const act = /** @type {any} */ (host)[what];
      const answer = await act.call(host, asked, (/** @type {any} */ progress) => scope.postMessage({ id, progress }));
      scope.postMessage({ id, answer });
    } catch (error) {
      scope.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  };
}

export class Host {
  constructor() {
    /** @type {Map<string, RunData>} */
    this.runs = new Map();
    this.set = "";
    /** @type {Map<string, import("./engine/grade.js").Row[]>} */
    this.encoded = new Map();
    /** @type {Map<string, Training>} */
    this.trainings = new Map();
  }

  /** @param {{base: any, wasm?: boolean}} asked */
  start({ base, wasm = true }) {
    this.base = base;
    const kernels = makeKernels({ wasm });
    this.tokenizer = makeTokenizer(base.tokenizer, base.config);
    this.kernels = kernels;
    this.setter = makeSetter(base.weights, this.runs, kernels);
    this.put(bare());
    return { kernels: kernels.kind };
  }

  /** @param {{key: string, told: any}} asked */
  run({ key, told }) {
    this.runs.set(key, new RunData(told));
  }

  /** @param {{key: string}} asked */
  forget({ key }) {
    this.put(bare()); // whose model may be made of it
    this.runs.delete(key);
    this.trainings.delete(key);
  }

  /** @param {{key: string, step: number, tensors: Map<string, any>}} asked */
  step({ key, step, tensors }) {
    this.runs.get(key)?.add(step, tensors);
  }

  /** @param {{key: string, step: number}} asked */
  back({ key, step }) {
    this.put(bare()); // whose model may be made of what is forgotten
    this.runs.get(key)?.forgetAfter(step);
  }

  /** @param {Setting} setting */
  put(setting) {
    const key = keyOf(setting);
    if (key === this.set) return;
    const weights = /** @type {any} */ (this.setter)(setting);
    if (weights !== this.weights) this.model = makeModel(this.base.config, weights, /** @type {any} */ (this.kernels));
    this.weights = weights;
    this.set = key;
  }

  /** What does the model of a setting say next in these conversations, and how sure is it of each token?
   * @param {{setting: Setting, chats: import("./engine/tokenizer.js").Message[][], most?: number}} asked */
  ask({ setting, chats, most = 40 }) {
    this.put(setting);
    const { tokenizer, model } = /** @type {any} */ (this);
    const ids = chats.map((chat) => tokenizer.chat(chat, { prompt: true }));
    const end = tokenizer.ids.end;
    const word = (/** @type {number} */ id) => (id === end ? "⏎" : tokenizer.piece(id));
    return model.generateAll(ids, { most, others: 4 }).map((/** @type {any} */ answer) => {
      const texts = tokenizer.added(answer.ids);
      return {
        text: strip(tokenizer.decode(answer.ids)),
        cut: answer.ids.at(-1) !== end,
        tokens: answer.steps.map((/** @type {any} */ step, /** @type {number} */ at) => ({
          text: texts[at],
          alone: word(step.id),
          end: step.id === end,
          probability: step.probability,
          others: step.others.map((/** @type {any} */ other) => ({
            alone: word(other.id),
            probability: other.probability,
          })),
        })),
      };
    });
  }

  /** How well does it do on groups of conversations? name -> {right, count, loss}.
   * @param {{setting: Setting, groups: Record<string, {closed: boolean, examples: any[]}>}} asked */
  grade({ setting, groups }) {
    this.put(setting);
    /** @type {Record<string, {right: number, count: number, loss: number, each: boolean[]}>} */
    const found = {};
    for (const [name, { examples }] of Object.entries(groups)) {
      const rows = this.rows(examples);
      found[name] = summed(rows, /** @type {any} */ (this.model).score(rows));
    }
    return found;
  }

  /** In tokens, once: known again by what is in them, since two runs may call other questions alike. @param {any[]} examples */
  rows(examples) {
    const key = JSON.stringify(examples);
    if (!this.encoded.has(key)) {
      const longest = this.base.config.max_position_embeddings;
      this.encoded.set(
        key,
        examples.map((one) => encodeChat(/** @type {any} */ (this.tokenizer), one, { last: true, longest })),
      );
    }
    return /** @type {import("./engine/grade.js").Row[]} */ (this.encoded.get(key));
  }

  /** Each of many settings graded, one after the other; `tell` has each result.
   * @param {{settings: Setting[], groups: Record<string, any>}} asked @param {Tell} tell */
  async grades({ settings, groups }, tell) {
    for (const [at, setting] of settings.entries()) {
      tell({ at, found: this.grade({ setting, groups }) });
      await new Promise((done) => setTimeout(done, 0));
    }
  }

  /** How far is this browser from torch? Logits after each prompt, and greedy answers.
   * @param {{setting: Setting, ids: number[][], logits: Float32Array[], answers: string[]}} asked */
  parity({ setting, ids, logits, answers }) {
    this.put(setting);
    const { tokenizer, model } = /** @type {any} */ (this);
    let furthest = 0;
    let same = 0;
    ids.forEach((row, at) => {
      const { vocab } = model.sizes;
      const own = model.logits(row).subarray((row.length - 1) * vocab, row.length * vocab);
      own.forEach(
        (/** @type {number} */ value, /** @type {number} */ i) =>
          (furthest = Math.max(furthest, Math.abs(value - logits[at][i]))),
      );
    });
    model.generateAll(ids, { most: 32 }).forEach((/** @type {any} */ answer, /** @type {number} */ at) => {
      same += Number(isRight(answers[at], tokenizer.decode(answer.ids)));
    });
    this.put(bare());
    return { furthest, same, count: ids.length };
  }

  // --- training: of one or several, which branch from each other -----------------------------------------

  /** Returns how many examples are mixed in. @param {{key: string, plan: import("./training.js").Plan}} asked */
  plan({ key, plan }) {
    const made = new Training(this.base, this.tokenizer, this.kernels, plan);
    this.trainings.set(key, made);
    return { mixed: made.trainer.mixed };
  }

  /** Another training from a step of this one: what was kept there, with other settings. Returns that step.
   * @param {{key: string, from: string, step: number, settings: any}} asked */
  branch({ key, from, step, settings }) {
    const first = /** @type {Training} */ (this.trainings.get(from));
    const made = new Training(this.base, this.tokenizer, this.kernels, {
      ...first.plan,
      settings: { ...first.trainer.settings, ...settings },
    });
    for (const [at, snapshot] of first.snapshots) if (at <= step) made.snapshots.set(at, snapshot);
    this.trainings.set(key, made);
    return made.back(step);
  }

  /** @param {{key: string, settings?: any}} asked @param {Tell} tell */
  async train({ key, settings = {} }, tell) {
    const training = /** @type {Training} */ (this.trainings.get(key));
    Object.assign(training.trainer.settings, settings);
    await training.go(tell);
    return { done: training.trainer.done, steps: training.trainer.steps };
  }

  /** @param {{key: string}} asked */
  rest({ key }) {
    this.trainings.get(key)?.stop();
  }

  /** @param {{key: string, name: string}} asked */
  files({ key, name }) {
    return /** @type {Training} */ (this.trainings.get(key)).files(name);
  }
}
