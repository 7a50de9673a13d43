// Which model is it now? The base and as much of each run's change as the reader has set, for the model and the pictures.

import { compose, makeComposer } from "./engine/compose.js";
import { makeKernels } from "./engine/kernels.js";
import { components } from "./engine/svd.js";
import { strongestOf } from "./spectrum.js";

/** @typedef {import("./run.js").RunData} RunData */
/** @typedef {import("./engine/compose.js").Part} Part */
/** @typedef {import("./engine/safetensors.js").Weights} Weights */

/**
 * Plain data, which a worker can be sent. share: of two runs on one base, how much of each. strength: times every
 * change. off: modules that keep W, and single components, "module#3" (the fourth strongest of the first run's change).
 * @typedef {{parts: {run: string, step: number, share: number}[], strength: number, off: string[]}} Setting
 */

/** The module of what is off, be that the module or one of its components. @param {string} off */
export const moduleOf = (off) => off.replace(/#\d+$/, "");

/** The modules of which single components are off. @param {Setting} setting */
const singledOut = ({ off }) => new Set(off.map(moduleOf).filter((name, at) => name !== off[at]));

/** The base alone. @returns {Setting} */
export const bare = () => ({ parts: [], strength: 0, off: [] });

/** The parts that are added at all. @param {Setting} setting */
export const used = ({ parts, strength }) => (strength === 0 ? [] : parts.filter((part) => part.share !== 0));

/** Two settings with the same key are the same model. @param {Setting} setting */
export function keyOf(setting) {
  const parts = used(setting);
  return parts.length ? JSON.stringify([parts, setting.strength, [...setting.off].sort()]) : "base";
}

/** What sets a model apart from the run's own, for notes and for names of files: "step 18, strength 0.5, 2 parts off".
 * @param {Setting} setting */
export function wordsOf({ parts, strength, off }) {
  const mixed = parts[1]?.share ?? 0;
  return [
    `step ${parts[0].step}`,
    strength !== 1 && `strength ${strength}`,
    mixed && `${Math.round(100 * mixed)} % of another run`,
    off.length && `${off.length} ${off.length === 1 ? "part" : "parts"} off`,
  ]
    .filter(Boolean)
    .join(", ");
}

/**
 * What is added to the base, and how. Of a module with components off, the components stand alone, and what they do not
 * hold of a change that was kept whole is a part of its own.
 * @param {Map<string, RunData>} runs @param {Setting} setting @param {string[]} [only] these modules
 * @returns {{parts: Part[], settings: import("./engine/compose.js").Setting[]}}
 */
function partsOf(runs, setting, only) {
  /** @type {Part[]} */ const parts = [];
  /** @type {import("./engine/compose.js").Setting[]} */ const settings = [];
  const single = singledOut(setting);
  for (const chosen of used(setting)) {
    const { run, step, share } = chosen;
    const first = chosen === setting.parts[0];
    const data = runs.get(run);
    const at = data?.at(step) ?? -1;
    if (!data || data.form === "pictures" || at < 0) continue;
    /** @type {Part} */ const part = new Map();
    /** @type {Part} */ const rest = new Map();
    for (const { name } of data.modules) {
      if (only && !only.includes(name)) continue;
      const factors = first && single.has(name) ? data.factors(at, name) : null;
      const delta = factors ? null : data.delta(at, name);
      if (factors) part.set(name, components(factors.B, factors.A, factors.r));
      else if (delta && first && single.has(name) && delta.length > 1) {
        const shape = /** @type {import("./run.js").Module} */ (data.byName.get(name)).shape;
        const strongest = strongestOf(delta, shape[0], shape[1]);
        part.set(name, strongest);
        rest.set(name, { delta: without(delta, strongest) });
      } else if (delta) part.set(name, { delta });
    }
    for (const one of [part, rest]) {
      if (!one.size) continue;
      parts.push(one);
      settings.push({
        strength: setting.strength * share,
        off: first ? setting.off : setting.off.filter((name) => !name.includes("#")),
      });
    }
  }
  return { parts, settings };
}

/** @param {Float32Array} delta @param {import("./engine/compose.js").Components} taken */
function without(delta, { u, s, v }) {
  const [out, into] = [u.length / (s.length || 1), v.length / (s.length || 1)];
  const left = delta.slice();
  s.forEach((size, k) => {
    for (let row = 0; row < out; row++) {
      const by = size * u[k * out + row];
      for (let column = 0; column < into; column++) left[row * into + column] -= by * v[k * into + column];
    }
  });
  return left;
}

/** @type {import("./engine/kernels.js").Kernels | undefined} */
let kernels;

/** What a setting adds to one module: (out, in), as it lies in the weights.
 * @param {Map<string, RunData>} runs @param {Setting} setting @param {string} name @returns {Float32Array} */
export function changeBy(runs, setting, name) {
  const shape = [...runs.values()].map((run) => run.byName.get(name)?.shape).find(Boolean) ?? [0];
  const zero = new Map([[`${name}.weight`, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]]);
  const { parts, settings } = partsOf(runs, setting, [name]);
  kernels ??= makeKernels();
  return parts.length
    ? /** @type {any} */ (compose(zero, parts, settings, kernels).get(`${name}.weight`)).data
    : new Float32Array(/** @type {any} */ (zero.get(`${name}.weight`)).data.length);
}

/** A function from settings to the model's weights, which computes anew only what changed.
 * @param {Weights} base @param {Map<string, RunData>} runs @param {import("./engine/kernels.js").Kernels} kernels
 * @returns {(setting: Setting) => Weights} */
export function makeSetter(base, runs, kernels) {
  let made = "";
  /** @type {ReturnType<typeof makeComposer>} */
  let composer = makeComposer(base, [], kernels);
  return (setting) => {
    const { parts, settings } = partsOf(runs, setting);
    const key = JSON.stringify([used(setting).map(({ run, step }) => [run, step]), [...singledOut(setting)].sort()]);
    if (key !== made) composer = makeComposer(base, parts, kernels);
    made = key;
    return composer(settings);
  };
}
