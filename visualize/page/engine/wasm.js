/**
 * What is the inner loop of a matrix product, instruction by instruction? A WebAssembly module, written byte by byte.
 *
 * It keeps a tile of C, `rows` x 8, in registers while it walks along k: each step loads 8 values of B, and for each row
 * spreads one value of A over four lanes and multiplies and adds twice. With relaxed SIMD both are one instruction.
 */

const I32 = 0x7f;
const V128 = 0x7b;

/** An unsigned number in WebAssembly's variable length (LEB128). @param {number} value @returns {number[]} */
const u = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...u(value >>> 7)]);
/** A signed one. @param {number} value @returns {number[]} */
const s = (value) => (value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...s(value >> 7)]);
/** @param {number[][]} items */
const vector = (items) => [...u(items.length), ...items.flat()];
/** @param {number} id @param {number[]} body */
const section = (id, body) => [id, ...u(body.length), ...body];
/** @param {string} text */
const name = (text) => vector([...text].map((character) => [character.charCodeAt(0)]));

const get = (/** @type {number} */ local) => [0x20, ...u(local)];
const set = (/** @type {number} */ local) => [0x21, ...u(local)];
const constant = (/** @type {number} */ value) => [0x41, ...s(value)];
const ADD = [0x6a];
const SUB = [0x6b];
const MUL = [0x6c];
const simd = (/** @type {number} */ code) => [0xfd, ...u(code)];
const load = (/** @type {number} */ offset) => [...simd(0x00), 2, ...u(offset)];
const spread = [...simd(0x09), 2, 0]; // v128.load32_splat
const store = (/** @type {number} */ offset) => [...simd(0x0b), 2, ...u(offset)];
const F32X4_ADD = simd(0xe4);
const F32X4_MUL = simd(0xe6);
const F32X4_MADD = simd(0x105); // a * b + c, of relaxed SIMD

/** local += by @param {number} local @param {number[]} by */
const increase = (local, by) => [...get(local), ...by, ...ADD, ...set(local)];
/** Do `body` again and again until the count in `local`, less `by` each time, is at most 0.
 * @param {number} local @param {number} by @param {number[]} body */
const loop = (local, by, body) => [
  ...[0x03, 0x40, ...body],
  ...[...get(local), ...constant(by), ...SUB, ...set(local)],
  ...[...get(local), ...constant(0), 0x4a, 0x0d, 0, 0x0b], // i32.gt_s, br_if to the loop's start, end
];

/**
 * The module: it imports page.memory and exports gemm(a, b, c, m, n, k, aRow, aCol, cRow), see kernels.js.
 * @param {number} rows of a tile @param {boolean} relaxed @returns {Uint8Array}
 */
export function gemmBytes(rows, relaxed) {
  const [a, b, c, m, n, k, aRow, aCol, cRow] = Array(9).keys();
  const [i, p, aTile, cTile, bAt, cAt] = [9, 10, 11, 12, 13, 14];
  const aAt = (/** @type {number} */ row) => 15 + row;
  const integers = 6 + rows;
  const [b0, b1, value] = [0, 1, 2].map((at) => 9 + integers + at);
  const sum = (/** @type {number} */ row, /** @type {number} */ half) => value + 1 + 2 * row + half;
  const each = (/** @type {(row: number) => number[]} */ part) =>
    Array.from({ length: rows }, (_, r) => part(r)).flat();

  /** sum += value * b @param {number} to @param {number} of */
  const multiplyAdd = (to, of) =>
    relaxed
      ? [...get(value), ...get(of), ...get(to), ...F32X4_MADD, ...set(to)]
      : [...get(value), ...get(of), ...F32X4_MUL, ...get(to), ...F32X4_ADD, ...set(to)];

  const step = [
    ...[...get(bAt), ...load(0), ...set(b0), ...get(bAt), ...load(16), ...set(b1)],
    ...each((r) => [
      ...[...get(aAt(r)), ...spread, ...set(value)],
      ...[...multiplyAdd(sum(r, 0), b0), ...multiplyAdd(sum(r, 1), b1)],
      ...increase(aAt(r), get(aCol)),
    ]),
    ...increase(bAt, constant(32)),
  ];
  const tile = [
    ...[...get(aTile), ...set(aAt(0)), ...get(cTile), ...set(cAt)],
    ...each((r) => (r ? [...get(aAt(r - 1)), ...get(aRow), ...ADD, ...set(aAt(r))] : [])),
    ...each((r) => [
      ...[...get(cAt), ...load(0), ...set(sum(r, 0)), ...get(cAt), ...load(16), ...set(sum(r, 1))],
      ...increase(cAt, get(cRow)),
    ]),
    ...[...get(b), ...set(bAt), ...get(k), ...set(p)],
    ...loop(p, 1, step),
    ...[...get(cTile), ...set(cAt)],
    ...each((r) => [
      ...[...get(cAt), ...get(sum(r, 0)), ...store(0), ...get(cAt), ...get(sum(r, 1)), ...store(16)],
      ...increase(cAt, get(cRow)),
    ]),
    ...increase(aTile, [...get(aRow), ...constant(rows), ...MUL]),
    ...increase(cTile, [...get(cRow), ...constant(rows), ...MUL]),
  ];
  const columns = [
    ...[...get(a), ...set(aTile), ...get(c), ...set(cTile), ...get(m), ...set(i)],
    ...loop(i, rows, tile),
    ...increase(b, [...get(k), ...constant(32), ...MUL]),
    ...increase(c, constant(32)),
  ];
  const body = [...vector([[...u(integers), I32], [...u(3 + 2 * rows), V128]]), ...loop(n, 8, columns), 0x0b]; // prettier-ignore

  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector([[0x60, ...vector(Array(9).fill([I32])), 0]])),
    ...section(2, vector([[...name("page"), ...name("memory"), 0x02, 0, 0]])),
    ...section(3, vector([[0]])),
    ...section(7, vector([[...name("gemm"), 0, 0]])),
    ...section(10, vector([[...u(body.length), ...body]])),
  ]);
}
