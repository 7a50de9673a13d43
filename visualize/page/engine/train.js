/**
 * How is a model fine-tuned, here in the page? One optimizer step at a time, as engine.training does it with transformers.
 *
 *     const trainer = makeTrainer(config, base, kernels, { rows, method: { name: "lora", rank: 8 }, settings: { steps: 200 } });
 *     while (!trainer.done) show(trainer.step(), trainer.model.generate(prompt));
 *
 * Between two steps everything can be read: `trainer.parameters` (A and B, or all weights), `trainer.weights` (what the
 * model computes with), and kept: `snapshot()`, `restore()`.
 */

import { adamw, clip } from "./adamw.js";
import { lossAndGradients } from "./backward.js";
import { makeModel } from "./llama.js";
import { ALL_LINEAR, full, lora } from "./methods.js";
import { makeGenerator, shuffled } from "./random.js";

/** @typedef {import("./safetensors.js").Weights} Weights */
/** @typedef {import("./adamw.js").Tensors} Tensors */
/** @typedef {import("./grade.js").Row} Row */

/**
 * "full", or "lora" with its rank, its strength alpha (the product is scaled by alpha / rank; 2 * rank by default), the
 * last part of the names of the layers it adapts, and the A and B to begin with, if they are not drawn.
 * @typedef {{name: "full" | "lora", rank?: number, alpha?: number, targets?: string[], start?: Tensors}} MethodChoice
 */

/**
 * As engine.training.settings has them. rate: the peak; warmup: share of the steps that it rises; it then falls in a line to zero.
 * mix: share of the examples that comes from `replay`. clip: the most that the gradients' norm may be, 0 for any.
 * @typedef {{steps: number, rate: number, batch: number, warmup: number, decay: number, clip: number, mix: number, seed: number}} Settings
 */

/** What works for a model of a million weights. */
export const RATES = { full: 5e-4, lora: 2e-3 };

/** @type {Omit<Settings, "rate">} */
const USUAL = { steps: 200, batch: 32, warmup: 0.2, decay: 0, clip: 1, mix: 0, seed: 0 };

/**
 * All that a training is at one moment; plain data, which a worker can be sent.
 * @typedef {{step: number, parameters: Tensors, moments: Map<string, import("./adamw.js").Moments>, order: number[], random: number}} Snapshot
 */

/** What one step did. loss: mean over the batch's answers (nats a token) before it; norm: of the gradient, unclipped.
 * @typedef {{step: number, loss: number, norm: number, rate: number}} Step */

/**
 * @param {import("./forward.js").Config} config
 * @param {Weights} base left as it is
 * @param {import("./kernels.js").Kernels} kernels
 * @param {{rows: Row[], replay?: Row[], method?: MethodChoice, settings?: Partial<Settings>}} options rows: what is
 *   learned (see grade.js's encodeChat), each cut where the model's context ends; replay: what is mixed in against
 *   forgetting
 */
