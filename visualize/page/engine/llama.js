/**
 * The model that the page runs: what it says, how sure it is, and how well it does. See forward.js for the mathematics.
 */

import { makeCore } from "./forward.js";
import { generateAll } from "./generate.js";
import { score } from "./grade.js";

/**
 * @param {import("./forward.js").Config} config what config.json holds
 * @param {import("./safetensors.js").Weights} weights by transformers' names ("model.layers.0.self_attn.q_proj.weight");
 *   the map may be given other tensors, and these other values, at any time: nothing is copied out of it
 * @param {import("./kernels.js").Kernels} kernels
 */
export function makeModel(config, weights, kernels) {
  const core = makeCore(config, weights, kernels);
  return {
    ...core,
    /** What comes after each token of a text, (tokens x vocabulary). @param {ArrayLike<number>} ids */
    logits: (ids) =>
      core.logitsAt(
        core.forward([ids]).hidden,
        Array.from(ids, (_, at) => at),
      ),
    /** The answer to one prompt, greedily. @param {ArrayLike<number>} prompt @param {{most?: number, others?: number}} [options] */
    generate: (prompt, options) => generateAll(core, [prompt], options)[0],
    /** Those to many, which is much faster than one by one. @param {ArrayLike<number>[]} prompts @param {{most?: number, others?: number}} [options] */
    generateAll: (prompts, options) => generateAll(core, prompts, options),
    /** Loss and exactness of given answers. @param {import("./grade.js").Row[]} rows */
    score: (rows) => score(core, rows),
  };
}

/** @typedef {ReturnType<typeof makeModel>} Model */
