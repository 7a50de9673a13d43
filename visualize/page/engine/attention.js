/**
 * Where does each token look? Causal attention within each text, softmax(q kᵀ / √d) v, head by head; and its gradients.
 */

/** @typedef {import("./forward.js").Sizes} Sizes */
/** @typedef {import("./kernels.js").Kernels} Kernels */
/** @typedef {import("./scratch.js").Scratch} Scratch */

/**
 * Calls `each` for every text and head: its place in q (rows x heads * head) and in k and v (rows x groups * head), which
 * several heads may share, and in the weights (text after text, head after head, tokens x tokens).
 * @param {number[]} starts where each text begins, and the end of the last
 * @param {Sizes} sizes
 * @param {(count: number, query: number, key: number, look: number) => void} each
 * @returns {number} how many weights there are
 */
export function everyHead(starts, { heads, groups, head }, each) {
  let look = 0;
  for (let t = 0; t + 1 < starts.length; t++) {
    const count = starts[t + 1] - starts[t];
    for (let h = 0; h < heads; h++, look += count * count) {
      const shared = Math.floor((h * groups) / heads);
      each(count, (starts[t] * heads + h) * head, (starts[t] * groups + shared) * head, look);
    }
  }
  return look;
}

/**
 * @param {Float32Array} q @param {Float32Array} k @param {Float32Array} v
 * @param {number[]} starts @param {Sizes} sizes @param {Kernels} kernels @param {Scratch} scratch
 * @returns {{attended: Float32Array, weights: Float32Array}}
 */
export function attend(q, k, v, starts, sizes, { nt, nn }, scratch) {
  const { heads, groups, head } = sizes;
  const [wide, narrow, scale] = [heads * head, groups * head, 1 / Math.sqrt(head)];
  const attended = scratch.take(q.length);
  const weights = scratch.take(everyHead(starts, sizes, () => {}));
  everyHead(starts, sizes, (count, query, key, look) => {
    const looks = { data: weights, at: look, stride: count };
    nt(looks, { data: q, at: query, stride: wide }, { data: k, at: key, stride: narrow }, count, count, head);
    for (let i = 0, row = look; i < count; i++, row += count) {
      let most = -Infinity;
      for (let j = 0; j <= i; j++) if (weights[row + j] > most) most = weights[row + j];
      let sum = 0;
      for (let j = 0; j <= i; j++) sum += weights[row + j] = Math.exp(scale * (weights[row + j] - most));
      for (let j = 0; j <= i; j++) weights[row + j] /= sum;
      weights.fill(0, row + i + 1, row + count);
    }
    nn({ data: attended, at: query, stride: wide }, looks, { data: v, at: key, stride: narrow }, count, head, count);
  });
  return { attended, weights };
}

/**
 * Gradients of q, k (both as turned by RoPE) and v.
 * @param {Float32Array} d gradient of what was attended
 * @param {import("./forward.js").LayerState} kept
 * @param {number[]} starts @param {Sizes} sizes @param {Kernels} kernels @param {Scratch} scratch
 */
export function attendBackward(d, { q, k, v, weights }, starts, sizes, { nt, nn, tn }, scratch) {
  const { heads, groups, head } = sizes;
  const [wide, narrow, scale] = [heads * head, groups * head, 1 / Math.sqrt(head)];
  const [dq, dk, dv] = [q, k, v].map(({ length }) => scratch.zeros(length));
  const longest = starts.slice(1).reduce((most, end, t) => Math.max(most, end - starts[t]), 0);
  const dLooks = scratch.take(longest * longest);
  everyHead(starts, sizes, (count, query, key, look) => {
    const looks = { data: weights, at: look, stride: count };
    const dOut = { data: d, at: query, stride: wide };
    const at = (/** @type {Float32Array} */ data) => ({ data, at: key, stride: narrow });
    nt(dLooks, dOut, at(v), count, count, head);
    tn(at(dv), looks, dOut, count, head, count, true);
    for (let i = 0, row = look, own = 0; i < count; i++, row += count, own += count) {
      let mean = 0; // of the weights' gradients, by the weights
      for (let j = 0; j <= i; j++) mean += weights[row + j] * dLooks[own + j];
      for (let j = 0; j <= i; j++) dLooks[own + j] = scale * weights[row + j] * (dLooks[own + j] - mean);
      dLooks.fill(0, own + i + 1, own + count);
    }
    nn({ data: dq, at: query, stride: wide }, dLooks, at(k), count, head, count);
    tn(at(dk), dLooks, { data: q, at: query, stride: wide }, count, head, count, true);
  });
  return { dq, dk, dv };
}
