/**
 * What are the page's inner loops, instruction by instruction? A WebAssembly module, written by hand.
 */

import { ADD, F32X4, I32X4, MUL, assemble, constant, get, increase, loop, set } from "./assembler.js";

/**
 * gemm(a, b, c, m, n, k, aRow, aCol, cRow), see kernels.js. It keeps a tile of C, `rows` x 8, in registers while it walks
 * along k: each step loads 8 values of B, and for each row spreads one value of A over four lanes and multiplies and adds
 * twice. With relaxed SIMD both are one instruction.
 * @param {number} rows of a tile @param {boolean} relaxed @returns {import("./assembler.js").WasmFunction}
 */
function gemm(rows, relaxed) {
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
      ? [...get(value), ...get(of), ...get(to), ...F32X4.madd, ...set(to)]
      : [...get(value), ...get(of), ...F32X4.mul, ...get(to), ...F32X4.add, ...set(to)];

  const step = [
    ...[...get(bAt), ...F32X4.load(0), ...set(b0), ...get(bAt), ...F32X4.load(16), ...set(b1)],
    ...each((r) => [
      ...[...get(aAt(r)), ...F32X4.spread, ...set(value)],
      ...[...multiplyAdd(sum(r, 0), b0), ...multiplyAdd(sum(r, 1), b1)],
      ...increase(aAt(r), get(aCol)),
    ]),
    ...increase(bAt, constant(32)),
  ];
  const tile = [
    ...[...get(aTile), ...set(aAt(0)), ...get(cTile), ...set(cAt)],
    ...each((r) => (r ? [...get(aAt(r - 1)), ...get(aRow), ...ADD, ...set(aAt(r))] : [])),
    ...each((r) => [
      ...[...get(cAt), ...F32X4.load(0), ...set(sum(r, 0)), ...get(cAt), ...F32X4.load(16), ...set(sum(r, 1))],
      ...increase(cAt, get(cRow)),
    ]),
    ...[...get(b), ...set(bAt), ...get(k), ...set(p)],
    ...loop(p, 1, step),
    ...[...get(cTile), ...set(cAt)],
    ...each((r) => [
      ...[...get(cAt), ...get(sum(r, 0)), ...F32X4.store(0), ...get(cAt), ...get(sum(r, 1)), ...F32X4.store(16)],
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
  return { name: "gemm", parameters: 9, integers, vectors: 3 + 2 * rows, body: loop(n, 8, columns) };
}

/**
 * silu(gate, up, sigmoid, active, n): sigmoid = 1 / (1 + e^-gate) and active = gate * sigmoid * up, four at a time.
 * eˣ is 2ᵏ eʳ with k whole and |r| at most half of ln 2, whose polynomial is that of the Cephes library (1.7e-7).
 * @returns {import("./assembler.js").WasmFunction}
 */
function silu() {
  const [gate, up, sigmoid, active, n] = Array(5).keys();
  const [x, r, k, p] = [5, 6, 7, 8];
  const number = F32X4.constant;
  /** a * b + c @param {number[]} a @param {number[]} b @param {number[]} c */
  const madd = (a, b, c) => [...a, ...b, ...F32X4.mul, ...c, ...F32X4.add];
  const polynomial = [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5].reduce(
    (code, term) => madd(code, get(r), number(term)),
    number(1.98756915e-4),
  );
  const body = [
    ...[...get(gate), ...F32X4.load(), ...set(x)],
    ...[...get(x), ...F32X4.neg, ...number(87), ...F32X4.min, ...number(-87), ...F32X4.max, ...set(r)],
    ...[...get(r), ...number(Math.LOG2E), ...F32X4.mul, ...F32X4.nearest, ...set(k)],
    ...[...madd(get(k), number(-0.693359375), get(r)), ...set(r)], // ln 2 in two parts: the first has few digits
    ...[...madd(get(k), number(2.1219444e-4), get(r)), ...set(r)],
    ...[...madd([...polynomial, ...get(r), ...F32X4.mul], get(r), get(r)), ...number(1), ...F32X4.add, ...set(p)],
    // 2ᵏ: k goes where float32 keeps its exponent
    ...[...get(p), ...get(k), ...F32X4.toInteger, ...I32X4.constant(127), ...I32X4.add, ...constant(23), ...I32X4.shl],
    ...[...F32X4.mul, ...set(p)],
    ...[...number(1), ...get(p), ...number(1), ...F32X4.add, ...F32X4.div, ...set(p)],
    ...[...get(sigmoid), ...get(p), ...F32X4.store()],
    ...[
      ...get(active),
      ...get(x),
      ...get(p),
      ...F32X4.mul,
      ...get(up),
      ...F32X4.load(),
      ...F32X4.mul,
      ...F32X4.store(),
    ],
    ...[gate, up, sigmoid, active].flatMap((pointer) => increase(pointer, constant(16))),
  ];
  return { name: "silu", parameters: 5, integers: 0, vectors: 4, body: loop(n, 4, body) };
}

/** The module of both. @param {number} rows of a product's tile @param {boolean} relaxed */
export const kernelBytes = (rows, relaxed) => assemble([gemm(rows, relaxed), silu()]);
