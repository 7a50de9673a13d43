/**
 * How is WebAssembly written without a compiler? As lists of bytes: each function here gives those of one construct.
 *
 * https://webassembly.github.io/spec/core/binary/ names every byte.
 */

const I32 = 0x7f;
const V128 = 0x7b;

/** An unsigned number in variable length (LEB128). @param {number} value @returns {number[]} */
const u = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...u(value >>> 7)]);
/** A signed one. @param {number} value @returns {number[]} */
const s = (value) => (value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...s(value >> 7)]);
/** @param {number[][]} items */
const vector = (items) => [...u(items.length), ...items.flat()];
/** @param {number} id @param {number[]} body */
const section = (id, body) => [id, ...u(body.length), ...body];
/** @param {string} text */
const name = (text) => vector([...text].map((character) => [character.charCodeAt(0)]));

export const get = (/** @type {number} */ local) => [0x20, ...u(local)];
export const set = (/** @type {number} */ local) => [0x21, ...u(local)];
export const constant = (/** @type {number} */ value) => [0x41, ...s(value)];
export const [ADD, SUB, MUL] = [[0x6a], [0x6b], [0x6c]];
const simd = (/** @type {number} */ code) => [0xfd, ...u(code)];

/** Of four float32 numbers at once. */
export const F32X4 = {
  load: (/** @type {number} */ offset = 0) => [...simd(0x00), 2, ...u(offset)],
  spread: [...simd(0x09), 2, 0], // one number of the memory, four times
  store: (/** @type {number} */ offset = 0) => [...simd(0x0b), 2, ...u(offset)],
  constant: (/** @type {number} */ value) => [...simd(0x0c), ...new Uint8Array(Float32Array.of(value, value, value, value).buffer)], // prettier-ignore
  nearest: simd(0x6a),
  neg: simd(0xe1),
  add: simd(0xe4),
  sub: simd(0xe5),
  mul: simd(0xe6),
  div: simd(0xe7),
  min: simd(0xe8),
  max: simd(0xe9),
  toInteger: simd(0xf8),
  madd: simd(0x105), // a * b + c, of relaxed SIMD
};
export const I32X4 = {
  constant: (/** @type {number} */ value) => [...simd(0x0c), ...new Uint8Array(Int32Array.of(value, value, value, value).buffer)], // prettier-ignore
  shl: simd(0xab),
  add: simd(0xae),
};

/** local += by @param {number} local @param {number[]} by */
export const increase = (local, by) => [...get(local), ...by, ...ADD, ...set(local)];
/** Do `body` again and again until the count in `local`, less `by` each time, is at most 0.
 * @param {number} local @param {number} by @param {number[]} body */
export const loop = (local, by, body) => [
  ...[0x03, 0x40, ...body],
  ...[...get(local), ...constant(by), ...SUB, ...set(local)],
  ...[...get(local), ...constant(0), 0x4a, 0x0d, 0, 0x0b], // i32.gt_s, br_if to the loop's start, end
];

/** Parameters, all i32, then locals of both types, then the instructions.
 * @typedef {{name: string, parameters: number, integers: number, vectors: number, body: number[]}} WasmFunction */

/** A module that imports page.memory and exports the functions. @param {WasmFunction[]} functions @returns {Uint8Array} */
export function assemble(functions) {
  const types = functions.map(({ parameters }) => [0x60, ...vector(Array(parameters).fill([I32])), 0]);
  const exported = functions.map(({ name: title }, at) => [...name(title), 0, ...u(at)]);
  const code = functions.map(({ integers, vectors, body }) => {
    const whole = [...vector([[...u(integers), I32], [...u(vectors), V128]]), ...body, 0x0b]; // prettier-ignore
    return [...u(whole.length), ...whole];
  });
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, vector([[...name("page"), ...name("memory"), 0x02, 0, 0]])),
    ...section(3, vector(functions.map((_, at) => u(at)))),
    ...section(7, vector(exported)),
    ...section(10, vector(code)),
  ]);
}
