// Which of a word's neighbours are joined? Byte-pair encoding (Sennrich et al. 2016), however long the word is.
//
// Again and again the pair that was learned earliest, the leftmost of several. A heap gives it, so that a word of n parts
// takes n log n steps; a joined pair's old entries stay in the heap, and are known by a rank that is no longer theirs.

/**
 * @param {string[]} parts @param {(left: string, right: string) => number | undefined} rankOf when a pair was learned
 * @returns {string[]}
 */
export function joined(parts, rankOf) {
  const text = parts.slice();
  const count = text.length;
  const next = Array.from(text, (_, at) => at + 1);
  const before = Array.from(text, (_, at) => at - 1);
  /** @type {number[]} */
  const heap = [];
  // One number holds both: below 2^53, and ordered by rank first, then by place.
  const look = (/** @type {number} */ at) => {
    const rank = at >= 0 && next[at] < count ? rankOf(text[at], text[next[at]]) : undefined;
    if (rank !== undefined) push(heap, rank * 2 ** 32 + at);
  };
  for (let at = 0; at < count; at++) look(at);
  while (heap.length) {
    const [rank, at] = split(pop(heap));
    const right = next[at];
    if (text[at] === "" || right >= count || rankOf(text[at], text[right]) !== rank) continue;
    text[at] += text[right];
    text[right] = "";
    next[at] = next[right];
    if (next[at] < count) before[next[at]] = at;
    look(before[at]);
    look(at);
  }
  return text.filter(Boolean);
}

/** @param {number} entry @returns {[number, number]} rank, place */
const split = (entry) => [Math.floor(entry / 2 ** 32), entry % 2 ** 32];

/** @param {number[]} heap smallest first @param {number} value */
function push(heap, value) {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (heap[above] <= value) break;
    heap[at] = heap[above];
    at = above;
  }
  heap[at] = value;
}

/** @param {number[]} heap not empty @returns {number} the smallest */
function pop(heap) {
  const [first] = heap;
  const value = /** @type {number} */ (heap.pop());
  const { length } = heap;
  if (!length) return first;
  let at = 0;
  for (let below = 1; below < length; below = 2 * at + 1) {
    if (below + 1 < length && heap[below + 1] < heap[below]) below++;
    if (heap[below] >= value) break;
    heap[at] = heap[below];
    at = below;
  }
  heap[at] = value;
  return first;
}
