/**
 * Where does chance come from? A small seeded generator (mulberry32), so that the same seed trains the same model.
 */

/** @typedef {{next: () => number, state: number}} Generator next: evenly from 0 to below 1; state: may be kept and set */

/** @param {number} seed @returns {Generator} */
export function makeGenerator(seed) {
  const generator = {
    state: seed | 0,
    next() {
      generator.state = (generator.state + 0x6d2b79f5) | 0;
      let t = Math.imul(generator.state ^ (generator.state >>> 15), 1 | generator.state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    },
  };
  return generator;
}

/** The numbers 0 to count - 1 in an order of chance (Fisher and Yates). @param {number} count @param {Generator} generator @returns {number[]} */
export function shuffled(count, generator) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(generator.next() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
