// Was it more than chance? Of right answers among a few questions, and of those that turned between two models.

/** Half of Wilson's 95 % interval. @param {{right: number, count: number}} graded */
export function chance({ right, count }) {
  const p = right / count;
  const z = 1.96;
  return (z * Math.sqrt((p * (1 - p)) / count + (z * z) / (4 * count * count))) / (1 + (z * z) / count);
}

/** Questions gained and lost. @param {boolean[]} before @param {boolean[]} after */
export function flips(before, after) {
  let plus = 0;
  let minus = 0;
  before.forEach((was, at) => {
    if (!was && after[at]) plus++;
    if (was && !after[at]) minus++;
  });
  return [plus, minus];
}

/** McNemar's exact test on the questions whose answer turned: two-sided, below 5 %. @param {number} plus @param {number} minus */
export function unlikely(plus, minus) {
  const n = plus + minus;
  if (n === 0) return false;
  let tail = 0;
  let one = 0.5 ** n;
  for (let k = 0; k <= Math.min(plus, minus); k++) {
    tail += one;
    one = (one * (n - k)) / (k + 1);
  }
  return Math.min(1, 2 * tail) < 0.05;
}
