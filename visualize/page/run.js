// What changed at each step? A run as the page holds it, here and in its workers: facts, log, and weights step by step.
//
// The same object is filled from the file, from a training in this tab, or from one that is going on elsewhere: pieces
// arrive in any order and number, and whoever watches is told.

/** @typedef {{shape: number[], data: Float32Array | Int8Array}} Tensor */
/** @typedef {{name: string, shape: number[], kind: string, r?: number, base_parameter: string}} Module */
/** @typedef {"factors" | "grains" | "deltas" | "pictures" | "none"} Form */

export class RunData {
  /** @param {any} told what the manifest says of the run */
  constructor(told) {
    this.told = told;
    /** @type {Form} */
    this.form = told.form;
    /** @type {Module[]} */
    this.modules = told.modules;
    this.byName = new Map(this.modules.map((one) => [one.name, one]));
    /** @type {number[]} steps whose weights are here */
    this.steps = [];
    /** @type {Map<string, Tensor>[]} of each step */
    this.tensors = [];
    /** @type {Record<string, number>} */
    this.scales = told.scales ?? {};
  }

  /** The weights of a step have come: in order for "grains", in any other form at will.
   * @param {number} step @param {Map<string, Tensor>} tensors */
  add(step, tensors) {
    if (this.form === "grains") tensors = this.summed(tensors);
    const at = this.steps.findIndex((one) => one >= step);
    if (at >= 0 && this.steps[at] === step) this.tensors[at] = tensors;
    else if (at >= 0) {
      this.steps.splice(at, 0, step);
      this.tensors.splice(at, 0, tensors);
    } else {
      this.steps.push(step);
      this.tensors.push(tensors);
    }
  }

  /** A training went back to this step: what came after it is none of its weights. @param {number} step */
  forgetAfter(step) {
    this.steps.length = this.tensors.length = this.steps.filter((one) => one <= step).length;
    this.told.captured = this.told.captured.filter((/** @type {number} */ one) => one <= step);
  }

  /** Grains add up from step to step; 16 bits hold every sum. @param {Map<string, Tensor>} tensors */
  summed(tensors) {
    const before = this.tensors[this.tensors.length - 1];
    const found = new Map();
    for (const [name, { shape, data }] of tensors) {
      const sum = new Int16Array(data);
      const last = before?.get(name)?.data;
      if (last) for (let at = 0; at < sum.length; at++) sum[at] += last[at];
      found.set(name, { shape, data: sum });
    }
    return found;
  }

  /** The steps there are to look at, whether or not their weights have come yet; of a run without weights, those captured.
   * @returns {number[]} */
  get stops() {
    const { steps, captured } = this.told;
    return steps.length ? steps : this.steps.length ? this.steps : captured;
  }

  /** The step that stands for this one: the last there is at or before it, else the first. @param {number} step */
  stopAt(step) {
    return this.stops.findLast((one) => one <= step) ?? this.stops[0] ?? step;
  }

  /** The step there is that lies nearest to this one, of two the earlier; undefined where there is none.
   * @param {number} step @returns {number | undefined} */
  nearest(step) {
    const { stops } = this;
    return stops.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best), stops[0]);
  }

  /** The place of a step among those whose weights are here, or -1. @param {number} step */
  at(step) {
    return this.steps.indexOf(step);
  }

  /** Shape of what is drawn of a module: its own, or its picture's. @param {string} name @returns {number[] | null} */
  drawn(name) {
    const module = this.byName.get(name);
    if (!module || !this.tensors.length) return null;
    if (this.form === "pictures") return this.tensors[0].get(name)?.shape ?? null;
    return this.has(name) ? module.shape : null;
  }

  /** Whether the change of a module is here. @param {string} name */
  has(name) {
    const first = this.tensors[0];
    return !!first && (first.has(name) || first.has(`${name}#B`));
  }

  /** B (out, r), scaling included, and A (r, in); null where a change was kept whole. @param {number} at @param {string} name */
  factors(at, name) {
    const B = this.tensors[at]?.get(`${name}#B`);
    const A = this.tensors[at]?.get(`${name}#A`);
    return B && A
      ? {
          B: /** @type {Float32Array} */ (B.data),
          A: /** @type {Float32Array} */ (A.data),
          out: B.shape[0],
          r: B.shape[1],
          into: A.shape[1],
        }
      : null;
  }

  /** delta-W of a module at a step's place: (out, in), or the picture of it. @param {number} at @param {string} name
   * @returns {Float32Array | null} */
  delta(at, name) {
    const factors = this.factors(at, name);
    if (factors) return product(factors);
    const one = this.tensors[at]?.get(name);
    if (!one) return null;
    if (this.form === "deltas") return /** @type {Float32Array} */ (one.data);
    const scale = this.scales[name] ?? 1;
    const found = new Float32Array(one.data.length);
    for (let i = 0; i < found.length; i++) found[i] = one.data[i] * scale;
    return found;
  }

  /** One weight's change, without the whole matrix. @param {number} at @param {string} name @param {number} row @param {number} column */
  one(at, name, row, column) {
    const factors = this.factors(at, name);
    if (factors) {
      let sum = 0;
      for (let k = 0; k < factors.r; k++) sum += factors.B[row * factors.r + k] * factors.A[k * factors.into + column];
      return sum;
    }
    const one = this.tensors[at]?.get(name);
    if (!one) return null;
    const place = one.shape.length === 1 ? row : row * one.shape[1] + column;
    return one.data[place] * (this.form === "deltas" ? 1 : (this.scales[name] ?? 1));
  }

  /** The magnitude that all but a thousandth of the changes at the last step stay below: one scale for all steps. */
  scale() {
    const last = this.steps.length - 1;
    /** @type {number[]} */
    const sample = [];
    for (const { name } of this.modules) {
      const delta = last >= 0 ? this.delta(last, name) : null;
      if (!delta) continue;
      const every = Math.max(1, Math.floor(delta.length / 3000));
      for (let at = 0; at < delta.length; at += every) if (Number.isFinite(delta[at])) sample.push(Math.abs(delta[at]));
    }
    sample.sort((a, b) => a - b);
    return sample[Math.floor(sample.length * 0.999)] || sample[sample.length - 1] || 1e-12;
  }
}

/** B A, (out, in). @param {{B: Float32Array, A: Float32Array, out: number, r: number, into: number}} factors */
export function product({ B, A, out, r, into }) {
  const found = new Float32Array(out * into);
  for (let row = 0; row < out; row++) {
    const line = found.subarray(row * into, (row + 1) * into);
    for (let k = 0; k < r; k++) {
      const by = B[row * r + k];
      if (by === 0) continue;
      const from = k * into;
      for (let column = 0; column < into; column++) line[column] += by * A[from + column];
    }
  }
  return found;
}

/** The value of a table's column at the last step that is not after this one. @param {any} table @param {string} name @param {number} step */
export function valueAt(table, name, step) {
  const column = table?.columns?.[name];
  if (!column) return null;
  let found = null;
  for (let at = 0; at < table.steps.length; at++)
    if (table.steps[at] <= step && column[at] !== null) found = column[at];
  return found;
}

/** The least and the most of numbers, however many: a call takes no hundred thousand arguments. Beside them `least` and `most`
 * stand, if there are any. @param {(number | null)[]} values @param {number} [least] @param {number} [most] @returns {[number, number]} */
export function extent(values, least = Infinity, most = -Infinity) {
  for (const value of values) {
    if (value === null) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}
