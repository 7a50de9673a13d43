/**
 * How fast can a page multiply matrices? Three products of float32 matrices, in WebAssembly where there is SIMD.
 *
 *     nt: C = A Bᵀ  (a layer forward)    nn: C = A B  (its input's gradient)    tn: C = Aᵀ B  (its weights' gradient)
 *
 * The blocks that are multiplied are copied into one small memory of their own, B in panels of a few columns: packing
 * is what a fast product needs anyway, so a matrix may be any Float32Array, and nobody has to manage WebAssembly's
 * memory. One driver, three inner loops: with fused multiply-add (relaxed SIMD), with SIMD, and in plain JavaScript.
 */

import { gemmBytes } from "./wasm.js";

/**
 * @callback Product
 * @param {Float32Array} c the result, m x n, overwritten
 * @param {Float32Array} a nt, nn: m x k; tn: k x m
 * @param {Float32Array} b nt: n x k; nn, tn: k x n
 * @param {number} m
 * @param {number} n
 * @param {number} k
 * @param {boolean} [add] add the product to what is in c
 * @returns {void}
 */

/**
 * @typedef {object} Kernels
 * @property {boolean} wasm whether WebAssembly does it
 * @property {"relaxed" | "simd" | "plain"} kind
 * @property {Product} nt
 * @property {Product} nn
 * @property {Product} tn
 */

/**
 * C += A B for whole tiles. a, b, c: byte offsets in the memory; aRow, aCol, cRow: bytes from one row or column to the
 * next; b in panels of the inner loop's width.
 * @callback Gemm
 * @param {number} a
 * @param {number} b
 * @param {number} c
 * @param {number} m
 * @param {number} n
 * @param {number} k
 * @param {number} aRow
 * @param {number} aCol
 * @param {number} cRow
 */

/** @typedef {{kind: Kernels["kind"], rows: number, columns: number, gemm: Gemm, reserve: (floats: number) => Float32Array}} Inner */

const ROWS_AT_ONCE = 240; // of A: with 384 columns some 370 kB, which a second-level cache holds
const DEPTH_AT_ONCE = 256; // of Aᵀ and B, where both are as long as the batch

/**
 * The fastest products that this browser can run. wasm: false takes plain JavaScript; relaxed: false leaves fused
 * multiply-add out.
 * @param {{wasm?: boolean, relaxed?: boolean}} [options]
 * @returns {Kernels}
 */
export function makeKernels({ wasm = true, relaxed = true } = {}) {
  const inner = (wasm && ((relaxed && wasmInner(true)) || wasmInner(false))) || plainInner();
  const { rows, columns, gemm, reserve } = inner;

  /** B (k x n, or n x k if turned) into panels: for each `columns` of it, k rows of them.
   * @param {Float32Array} to @param {number} at @param {Float32Array} b @param {number} n @param {number} k
   * @param {number} from first row of the k @param {number} depth how many of them @param {boolean} turned */
  function pack(to, at, b, n, k, from, depth, turned) {
    for (let j = 0; j < n; j += columns) {
      const width = Math.min(columns, n - j);
      if (width < columns) to.fill(0, at, at + depth * columns);
      if (turned) {
        for (let r = 0; r < width; r++) {
          const row = (j + r) * k + from;
          for (let p = 0; p < depth; p++) to[at + p * columns + r] = b[row + p];
        }
      } else {
        for (let p = 0, source = from * n + j, target = at; p < depth; p++, source += n, target += columns)
          for (let r = 0; r < width; r++) to[target + r] = b[source + r];
      }
      at += depth * columns;
    }
  }

  /** A few rows of C between the page's memory and the kernels', whose rows are `wide` long.
   * @param {Float32Array} memory @param {number} at @param {number} wide @param {Float32Array} c @param {number} from
   * @param {number} count @param {number} n @param {boolean} out */
  function move(memory, at, wide, c, from, count, n, out) {
    if (wide === n) {
      if (out) c.set(memory.subarray(at, at + count * n), from * n);
      else memory.set(c.subarray(from * n, (from + count) * n), at);
      return;
    }
    for (let i = 0; i < count; i++) {
      const row = (from + i) * n;
      if (out) for (let j = 0; j < n; j++) c[row + j] = memory[at + i * wide + j];
      else for (let j = 0; j < n; j++) memory[at + i * wide + j] = c[row + j];
    }
  }

  const up = (/** @type {number} */ value, /** @type {number} */ to) => Math.ceil(value / to) * to;

  /** @type {(turned: boolean) => Product} */
  const byRows =
    (turned) =>
    (c, a, b, m, n, k, add = false) => {
      const wide = up(n, columns);
      const most = up(Math.min(m, ROWS_AT_ONCE), rows);
      const bAt = most * k;
      const cAt = bAt + wide * k;
      const memory = reserve(cAt + most * wide);
      pack(memory, bAt, b, n, k, 0, k, turned);
      for (let from = 0; from < m; from += most) {
        const count = Math.min(most, m - from);
        memory.set(a.subarray(from * k, (from + count) * k), 0);
        if (add) move(memory, cAt, wide, c, from, count, n, false);
        else memory.fill(0, cAt, cAt + up(count, rows) * wide);
        gemm(0, 4 * bAt, 4 * cAt, count, wide, k, 4 * k, 4, 4 * wide);
        move(memory, cAt, wide, c, from, count, n, true);
      }
    };

  /** @type {Product} */
  function tn(c, a, b, m, n, k, add = false) {
    const wide = up(n, columns);
    const most = Math.min(k, DEPTH_AT_ONCE);
    const bAt = most * m + rows; // the last rows of a tile may read a little beyond A
    const cAt = bAt + wide * most;
    const memory = reserve(cAt + up(m, rows) * wide);
    if (add) move(memory, cAt, wide, c, 0, m, n, false);
    else memory.fill(0, cAt, cAt + m * wide);
    for (let from = 0; from < k; from += most) {
      const depth = Math.min(most, k - from);
      memory.set(a.subarray(from * m, (from + depth) * m), 0);
      pack(memory, bAt, b, n, k, from, depth, false);
      gemm(0, 4 * bAt, 4 * cAt, m, wide, depth, 4, 4 * m, 4 * wide);
    }
    move(memory, cAt, wide, c, 0, m, n, true);
  }

  /** One row or a few against many columns: reading B once is all the work, so it is not copied.
   * @type {Product} */
  function ntThin(c, a, b, m, n, k, add = false) {
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0; // prettier-ignore
        let p = i * k;
        let q = j * k;
        const end = p + k - 3;
        for (; p < end; p += 4, q += 4) {
          s0 += a[p] * b[q];
          s1 += a[p + 1] * b[q + 1];
          s2 += a[p + 2] * b[q + 2];
          s3 += a[p + 3] * b[q + 3];
        }
        for (; p < end + 3; p++, q++) s0 += a[p] * b[q];
        const sum = s0 + s1 + (s2 + s3);
        c[i * n + j] = add ? c[i * n + j] + sum : sum;
      }
  }

  const ntWide = byRows(true);
  return {
    wasm: inner.kind !== "plain",
    kind: inner.kind,
    nt: (c, a, b, m, n, k, add) => (m < 3 ? ntThin : ntWide)(c, a, b, m, n, k, add),
    nn: byRows(false),
    tn,
  };
}

