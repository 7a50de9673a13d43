/**
 * How good is the model, skill by skill? Loss and exact answers from one forward pass, as engine.evaluate has them.
 *
 * Greedy decoding writes exactly the reference answer if and only if, fed the reference, the most likely token is the
 * right one at every place of it, its end included: so nothing needs to be generated.
 */

/** @typedef {import("./forward.js").Core} Core */
/** @typedef {import("./tokenizer.js").PageTokenizer} PageTokenizer */
/** @typedef {import("./tokenizer.js").Message} Message */
/** One conversation in tokens; labels are IGNORE where nothing is learned or graded. cut: some of them lay beyond `longest`.
 * @typedef {{ids: number[], labels: number[], cut?: boolean}} Row */

export const IGNORE = -100;
const TOKENS_AT_ONCE = 4096;

/**
 * A conversation with labels where the assistant speaks: in all its turns, or in the last one alone, to grade it.
 * @param {PageTokenizer} tokenizer
 * @param {Message[]} messages
 * @param {{last?: boolean, longest?: number}} [options] longest: how many tokens are kept
 * @returns {Row}
 */
export function encodeChat(tokenizer, messages, { last = false, longest = Infinity } = {}) {
  /** @type {number[]} */
  const ids = tokenizer.chat([]);
  const labels = ids.map(() => IGNORE);
  const lastAnswer = messages.map(({ role }) => role).lastIndexOf("assistant");
  messages.forEach((message, at) => {
    const turn = tokenizer.chat([message]).slice(1); // less the token that begins a text
    const learned = message.role === "assistant" && (!last || at === lastAnswer);
    ids.push(...turn);
    labels.push(IGNORE, ...turn.slice(1).map((id) => (learned ? id : IGNORE)));
  });
  const cut = labels.findLastIndex((label) => label !== IGNORE) >= longest;
  return { ids: ids.slice(0, longest), labels: labels.slice(0, longest), cut };
}

/**
 * For each row the summed loss of its labels (nats), whether greedy decoding gives them all, and their number.
 * @param {Core} model @param {Row[]} rows
 * @returns {{losses: number[], exact: boolean[], counts: number[]}}
 */
export function score(model, rows) {
  const losses = rows.map(() => 0);
  const exact = rows.map(() => true);
  const counts = rows.map(() => 0);
  for (let from = 0; from < rows.length;) {
    let to = from;
    for (let tokens = 0; to < rows.length && (to === from || tokens + rows[to].ids.length <= TOKENS_AT_ONCE); to++)
      tokens += rows[to].ids.length;
    const chosen = rows.slice(from, to);
    const state = model.forward(chosen.map((row) => row.ids));
    const { at, targets, owners } = predicted(chosen, state.starts);
    const logits = model.logitsAt(state.hidden, at);
    const { vocab } = model.sizes;
    targets.forEach((target, i) => {
      const { loss, right } = compared(logits.subarray(i * vocab, (i + 1) * vocab), target);
      const owner = from + owners[i];
      losses[owner] += loss;
      exact[owner] &&= right;
      counts[owner]++;
    });
    from = to;
  }
  return { losses, exact, counts };
}

/**
 * What a score comes to. each: whether each answer was exact, of those that were whole, since the rest of an answer is not the
 * answer; loss: nats a token of all there is. @param {Row[]} rows @param {ReturnType<typeof score>} scored
 */
export function summed(rows, { losses, exact, counts }) {
  const sum = (/** @type {number[]} */ all) => all.reduce((a, b) => a + b, 0);
  const each = exact.filter((_, at) => !rows[at].cut && counts[at] > 0);
  return { each, right: each.filter(Boolean).length, count: each.length, loss: sum(losses) / sum(counts) };
}

/**
 * Where in a batch something is predicted that has a label: after which row, which token, in which text.
 * @param {Row[]} rows @param {number[]} starts
 */
export function predicted(rows, starts) {
  /** @type {number[]} */ const at = [];
  /** @type {number[]} */ const targets = [];
  /** @type {number[]} */ const owners = [];
  rows.forEach(({ labels }, owner) => {
    for (let i = 1; i < labels.length; i++)
      if (labels[i] !== IGNORE) {
        at.push(starts[owner] + i - 1);
        targets.push(labels[i]);
        owners.push(owner);
      }
  });
  return { at, targets, owners };
}

/** @param {Float32Array} logits @param {number} target */
function compared(logits, target) {
  let most = -Infinity;
  let best = -1;
  for (let id = 0; id < logits.length; id++) if (logits[id] > most) [most, best] = [logits[id], id];
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - most);
  return { loss: Math.log(sum) + most - logits[target], right: best === target };
}

// What Python's str.strip takes off, which is not what JavaScript's trim does.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const ENDS = new RegExp(`^${SPACE}|${SPACE}$`, "gu");

/** A text without white space at its ends, as Python sees it. @param {string} text */
export const strip = (text) => text.replace(ENDS, "");

/** Is the reply the answer? As engine.school.curriculum.grade. @param {string} answer @param {string} reply */
export const isRight = (answer, reply) => strip(reply) === strip(answer);
