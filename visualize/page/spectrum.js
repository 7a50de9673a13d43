// In which directions did a matrix move? Its rank-one components, strongest first: exactly, or the strongest of many.

import { components } from "./engine/svd.js";

/** @typedef {import("./engine/compose.js").Components} Components */

const MOST = 12; // components of a change that was kept whole
const OVERSAMPLE = 6;
const ROUNDS = 4;

/** The components of a module's change at a step's place; none where only a picture of it is here.
 * @param {import("./run.js").RunData} run @param {number} at @param {string} name @returns {number[]} their strengths */
export function strengthsOf(run, at, name) {
  if (run.form === "pictures" || run.form === "none") return run.told.singular?.[name]?.[at] ?? [];
  const factors = run.factors(at, name);
  const shape = run.byName.get(name)?.shape ?? [];
  const delta = factors ? null : run.delta(at, name);
  const found = factors
    ? components(factors.B, factors.A, factors.r)
    : delta && shape.length === 2
      ? strongestOf(delta, shape[0], shape[1])
      : null;
  const sizes = found ? Array.from(found.s) : [];
  return sizes.filter((size) => size > 1e-6 * sizes[0]);
}

/**
 * The strongest components of a whole matrix, (out, in), by subspace iteration (Halko et al. 2011, algorithm 4.4): a
 * matrix of few columns that spans what it moves most is the factor B, and what it is multiplied with is A.
 * @param {Float32Array} matrix @param {number} out @param {number} into
 * @returns {Components}
 */
export function strongestOf(matrix, out, into) {
  const wanted = Math.min(MOST + OVERSAMPLE, out, into);
  let seed = 1;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 0x3fffffff - 1;
  let right = Float32Array.from({ length: wanted * into }, random);
  let left = new Float32Array(out * wanted);
  for (let round = 0; round < ROUNDS; round++) {
    left = orthonormal(times(matrix, right, out, into, wanted), out, wanted);
    right = turnedTimes(matrix, left, out, into, wanted);
  }
  const found = components(left, right, wanted);
  const kept = Math.min(MOST, wanted);
  return { u: found.u.slice(0, kept * out), s: found.s.slice(0, kept), v: found.v.slice(0, kept * into) };
}

/** matrix rightᵀ, (out, k). @param {Float32Array} matrix @param {Float32Array} right (k, in) @param {number} out @param {number} into @param {number} k */
function times(matrix, right, out, into, k) {
  const found = new Float32Array(out * k);
  for (let row = 0; row < out; row++)
    for (let one = 0; one < k; one++) {
      let sum = 0;
      for (let at = 0, a = row * into, b = one * into; at < into; at++, a++, b++) sum += matrix[a] * right[b];
      found[row * k + one] = sum;
    }
  return found;
}

/** leftᵀ matrix, (k, in). @param {Float32Array} matrix @param {Float32Array} left (out, k) @param {number} out @param {number} into @param {number} k */
function turnedTimes(matrix, left, out, into, k) {
  const found = new Float32Array(k * into);
  for (let row = 0; row < out; row++)
    for (let one = 0; one < k; one++) {
      const by = left[row * k + one];
      for (let at = 0, a = row * into, b = one * into; at < into; at++, a++, b++) found[b] += by * matrix[a];
    }
  return found;
}

/** Columns of length one that span the same (Gram and Schmidt, twice). @param {Float32Array} columns (out, k) @param {number} out @param {number} k */
function orthonormal(columns, out, k) {
  const found = columns.slice();
  const dot = (/** @type {number} */ a, /** @type {number} */ b) => {
    let sum = 0;
    for (let row = 0; row < out; row++) sum += found[row * k + a] * found[row * k + b];
    return sum;
  };
  for (let one = 0; one < k; one++) {
    for (let round = 0; round < 2; round++)
      for (let other = 0; other < one; other++) {
        const share = dot(one, other);
        for (let row = 0; row < out; row++) found[row * k + one] -= share * found[row * k + other];
      }
    const size = Math.sqrt(dot(one, one));
    for (let row = 0; row < out; row++) found[row * k + one] = size > 1e-30 ? found[row * k + one] / size : 0;
  }
  return found;
}
