// In which directions did a matrix move? Its singular value decomposition: rank-one components, strongest first.

/** @typedef {{u: Float32Array, s: number, v: Float32Array}} Component s u vᵀ, u and v of length one */

const MOST = 12; // components of a change that was kept whole
const OVERSAMPLE = 6;

/**
 * Exactly, through Gram matrices of thin factors (B: out x r, A: r x in). Components that are rounding error are left out.
 * @param {{B: Float32Array, A: Float32Array, out: number, r: number, into: number}} factors
 * @returns {Component[]}
 */
export function ofFactors({ B, A, out, r, into }) {
  const q = orthonormal(columnsOf(B, out, r));
  const p = orthonormal(rowsOf(A, r, into));
  // B A = Q (Qᵀ B)(A P) Pᵀ, and what stands between is small.
  const left = q.map((one) => columnsOf(B, out, r).map((column) => dot(one, column)));
  const right = rowsOf(A, r, into).map((row) => p.map((one) => dot(row, one)));
  const core = left.map((line) => p.map((_, column) => line.reduce((sum, value, k) => sum + value * right[k][column], 0)));
  return lifted(core, q, p, out, into);
}

/**
 * The strongest of a whole matrix, (out, in), by subspace iteration (Halko et al. 2011).
 * @param {Float32Array} matrix @param {number} out @param {number} into @param {number} [most]
 * @returns {Component[]}
 */
export function ofMatrix(matrix, out, into, most = MOST) {
  const wanted = Math.min(most + OVERSAMPLE, out, into);
  let seed = 1;
  const random = () => ((seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x3fffffff) - 1;
  let p = orthonormal(Array.from({ length: wanted }, () => Float64Array.from({ length: into }, random)));
  /** @type {Float64Array[]} */
  let q = [];
  for (let round = 0; round < 4; round++) {
    q = orthonormal(p.map((one) => times(matrix, one, out, into)));
    if (!q.length) return [];
    p = orthonormal(q.map((one) => timesTurned(matrix, one, out, into)));
  }
  const core = q.map((one) => {
    const line = timesTurned(matrix, one, out, into);
    return p.map((other) => dot(line, other));
  });
  return lifted(core, q, p, out, into).slice(0, most);
}

/** @param {number[][]} core @param {Float64Array[]} q @param {Float64Array[]} p @param {number} out @param {number} into @returns {Component[]} */
function lifted(core, q, p, out, into) {
  const { u, s, v } = small(core);
  const found = s.map((value, at) => ({
    s: value,
    u: combined(q, u.map((line) => line[at]), out),
    v: combined(p, v.map((line) => line[at]), into),
  }));
  const most = Math.max(0, ...s);
  return found.filter((one) => one.s > most * 1e-6 && one.s > 0).sort((a, b) => b.s - a.s);
}

/** One-sided Jacobi of a small matrix (Hestenes 1958). @param {number[][]} matrix m lines of n */
function small(matrix) {
  const m = matrix.length;
  const n = matrix[0]?.length ?? 0;
  const a = matrix.map((line) => [...line]);
  const v = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 40; sweep++) {
    let turned = false;
    for (let i = 0; i < n; i++) {
      for (let j = i + 1; j < n; j++) {
        let aa = 0, bb = 0, ab = 0; // prettier-ignore
        for (let k = 0; k < m; k++) {
          aa += a[k][i] * a[k][i];
          bb += a[k][j] * a[k][j];
          ab += a[k][i] * a[k][j];
        }
        if (Math.abs(ab) <= 1e-14 * Math.sqrt(aa * bb) || ab === 0) continue;
        turned = true;
        const zeta = (bb - aa) / (2 * ab);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        for (const line of [...a, ...v]) {
          const one = line[i];
          line[i] = c * (one - t * line[j]);
          line[j] = c * (t * one + line[j]);
        }
      }
    }
    if (!turned) break;
  }
  const s = Array.from({ length: n }, (_, j) => Math.sqrt(a.reduce((sum, line) => sum + line[j] ** 2, 0)));
  return { u: a.map((line) => line.map((value, j) => (s[j] ? value / s[j] : 0))), s, v };
}

/** Gram and Schmidt, twice, which is enough; what depends on the others is left out.
 * @param {ArrayLike<number>[]} vectors @returns {Float64Array[]} */
function orthonormal(vectors) {
  /** @type {Float64Array[]} */
  const found = [];
  for (const vector of vectors) {
    const one = Float64Array.from(vector);
    const size = Math.sqrt(dot(one, one));
    for (let round = 0; round < 2; round++) {
      for (const other of found) {
        const share = dot(one, other);
        for (let at = 0; at < one.length; at++) one[at] -= share * other[at];
      }
    }
    const left = Math.sqrt(dot(one, one));
    if (!(left > 1e-9 * size)) continue;
    for (let at = 0; at < one.length; at++) one[at] /= left;
    found.push(one);
  }
  return found;
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at] * b[at];
  return sum;
}

/** @param {Float32Array} matrix @param {number} out @param {number} r */
const columnsOf = (matrix, out, r) => Array.from({ length: r }, (_, k) => Float64Array.from({ length: out }, (_, row) => matrix[row * r + k]));
/** @param {Float32Array} matrix @param {number} r @param {number} into */
const rowsOf = (matrix, r, into) => Array.from({ length: r }, (_, k) => matrix.subarray(k * into, (k + 1) * into));

/** @param {Float32Array} matrix @param {Float64Array} vector @param {number} out @param {number} into */
const times = (matrix, vector, out, into) => Float64Array.from({ length: out }, (_, row) => dot(matrix.subarray(row * into, (row + 1) * into), vector));

/** @param {Float32Array} matrix @param {Float64Array} vector @param {number} out @param {number} into */
function timesTurned(matrix, vector, out, into) {
  const found = new Float64Array(into);
  for (let row = 0; row < out; row++) {
    const by = vector[row];
    for (let column = 0, at = row * into; column < into; column++, at++) found[column] += by * matrix[at];
  }
  return found;
}

/** @param {Float64Array[]} basis @param {number[]} shares @param {number} length */
function combined(basis, shares, length) {
  const found = new Float32Array(length);
  basis.forEach((one, k) => {
    for (let at = 0; at < length; at++) found[at] += shares[k] * one[at];
  });
  return found;
}

/** The strongest components of a module's change at a step, however it is kept.
 * @param {import("./run.js").RunData} run @param {number} at @param {string} name @returns {Component[]} */
export function componentsOf(run, at, name) {
  const factors = run.factors(at, name);
  if (factors) return ofFactors(factors);
  const shape = run.drawn(name);
  const delta = run.delta(at, name);
  return delta && shape?.length === 2 && run.form !== "pictures" ? ofMatrix(delta, shape[0], shape[1]) : [];
}
