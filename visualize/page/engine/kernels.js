/**
 * How fast can a page multiply matrices? Three products of float32 matrices, in WebAssembly where there is SIMD.
 *
 *     nt: C = A Bᵀ  (a layer forward)    nn: C = A B  (its input's gradient)    tn: C = Aᵀ B  (its weights' gradient)
 *
 * The blocks that are multiplied are copied into one small memory of their own, B in panels of a few columns: packing
 * is what a fast product needs anyway, so a matrix may be any Float32Array, and nobody has to manage WebAssembly's
 * memory. One driver, three inner loops: with fused multiply-add (relaxed SIMD), with SIMD, and in plain JavaScript.
 */

import { kernelBytes } from "./wasm.js";

/** A matrix that is part of a larger one: its first value's place, and how far the next row is. @typedef {{data: Float32Array, at: number, stride: number}} Block */

/**
 * @callback Product
 * @param {Float32Array | Block} c the result, m x n, overwritten
 * @param {Float32Array | Block} a nt, nn: m x k; tn: k x m
 * @param {Float32Array | Block} b nt: n x k; nn, tn: k x n
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
 * @property {(gate: Float32Array, up: Float32Array, sigmoid: Float32Array, active: Float32Array) => void} silu fills
 *   sigmoid = 1 / (1 + e^-gate) and active = gate * sigmoid * up
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

/** @typedef {{kind: Kernels["kind"], rows: number, columns: number, gemm: Gemm, silu: Kernels["silu"], reserve: (floats: number) => Float32Array}} Inner */

const ROWS_AT_ONCE = 240; // of A: with 384 columns some 370 kB, which a second-level cache holds
const SILU_AT_ONCE = 8192;
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

  /** Some rows of B (k x n, or n x k if turned) into panels: for each `columns` of it, `depth` rows of them.
   * @param {Float32Array} to @param {number} at @param {Block} b @param {number} n @param {number} from first of the k
   * @param {number} depth how many of them @param {boolean} turned */
  function pack(to, at, { data, at: first, stride }, n, from, depth, turned) {
    for (let j = 0; j < n; j += columns) {
      const width = Math.min(columns, n - j);
      if (width < columns) to.fill(0, at, at + depth * columns);
      if (turned) {
        for (let r = 0; r < width; r++) {
          const row = first + (j + r) * stride + from;
          for (let p = 0, target = at + r; p < depth; p++, target += columns) to[target] = data[row + p];
        }
      } else {
        for (
          let p = 0, source = first + from * stride + j, target = at;
          p < depth;
          p++, source += stride, target += columns
        )
          // prettier-ignore
          for (let r = 0; r < width; r++) to[target + r] = data[source + r];
      }
      at += depth * columns;
    }
  }

  /** Rows `from` to `from + count` of a block into the kernels' memory, whose rows are `wide` long.
   * @param {Float32Array} memory @param {number} at @param {number} wide @param {Block} block @param {number} from
   * @param {number} count @param {number} n */
  function bring(memory, at, wide, { data, at: first, stride }, from, count, n) {
    let source = first + from * stride;
    if (wide === n && stride === n) return memory.set(data.subarray(source, source + count * n), at);
    for (let i = 0; i < count; i++, source += stride, at += wide)
      for (let j = 0; j < n; j++) memory[at + j] = data[source + j];
  }

  /** And back. @type {typeof bring} */
  function fetch(memory, at, wide, { data, at: first, stride }, from, count, n) {
    let target = first + from * stride;
    if (wide === n && stride === n) return data.set(memory.subarray(at, at + count * n), target);
    for (let i = 0; i < count; i++, target += stride, at += wide)
      for (let j = 0; j < n; j++) data[target + j] = memory[at + j];
  }

  const up = (/** @type {number} */ value, /** @type {number} */ to) => Math.ceil(value / to) * to;

  /** @param {Block} c @param {Block} a @param {Block} b @param {number} m @param {number} n @param {number} k
   * @param {boolean} add @param {boolean} turned */
  function byRows(c, a, b, m, n, k, add, turned) {
    const wide = up(n, columns);
    const most = up(Math.min(m, ROWS_AT_ONCE), rows);
    const bAt = most * k;
    const cAt = bAt + wide * k;
    const memory = reserve(cAt + most * wide);
    pack(memory, bAt, b, n, 0, k, turned);
    for (let from = 0; from < m; from += most) {
      const count = Math.min(most, m - from);
      bring(memory, 0, k, a, from, count, k);
      if (add) bring(memory, cAt, wide, c, from, count, n);
      else memory.fill(0, cAt, cAt + up(count, rows) * wide);
      gemm(0, 4 * bAt, 4 * cAt, count, wide, k, 4 * k, 4, 4 * wide);
      fetch(memory, cAt, wide, c, from, count, n);
    }
  }

  /** @param {Block} c @param {Block} a @param {Block} b @param {number} m @param {number} n @param {number} k
   * @param {boolean} add */
  function byDepth(c, a, b, m, n, k, add) {
    const wide = up(n, columns);
    const most = Math.min(k, DEPTH_AT_ONCE);
    const bAt = most * m + rows; // the last rows of a tile may read a little beyond A
    const cAt = bAt + wide * most;
    const memory = reserve(cAt + up(m, rows) * wide);
    if (add) bring(memory, cAt, wide, c, 0, m, n);
    else memory.fill(0, cAt, cAt + m * wide);
    for (let from = 0; from < k; from += most) {
      const depth = Math.min(most, k - from);
      bring(memory, 0, m, a, from, depth, m);
      pack(memory, bAt, b, n, from, depth, false);
      gemm(0, 4 * bAt, 4 * cAt, m, wide, depth, 4, 4 * m, 4 * wide);
    }
    fetch(memory, cAt, wide, c, 0, m, n);
  }

  return {
    wasm: inner.kind !== "plain",
    kind: inner.kind,
    silu: inner.silu,
    nt(c, a, b, m, n, k, add = false) {
      if (m < 3) ntThin(block(c, n), block(a, k), block(b, k), m, n, k, add);
      else byRows(block(c, n), block(a, k), block(b, k), m, n, k, add, true);
    },
    nn: (c, a, b, m, n, k, add = false) => byRows(block(c, n), block(a, k), block(b, n), m, n, k, add, false),
    tn(c, a, b, m, n, k, add = false) {
      if (4 * m >= n) return byDepth(block(c, n), block(a, m), block(b, n), m, n, k, add);
      // A thin: packing it is less work than packing B, so Cᵀ = Bᵀ A is what is computed.
      const turned = new Float32Array(n * m);
      byDepth(block(turned, m), block(b, n), block(a, m), n, m, k, false);
      const { data, at, stride } = block(c, n);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          const to = at + i * stride + j;
          data[to] = (add ? data[to] : 0) + turned[j * m + i];
        }
    },
  };
}

