// How sure was the model of each token? The answer in pieces; under each a bar, and on touch what else it might have said.

import { h, percent } from "../dom.js";

/** Of a letter that is several tokens, all but the last add nothing to the text yet. @param {any} answer of the worker's `ask` */
export function makeTokens(answer) {
  return h(
    "span",
    { class: "tokens" },
    answer.tokens.map((/** @type {any} */ token, /** @type {number} */ at) => {
      const { text, kind, label } = wordsFor(token, at === 0);
      const others = token.others.map((/** @type {any} */ other) =>
        h("span", { class: "other" }, h("b", {}, shown(other.alone)), ` ${percent(other.probability)}`),
      );
      const bar = h("span", { class: "sure", "aria-hidden": "true" });
      bar.style.setProperty("--sure", String(token.probability));
      return h(
        "span",
        { class: kind, tabindex: "0", role: "img", "aria-label": `${label}, ${percent(token.probability)}; or ${token.others.map((/** @type {any} */ one) => `${shown(one.alone)} ${percent(one.probability)}`).join(", ")}` },
        h("span", { class: "text" }, text),
        bar,
        h("span", { class: "others", "aria-hidden": "true" }, h("span", { class: "other first" }, h("b", {}, shown(token.alone)), ` ${percent(token.probability)}`), others),
      ); // prettier-ignore
    }),
    answer.cut && h("span", { class: "cut" }, "…"),
  );
}

/** How a token is written, marked and read out. The first one's space is not written: no word stands before it.
 * @param {{text: string, alone: string, end: boolean}} token @param {boolean} first */
export function wordsFor(token, first) {
  if (token.end) return { text: "⏎", kind: "token end", label: "end of the answer" };
  if (!token.text) return { text: "", kind: "token part", label: `a part of a letter, ${token.alone}` };
  const text = first ? token.text.replace(/^ /, "") : token.text;
  return { text, kind: "token", label: text || shown(token.text) };
}

/** @param {string} text */
const shown = (text) => text.replaceAll(" ", "␣");
