/**
 * What are the weights when the adapter is played like an instrument? W' = W + strength * Σ sᵢ uᵢ vᵢᵀ, part by part.
 *
 * Each part is an adapter, taken apart into rank-one components (see svd.js), or a full fine-tuning's change; several may
 * be mixed on one base. A module is a parameter's name without ".weight". Only modules whose setting changed are
 * computed anew.
 */

import { makeKernels } from "./kernels.js";

/** @typedef {import("./safetensors.js").Weights} Weights */

/**
 * A sum of rank-one matrices, out x in. u: (count x out) and v: (count x in), unit vectors in rows; s: their strengths.
 * @typedef {{u: Float32Array, s: Float32Array, v: Float32Array}} Components
 */

/**
 * What can be added to the base, by module: components, or the whole change of a parameter.
 * @typedef {Map<string, Components | {delta: Float32Array}>} Part
 */

/**
 * How one part is added. strength: 1 as it was trained, 0 not at all. off: modules ("model.layers.0.mlp.up_proj") and
 * single components ("model.layers.0.mlp.up_proj#3") that are left out.
 * @typedef {{strength: number, off?: string[]}} Setting
 */

/**
 * A function that gives the weights of a setting, one for each part: always the same map, with other tensors where
 * something changed since the last call. Tensors that no part touches are the base's own.
 * @param {Weights} base
 * @param {Part[]} parts
 * @param {import("./kernels.js").Kernels} [kernels]
 * @returns {(settings: Setting[]) => Weights}
 */
export function makeComposer(base, parts, kernels = makeKernels()) {
  const weights = new Map(base);
  const modules = new Set(parts.flatMap((part) => [...part.keys()]));
  for (const module of modules)
    if (!base.has(`${module}.weight`)) throw new Error(`the base holds no ${module}, which a part would change`);
  /** @type {Map<string, string>} */
  const last = new Map();

  return (settings) => {
    const off = settings.map((setting) => new Set(setting.off));
    for (const module of modules) {
      const factors = parts.map((part, at) => factorsOf(part.get(module), module, settings[at].strength, off[at]));
      const key = factors.join(";");
      if (last.get(module) === key) continue;
      last.set(module, key);
      const name = `${module}.weight`;
      const { shape, data } = /** @type {import("./safetensors.js").Tensor} */ (base.get(name));
      if (factors.every((some) => some.every((factor) => factor === 0))) {
        weights.set(name, { shape, data });
        continue;
      }
      const sum = data.slice();
      parts.forEach((part, at) => addTo(sum, part.get(module), factors[at], kernels));
      weights.set(name, { shape, data: sum });
    }
    return weights;
  };
}

/**
 * The weights of one setting, once.
 * @param {Weights} base @param {Part[]} parts @param {Setting[]} settings
 * @param {import("./kernels.js").Kernels} [kernels]
 */
export const compose = (base, parts, settings, kernels) => makeComposer(base, parts, kernels)(settings);

/** What each component of a module is multiplied with. @param {Components | {delta: Float32Array} | undefined} change
 * @param {string} module @param {number} strength @param {Set<string>} off @returns {number[]} */
function factorsOf(change, module, strength, off) {
  if (!change) return [];
  if (off.has(module)) return [0];
  if ("delta" in change) return [strength];
  return Array.from(change.s, (s, i) => (off.has(`${module}#${i}`) ? 0 : strength * s));
}

/** @param {Float32Array} sum @param {Components | {delta: Float32Array} | undefined} change @param {number[]} factors
 * @param {import("./kernels.js").Kernels} kernels */
function addTo(sum, change, factors, kernels) {
  if (!change || factors.every((factor) => factor === 0)) return;
  if ("delta" in change) {
    for (let i = 0; i < sum.length; i++) sum[i] += factors[0] * change.delta[i];
    return;
  }
  const count = factors.length;
  const to = change.u.length / count;
  const from = change.v.length / count;
  const scaled = change.u.slice();
  factors.forEach((factor, i) => {
    for (let j = i * to; j < (i + 1) * to; j++) scaled[j] *= factor;
  });
  kernels.tn(sum, scaled, change.v, to, from, count, true);
}
