/**
 * How does a model write token after token without reading all before again? It keeps each layer's keys and values.
 */

/** @typedef {import("./forward.js").Sizes} Sizes */

/** Keys and values of a text so far, a layer each. @typedef {{length: number, k: Float32Array[], v: Float32Array[]}} Cache */

/** @returns {Cache} */
export const emptyCache = () => ({ length: 0, k: [], v: [] });

/**
 * @param {Float32Array} q rows x (heads * head)
 * @param {Float32Array} k rows x (groups * head)
 * @param {Float32Array} v likewise
 * @param {number[]} starts where each text's new tokens begin, and the end of the last
 * @param {Sizes} sizes
 * @param {Cache[]} caches keys and values before these, to which these are added
 * @param {number} layer of the caches
 * @returns {Float32Array} what was attended
 */
export function attendCached(q, k, v, starts, { heads, groups, head, context }, caches, layer) {
  const wide = heads * head;
  const narrow = groups * head;
  const scale = 1 / Math.sqrt(head);
  const attended = new Float32Array(q.length);
  const weights = new Float32Array(context);
  for (let t = 0; t + 1 < starts.length; t++) {
    const count = starts[t + 1] - starts[t];
    const first = starts[t] * narrow;
    const cache = caches[t];
    const before = cache.length;
    const keys = (cache.k[layer] = grown(cache.k[layer], before * narrow, k, first, count * narrow));
    const values = (cache.v[layer] = grown(cache.v[layer], before * narrow, v, first, count * narrow));
    for (let h = 0; h < heads; h++) {
      const at = Math.floor((h * groups) / heads) * head;
      for (let i = 0; i < count; i++) {
        const from = (starts[t] + i) * wide + h * head;
        const seen = before + i + 1;
        let most = -Infinity;
        for (let j = 0, key = at; j < seen; j++, key += narrow) {
          let dot = 0;
          for (let d = 0; d < head; d++) dot += q[from + d] * keys[key + d];
          dot *= scale;
          weights[j] = dot;
          if (dot > most) most = dot;
        }
        let sum = 0;
        for (let j = 0; j < seen; j++) sum += weights[j] = Math.exp(weights[j] - most);
        for (let j = 0, value = at; j < seen; j++, value += narrow) {
          const share = (weights[j] /= sum);
          for (let d = 0; d < head; d++) attended[from + d] += share * values[value + d];
        }
      }
    }
  }
  return attended;
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
