/**
 * Which rank-one matrices is an adapter made of? The singular value decomposition of scaling * B A, without forming it.
 *
 * B = Q R and Aᵀ = P S by modified Gram-Schmidt (twice, which is as good as it gets: Giraud et al. 2005); then the
 * r x r matrix R Sᵀ by one-sided Jacobi rotations (Hestenes 1958). In float64 throughout.
 */

/**
 * Components of scaling * B A, the strongest first, r of them (of a deficient rank the last have strength 0).
 * @param {Float32Array} b out x r
 * @param {Float32Array} a r x in
 * @param {number} rank
 * @param {number} [scaling]
 * @returns {import("./compose.js").Components}
 */
export function components(b, a, rank, scaling = 1) {
  const to = b.length / rank;
  const from = a.length / rank;
  const left = Array.from({ length: rank }, (_, i) => Float64Array.from({ length: to }, (_, r) => b[r * rank + i]));
  const right = Array.from({ length: rank }, (_, i) => Float64Array.from(a.subarray(i * from, (i + 1) * from)));
  const r = orthonormalise(left);
  const s = orthonormalise(right);
  // small[j] is a column: (R Sᵀ)[i, j] = Σ_c R[i, c] S[j, c]
  const small = Array.from({ length: rank }, (_, j) =>
    Float64Array.from({ length: rank }, (_, i) => scaling * r[i].reduce((sum, value, c) => sum + value * s[j][c], 0)),
  );
  const turned = jacobi(small);
  const sizes = small.map((column) => Math.sqrt(dot(column, column)));
  const order = sizes.map((_, at) => at).sort((x, y) => sizes[y] - sizes[x]);
  const out = { u: new Float32Array(rank * to), s: new Float32Array(rank), v: new Float32Array(rank * from) };
  order.forEach((at, i) => {
    out.s[i] = sizes[at];
    if (!(sizes[at] > 0)) return;
    out.u.set(combined(left, small[at], 1 / sizes[at]), i * to);
    out.v.set(combined(right, turned[at], 1), i * from);
  });
  return out;
}

/** @param {Float64Array} x @param {Float64Array} y */
function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** Σ factors[i] * vectors[i] * scale @param {Float64Array[]} vectors @param {Float64Array} factors @param {number} scale */
function combined(vectors, factors, scale) {
  const sum = new Float64Array(vectors[0].length);
  vectors.forEach((vector, at) => {
    for (let i = 0; i < sum.length; i++) sum[i] += scale * factors[at] * vector[i];
  });
  return sum;
}

/** Make vectors orthonormal in place; gives the upper triangular R of vectors = Q R, by rows. A vector that depends on
 * those before it becomes 0. @param {Float64Array[]} vectors @returns {Float64Array[]} */
function orthonormalise(vectors) {
  const r = vectors.map(() => new Float64Array(vectors.length));
  vectors.forEach((vector, j) => {
    const before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++)
      for (let i = 0; i < j; i++) {
        const part = dot(vectors[i], vector);
        r[i][j] += part;
        for (let p = 0; p < vector.length; p++) vector[p] -= part * vectors[i][p];
      }
    const size = Math.sqrt(dot(vector, vector));
    const depends = !(size > 1e-12 * before);
    r[j][j] = depends ? 0 : size;
    for (let p = 0; p < vector.length; p++) vector[p] = depends ? 0 : vector[p] / size;
  });
  return r;
}

/** Rotate columns in place until they are orthogonal; gives the rotations' product, by columns.
 * @param {Float64Array[]} columns @returns {Float64Array[]} */
function jacobi(columns) {
  const count = columns.length;
  const turned = columns.map((_, at) => Float64Array.from({ length: count }, (_, i) => Number(i === at)));
  for (let sweep = 0, moved = true; moved && sweep < 60; sweep++) {
    moved = false;
    for (let i = 0; i < count; i++)
      for (let j = i + 1; j < count; j++) {
        const [alpha, beta, gamma] = [dot(columns[i], columns[i]), dot(columns[j], columns[j]), dot(columns[i], columns[j])]; // prettier-ignore
        if (Math.abs(gamma) <= 1e-15 * Math.sqrt(alpha * beta) || gamma === 0) continue;
        moved = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        for (const pair of [columns, turned])
          for (let p = 0; p < count; p++) {
            const [x, y] = [pair[i][p], pair[j][p]];
            pair[i][p] = c * x - c * t * y;
            pair[j][p] = c * t * x + c * y;
          }
      }
  }
  return turned;
}
