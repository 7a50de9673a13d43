/**
 * What does the model say? Greedy decoding of many prompts at once, with how sure it was of each token.
 */

import { emptyCache } from "./cache.js";

/** @typedef {import("./forward.js").Core} Core */
/** @typedef {{id: number, probability: number}} Choice */
/**
 * ids: all that was said, the token that ends it included (unless `most` came first); steps: one an id, with the
 * runners-up in order.
 * @typedef {{ids: number[], steps: (Choice & {others: Choice[]})[]}} Answer
 */

/**
 * Of a prompt too long for the model's context only the end is read, as engine.evaluate does.
 * @param {Core} model
 * @param {ArrayLike<number>[]} prompts ids that end where the answer begins
 * @param {{most?: number, others?: number}} [options] most: tokens of an answer; others: how many runners-up
 * @returns {Answer[]}
 */
export function generateAll(model, prompts, { most = 48, others = 4 } = {}) {
  const { context } = model.sizes;
  const room = Math.max(context - most, Math.floor(context / 2));
  const longest = Math.min(most, context - room);
  const ends = new Set([model.config.eos_token_id ?? []].flat());
  const answers = prompts.map(() => /** @type {Answer} */ ({ ids: [], steps: [] }));
  const caches = prompts.map(emptyCache);
  let open = prompts.map((_, at) => at);
  let texts = prompts.map((prompt) => Array.from(prompt).slice(-room));
  for (let said = 0; said < longest && open.length; said++) {
    const state = model.forward(texts, { caches: open.map((at) => caches[at]) });
    const logits = model.logitsAt(
      state.hidden,
      state.starts.slice(1).map((end) => end - 1),
    );
    open.forEach((at, row) => {
      const { vocab } = model.sizes;
      const [first, ...rest] = likeliest(logits.subarray(row * vocab, (row + 1) * vocab), 1 + others);
      answers[at].ids.push(first.id);
      answers[at].steps.push({ ...first, others: rest });
    });
    open = open.filter((at) => !ends.has(answers[at].ids[said]));
    texts = open.map((at) => [answers[at].ids[said]]);
  }
  return answers;
}

/** The most probable tokens in order, of equals the lower id first. @param {Float32Array} logits @param {number} count @returns {Choice[]} */
export function likeliest(logits, count) {
  /** @type {number[]} */
  const best = [];
  for (let id = 0; id < logits.length; id++) {
    if (best.length === count && !(logits[id] > logits[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && logits[id] > logits[best[at - 1]]) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  let sum = 0;
  const most = logits[best[0]];
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - most);
  return best.map((id) => ({ id, probability: Math.exp(logits[id] - most) / sum }));
}
