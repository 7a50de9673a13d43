/**
 * Where does each token look? Causal attention within each text, softmax(q kᵀ / √d) v, head by head.
 */

/** @typedef {import("./forward.js").Sizes} Sizes */
/** @typedef {import("./forward.js").Cache} Cache */

/**
 * @param {Float32Array} q rows x (heads * head)
 * @param {Float32Array} k rows x (groups * head)
 * @param {Float32Array} v likewise
 * @param {number[]} starts where each text begins, and the end of the last
 * @param {Sizes} sizes
 * @param {boolean} keep the weights, for the backward pass
 * @param {Cache[]} [caches] keys and values before these, to which these are added
 * @param {number} [layer] of the caches
 * @returns {{attended: Float32Array, weights: Float32Array}}
 */
export function attend(q, k, v, starts, { heads, groups, head, context }, keep, caches, layer = 0) {
  const wide = heads * head;
  const narrow = groups * head;
  const shared = heads / groups;
  const scale = 1 / Math.sqrt(head);
  const attended = new Float32Array(q.length);
  const weights = new Float32Array(keep ? heads * squares(starts) : context);
  let base = 0;
  for (let t = 0; t + 1 < starts.length; t++) {
    const count = starts[t + 1] - starts[t];
    let before = 0;
    let keys = k;
    let values = v;
    let first = starts[t] * narrow;
    if (caches) {
      const cache = caches[t];
      before = cache.length;
      cache.k[layer] = grown(cache.k[layer], before * narrow, k, first, count * narrow);
      cache.v[layer] = grown(cache.v[layer], before * narrow, v, first, count * narrow);
      [keys, values, first] = [cache.k[layer], cache.v[layer], 0];
    }
    for (let h = 0; h < heads; h++) {
      const at = first + Math.floor(h / shared) * head;
      for (let i = 0; i < count; i++) {
        const from = (starts[t] + i) * wide + h * head;
        const seen = before + i + 1;
        let most = -Infinity;
        for (let j = 0, key = at; j < seen; j++, key += narrow) {
          let dot = 0;
          for (let d = 0; d < head; d++) dot += q[from + d] * keys[key + d];
          dot *= scale;
          weights[base + j] = dot;
          if (dot > most) most = dot;
        }
        let sum = 0;
        for (let j = 0; j < seen; j++) sum += weights[base + j] = Math.exp(weights[base + j] - most);
        for (let j = 0, value = at; j < seen; j++, value += narrow) {
          const share = (weights[base + j] /= sum);
          for (let d = 0; d < head; d++) attended[from + d] += share * values[value + d];
        }
        if (keep) base += count;
      }
    }
  }
  return { attended, weights };
}

/** @param {number[]} starts @returns {number} */
function squares(starts) {
  let sum = 0;
  for (let t = 0; t + 1 < starts.length; t++) sum += (starts[t + 1] - starts[t]) ** 2;
  return sum;
}

/** An array that holds `count` more values; doubled when it is full.
 * @param {Float32Array | undefined} old @param {number} used @param {Float32Array} more @param {number} from @param {number} count */
function grown(old, used, more, from, count) {
  let array = old;
  if (!array || used + count > array.length) {
    array = new Float32Array(2 * (used + count));
    if (old) array.set(old.subarray(0, used));
  }
  array.set(more.subarray(from, from + count), used);
  return array;
}

/**
 * Gradients of q, k (both as turned by RoPE) and v.
 * @param {Float32Array} d gradient of what was attended
 * @param {import("./forward.js").LayerState} kept
 * @param {number[]} starts
 * @param {Sizes} sizes
 */
export function attendBackward(d, { q, k, v, weights }, starts, { heads, groups, head }) {
  const wide = heads * head;
  const narrow = groups * head;
  const shared = heads / groups;
  const scale = 1 / Math.sqrt(head);
  const dq = new Float32Array(q.length);
  const dk = new Float32Array(k.length);
  const dv = new Float32Array(v.length);
  const longest = starts.slice(1).reduce((most, end, t) => Math.max(most, end - starts[t]), 0);
  const dWeights = new Float64Array(longest);
  let base = 0;
  for (let t = 0; t + 1 < starts.length; t++) {
    const count = starts[t + 1] - starts[t];
    for (let h = 0; h < heads; h++) {
      const at = starts[t] * narrow + Math.floor(h / shared) * head;
      for (let i = 0; i < count; i++, base += count) {
        const from = (starts[t] + i) * wide + h * head;
        let mean = 0; // of the weights' gradients, by the weights
        for (let j = 0, key = at; j <= i; j++, key += narrow) {
          const share = weights[base + j];
          let dot = 0;
          for (let p = 0; p < head; p++) {
            dot += d[from + p] * v[key + p];
            dv[key + p] += share * d[from + p];
          }
          dWeights[j] = dot;
          mean += share * dot;
        }
        for (let j = 0, key = at; j <= i; j++, key += narrow) {
          const pull = weights[base + j] * (dWeights[j] - mean) * scale;
          for (let p = 0; p < head; p++) {
            dq[from + p] += pull * k[key + p];
            dk[key + p] += pull * q[from + p];
          }
        }
      }
    }
  }
  return { dq, dk, dv };
}
