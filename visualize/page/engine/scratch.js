/**
 * Where do the numbers between two layers live? In arrays that the next pass uses again: new ones for each would keep the
 * browser busy with giving and taking back memory.
 */

/**
 * @typedef {object} Scratch
 * @property {(length: number) => Float32Array} take an array with anything in it, the caller's until `back`
 * @property {(length: number) => Float32Array} zeros
 * @property {() => number} mark
 * @property {(mark?: number) => void} back all that was taken since the mark may be given away again
 */

/** @returns {Scratch} */
export function makeScratch() {
  /** @type {Float32Array[]} */
  const arrays = [];
  let taken = 0;
  /** @param {number} length */
  function take(length) {
    if (!(arrays[taken]?.length >= length)) arrays[taken] = new Float32Array(Math.ceil(1.2 * length)); // batches differ
    return arrays[taken++].subarray(0, length);
  }
  return {
    take,
    zeros: (length) => take(length).fill(0),
    mark: () => taken,
    back: (mark = 0) => void (taken = mark),
  };
}