/** @param {Float32Array | Block} matrix @param {number} stride of one that is whole @returns {Block} */
const block = (matrix, stride) => (matrix instanceof Float32Array ? { data: matrix, at: 0, stride } : matrix);

/** One row or two against many columns: reading B once is all the work, so it is not copied.
 * @param {Block} c @param {Block} a @param {Block} b @param {number} m @param {number} n @param {number} k
 * @param {boolean} add */
function ntThin(c, a, b, m, n, k, add) {
  const [x, y] = [a.data, b.data];
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0; // prettier-ignore
      let p = a.at + i * a.stride;
      let q = b.at + j * b.stride;
      const end = p + k;
      for (; p + 3 < end; p += 4, q += 4) {
        s0 += x[p] * y[q];
        s1 += x[p + 1] * y[q + 1];
        s2 += x[p + 2] * y[q + 2];
        s3 += x[p + 3] * y[q + 3];
      }
      for (; p < end; p++, q++) s0 += x[p] * y[q];
      const at = c.at + i * c.stride + j;
      c.data[at] = (add ? c.data[at] : 0) + (s0 + s1 + (s2 + s3));
    }
}

/** The inner loop in WebAssembly; null where it cannot run (no SIMD, or a policy that forbids it).
 * @param {boolean} relaxed @returns {Inner | null} */
function wasmInner(relaxed) {
  try {
    const rows = relaxed ? 6 : 4;
    const memory = new WebAssembly.Memory({ initial: 16 });
    const module = new WebAssembly.Module(/** @type {BufferSource} */ (kernelBytes(rows, relaxed)));
    const instance = new WebAssembly.Instance(module, { page: { memory } });
    const wasmSilu = /** @type {(...values: number[]) => void} */ (instance.exports.silu);
    let view = new Float32Array(memory.buffer);
    const reserve = (/** @type {number} */ floats) => {
      const missing = 4 * floats + 64 - memory.buffer.byteLength;
      if (missing > 0) {
        memory.grow(Math.ceil(missing / 65536));
        view = new Float32Array(memory.buffer);
      }
      return view;
    };
    return {
      kind: relaxed ? "relaxed" : "simd",
      rows,
      columns: 8,
      gemm: /** @type {Gemm} */ (instance.exports.gemm),
      silu(gate, up, sigmoid, active) {
        const most = SILU_AT_ONCE;
        const memory = reserve(4 * most);
        for (let from = 0; from < gate.length; from += most) {
          const to = Math.min(gate.length, from + most);
          memory.set(gate.subarray(from, to), 0);
          memory.set(up.subarray(from, to), most);
          wasmSilu(0, 4 * most, 8 * most, 12 * most, to - from);
          sigmoid.set(memory.subarray(2 * most, 2 * most + to - from), from);
          active.set(memory.subarray(3 * most, 3 * most + to - from), from);
        }
      },
      reserve,
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
    silu(gate, up, sigmoid, active) {
      for (let i = 0; i < gate.length; i++) {
        sigmoid[i] = 1 / (1 + Math.exp(-gate[i]));
        active[i] = gate[i] * sigmoid[i] * up[i];
      }
    },
    reserve(floats) {
      if (floats + 16 > view.length) view = new Float32Array(2 * floats + 16);
      return view;
    },
  };
}
