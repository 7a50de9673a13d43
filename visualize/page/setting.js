// Which model is it now? The base and as much of the changes as the reader has set.

/**
 * share: of two runs on one base, how much of each. strength: times every change. off: modules that keep W.
 * minus: module -> rank-one components of the first run's change that are taken out.
 * @typedef {object} Setting
 * @property {{run: string, step: number, share: number}[]} parts
 * @property {number} strength
 * @property {string[]} off
 * @property {Record<string, {u: Float32Array, s: number, v: Float32Array}[]>} minus
 */

/** The base alone. @returns {Setting} */
export const bare = () => ({ parts: [], strength: 0, off: [], minus: {} });

/** Two settings with the same key are the same model. @param {Setting} setting */
export function keyOf({ parts, strength, off, minus }) {
  const used = parts.filter((part) => part.share !== 0);
  if (strength === 0 || !used.length) return "base";
  const without = Object.entries(minus).map(([name, list]) => [name, list.map((one) => one.s)]);
  return JSON.stringify([used, strength, [...off].sort(), without]);
}

/** What a setting adds to one module: (out, in), or null if nothing.
 * @param {Map<string, import("./run.js").RunData>} runs @param {Setting} setting @param {string} name @returns {Float32Array | null} */
export function changeOf(runs, { parts, strength, off, minus }, name) {
  if (strength === 0 || off.includes(name)) return null;
  /** @type {Float32Array | null} */
  let sum = null;
  for (const { run, step, share } of parts) {
    const data = runs.get(run);
    if (!data || share === 0) continue;
    const delta = data.delta(data.at(step), name);
    if (!delta) continue;
    const by = strength * share;
    if (!sum) sum = by === 1 && data.form !== "deltas" ? delta : delta.map((value) => value * by);
    else for (let at = 0; at < sum.length; at++) sum[at] += by * delta[at];
  }
  if (sum) {
    for (const { u, s, v } of minus[name] ?? []) {
      const by = s * strength * parts[0].share;
      for (let row = 0, at = 0; row < u.length; row++) {
        const one = by * u[row];
        for (let column = 0; column < v.length; column++, at++) sum[at] -= one * v[column];
      }
    }
  }
  return sum;
}

/**
 * Put the model of a setting into `weights`; what does not change is the base's own array.
 * @param {Map<string, import("./run.js").Tensor>} base @param {Map<string, any>} weights
 * @param {Map<string, import("./run.js").RunData>} runs @param {Setting} setting
 */
export function compose(base, weights, runs, setting) {
  for (const [name, tensor] of base) /** @type {any} */ (weights.get(name)).data = tensor.data;
  const changed = new Map();
  for (const { run } of setting.parts) for (const one of runs.get(run)?.modules ?? []) changed.set(one.name, one.base_parameter);
  for (const [name, parameter] of changed) {
    const whole = base.get(parameter);
    const change = whole ? changeOf(runs, setting, name) : null;
    if (!whole || !change) continue;
    for (let at = 0; at < change.length; at++) change[at] += whole.data[at];
    /** @type {any} */ (weights.get(parameter)).data = change;
  }
}