export function makeTrainer(config, base, kernels, { rows, replay = [], method = { name: "lora" }, settings = {} }) {
  /** @type {Settings} */
  const chosen = { ...USUAL, rate: RATES[method.name], ...settings };
  const rank = method.rank ?? 8;
  const alpha = method.alpha ?? 2 * rank;
  const scaling = alpha / rank;
  const generator = makeGenerator(chosen.seed);
  const trained =
    method.name === "full"
      ? full(base, kernels, config.pad_token_id)
      : lora(base, kernels, { rank, scaling, targets: method.targets ?? ALL_LINEAR, seed: chosen.seed, start: method.start }); // prettier-ignore
  const { parameters, weights } = trained;
  const model = makeModel(config, weights, kernels);
  /** @type {Map<string, import("./adamw.js").Moments>} */
  const moments = new Map(
    [...parameters].map(([name, { length }]) => [name, { m: new Float32Array(length), v: new Float32Array(length) }]),
  );
  const mixed = mixedIn(rows.length, replay, chosen.mix);
  const all = [...rows, ...mixed]
    .map(({ ids, labels }) => ({
      ids: ids.slice(0, model.sizes.context),
      labels: labels.slice(0, model.sizes.context),
    }))
    .filter(({ labels }) => labels.slice(1).some((label) => label >= 0));
  if (!all.length) throw new Error("no example has an answer to learn from");
  let done = 0;
  /** @type {number[]} */
  let order = [];

  /** The rate of the step after `done` steps. @param {number} done */
  function rateAfter(done) {
    const warm = chosen.warmup >= 1 ? Math.floor(chosen.warmup) : Math.ceil(chosen.steps * chosen.warmup);
    const rising = (done + 1) / Math.max(1, warm);
    const falling = (chosen.steps - done) / Math.max(1, chosen.steps - warm);
    return chosen.rate * Math.max(0, Math.min(rising, falling));
  }

  /** The next examples of this pass over them; its last batch may be smaller. */
  function nextBatch() {
    if (!order.length) order = shuffled(all.length, generator);
    return order.splice(0, chosen.batch).map((at) => all[at]);
  }

  /** One optimizer step. @param {Row[]} [batch] in the place of the next @returns {Step} */
  function step(batch = nextBatch()) {
    const { gradients, sink } = trained.collect();
    const loss = lossAndGradients(model, batch, sink);
    const norm = clip(gradients, chosen.clip);
    const rate = rateAfter(done);
    done++;
    adamw(parameters, gradients, moments, done, rate, chosen.decay);
    trained.update();
    return { step: done, loss, norm, rate };
  }

  /** @returns {Snapshot} */
  function snapshot() {
    return {
      step: done,
      parameters: new Map([...parameters].map(([name, values]) => [name, values.slice()])),
      moments: new Map([...moments].map(([name, { m, v }]) => [name, { m: m.slice(), v: v.slice() }])),
      order: order.slice(),
      random: generator.state,
    };
  }

  /** Go back to a moment of this training, or of one with the same method and data, whose settings may be others.
   * @param {Snapshot} kept */
  function restore(kept) {
    for (const [name, values] of parameters) {
      const before = kept.parameters.get(name);
      if (before?.length !== values.length) throw new Error(`the snapshot is of another training: its ${name} differs`);
    }
    for (const [name, values] of parameters) {
      values.set(/** @type {Float32Array} */ (kept.parameters.get(name)));
      const [now, before] = [moments, kept.moments].map((some) => some.get(name));
      now?.m.set(before?.m ?? []);
      now?.v.set(before?.v ?? []);
    }
    done = kept.step;
    order = kept.order.slice();
    generator.state = kept.random;
    trained.update();
  }

  /** How far a weight matrix has moved from the base, W' - W. @param {string} module */
  function delta(module) {
    const [now, before] = [weights, base].map((some) => some.get(`${module}.weight`)?.data);
    if (!now || !before) throw new Error(`the model holds no ${module}`);
    return now.map((value, i) => value - before[i]);
  }

  /** A batch's loss and gradients, with nothing changed. @param {Row[]} batch */
  function gradientsOf(batch) {
    const { gradients, sink } = trained.collect();
    return { loss: lossAndGradients(model, batch, sink), gradients };
  }

  return {
    method: trained.name,
    rank,
    alpha,
    scaling,
    modules: "modules" in trained ? trained.modules : [],
    /** How many examples of `replay` are in between. */
    mixed: mixed.length,
    /** May be changed between steps. */
    settings: chosen,
    parameters,
    weights,
    model,
    step,
    snapshot,
    restore,
    delta,
    gradientsOf,
    rateAfter,
    get steps() {
      return done;
    },
    get done() {
      return done >= chosen.steps;
    },
  };
}

/** @typedef {ReturnType<typeof makeTrainer>} Trainer */

/** As many replay examples as make them `mix` of the whole, at least one; all of them drawn on before any of them twice.
 * @param {number} count @param {Row[]} replay @param {number} mix */
function mixedIn(count, replay, mix) {
  if (!mix) return [];
  if (!replay.length) throw new Error("there is nothing to mix in; give replay examples, or a share of 0");
  if (!(mix > 0 && mix < 1)) throw new Error(`mix is ${mix}; it is a share of the examples, from 0 to below 1`);
  return Array.from(
    { length: Math.max(1, Math.round((count * mix) / (1 - mix))) },
    (_, i) => replay[i % replay.length],
  );
}