/** The inner loop in WebAssembly; null where it cannot run (no SIMD, or a policy that forbids it).
 * @param {boolean} relaxed @returns {Inner | null} */
function wasmInner(relaxed) {
  try {
    const rows = relaxed ? 6 : 4;
    const memory = new WebAssembly.Memory({ initial: 16 });
    const module = new WebAssembly.Module(/** @type {BufferSource} */ (gemmBytes(rows, relaxed)));
    const instance = new WebAssembly.Instance(module, { page: { memory } });
    let view = new Float32Array(memory.buffer);
    return {
      kind: relaxed ? "relaxed" : "simd",
      rows,
      columns: 8,
      gemm: /** @type {Gemm} */ (instance.exports.gemm),
      reserve(floats) {
        const missing = 4 * floats + 64 - memory.buffer.byteLength;
        if (missing > 0) {
          memory.grow(Math.ceil(missing / 65536));
          view = new Float32Array(memory.buffer);
        }
        return view;
      },
    };
  } catch {
    return null;
  }
}

/** The same tiles in plain JavaScript, four by four.
 * @returns {Inner} */
function plainInner() {
  let view = new Float32Array(1 << 16);
  /** @type {Gemm} */
  function gemm(a, b, c, m, n, k, aRow, aCol, cRow) {
    const v = view;
    const row = aRow / 4;
    const col = aCol / 4;
    const wide = cRow / 4;
    for (let j = 0; j < n; j += 4)
      for (let i = 0; i < m; i += 4) {
        let p0 = a / 4 + i * row;
        let q = b / 4 + j * k;
        let c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0; // prettier-ignore
        let c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0; // prettier-ignore
        for (let p = 0; p < k; p++, q += 4, p0 += col) {
          const b0 = v[q], b1 = v[q + 1], b2 = v[q + 2], b3 = v[q + 3]; // prettier-ignore
          const a0 = v[p0], a1 = v[p0 + row], a2 = v[p0 + 2 * row], a3 = v[p0 + 3 * row]; // prettier-ignore
          c00 += a0 * b0;
          c01 += a0 * b1;
          c02 += a0 * b2;
          c03 += a0 * b3; // prettier-ignore
          c10 += a1 * b0;
          c11 += a1 * b1;
          c12 += a1 * b2;
          c13 += a1 * b3; // prettier-ignore
          c20 += a2 * b0;
          c21 += a2 * b1;
          c22 += a2 * b2;
          c23 += a2 * b3; // prettier-ignore
          c30 += a3 * b0;
          c31 += a3 * b1;
          c32 += a3 * b2;
          c33 += a3 * b3; // prettier-ignore
        }
        const o = c / 4 + i * wide + j;
        v[o] += c00;
        v[o + 1] += c01;
        v[o + 2] += c02;
        v[o + 3] += c03; // prettier-ignore
        const o1 = o + wide;
        v[o1] += c10;
        v[o1 + 1] += c11;
        v[o1 + 2] += c12;
        v[o1 + 3] += c13; // prettier-ignore
        const o2 = o1 + wide;
        v[o2] += c20;
        v[o2 + 1] += c21;
        v[o2 + 2] += c22;
        v[o2 + 3] += c23; // prettier-ignore
        const o3 = o2 + wide;
        v[o3] += c30;
        v[o3 + 1] += c31;
        v[o3 + 2] += c32;
        v[o3 + 3] += c33; // prettier-ignore
      }
  }
  return {
    kind: "plain",
    rows: 4,
    columns: 4,
    gemm,
    reserve(floats) {
      if (floats + 16 > view.length) view = new Float32Array(2 * floats + 16);
      return view;
    },
  };
}
