// What else changed? Every probed question: the base's answer, the one now, and what differs between them.

import { fill, h } from "../dom.js";
import { newestOnly } from "../lab.js";
import { bare, wordsOf } from "../setting.js";
import { follow, MODEL, nameOfStep } from "./follow.js";
import { saveTable } from "./keep.js";
import { capturedOf, probesOf, rightOf, titleOf } from "./question.js";

/** What was said, and whether it was right, where that is known. @typedef {{text: string, right: boolean | null}} Said */

const NOT_ASKED = { text: "–", right: null };

/** @param {any} row of the captured answers @returns {Said | null} */
const saidThen = (row) => (row?.answer === undefined ? null : { text: row.answer, right: row.correct });

/** @param {import("../page.js").Page} page */
export function makeAnswers(page) {
  const { state } = page;
  const body = h("tbody", {});
  const when = h("th", { scope: "col" });
  /** @type {any[][]} */
  let rows = [];
  const element = h(
    "section",
    { class: "panel wide answers", "aria-label": "All questions" },
    h("h2", {}, "All questions"),
    h("div", { class: "tablebox", tabindex: "0", role: "region", "aria-label": "Answers before and now" },
      h("table", {}, h("thead", {}, h("tr", {}, ["skill", "question", "before"].map((name) => h("th", { scope: "col" }, name)), when, h("th", { scope: "col" }, "expected"))), body)),
    h("button", { type: "button", class: "quiet", onclick: () => saveTable([["skill", "question", "before", "now", "expected"], ...rows], `${page.run.told.name}-answers-${of}.csv`) }, "CSV"),
  ); // prettier-ignore

  /** The model that the shown answers are of, in words. */
  let of = "";
  const askAll = newestOnly(async () => {
    const probes = probesOf(page);
    const prompts = probes.map((probe) => probe.prompt);
    const { run, pristine } = page;
    const setting = page.setting();
    const before = await page.ask(bare(), prompts);
    const now = await page.ask(setting, prompts);
    if (!page.playable || page.run !== run) return;
    const said = (/** @type {any} */ answer, /** @type {any} */ probe) =>
      answer ? { text: answer.text, right: rightOf(page, probe.prompt, answer) } : null;
    of = wordsOf(setting);
    const title = pristine ? nameOfStep(page, setting.parts[0].step) : "now";
    show(
      title,
      probes.map((probe, at) => {
        if (page.chatOf(probe.prompt)) return [probe, said(before[at], probe), said(now[at], probe)];
        const [first, last] = capturedOf(page, probe.prompt); // it cannot be asked anew
        return [probe, saidThen(first), pristine ? saidThen(last) : NOT_ASKED];
      }),
    );
  });
  function fromRun() {
    const all = page.run.told.answers;
    const steps = [...new Set(all.map((/** @type {any} */ row) => row.step))];
    const step = /** @type {number} */ (steps.filter((one) => one <= state.get("step")).at(-1) ?? steps[0]);
    const now = new Map(
      all
        .filter((/** @type {any} */ row) => row.step === step)
        .map((/** @type {any} */ row) => [row.prompt, saidThen(row)]),
    );
    of = `step ${step}`;
    const probes = probesOf(page);
    show(
      all.length ? nameOfStep(page, step) : "now",
      probes.map((probe) => [probe, saidThen(probe), now.get(probe.prompt) ?? null]),
    );
  }
  /** @param {string} title @param {[any, Said | null, Said | null][]} found */
  function show(title, found) {
    element.hidden = !found.length;
    rows = found.map(([probe, before, now]) => [
      titleOf(page, probe.skill),
      probe.prompt,
      before?.text,
      now?.text,
      probe.expected,
    ]);
    fill(when, title);
    fill(body, found.map(([probe, before, now]) =>
      h("tr", { class: before?.text === now?.text ? "same" : "" },
        h("th", { scope: "row" }, titleOf(page, probe.skill)),
        h("td", {}, h("button", { type: "button", class: "asis", onclick: () => (state.set({ prompt: probe.prompt }), scrollTo({ top: 0, behavior: "smooth" })) }, probe.prompt)),
        h("td", {}, before ? marked(before) : "…"),
        h("td", {}, now ? marked(now, before?.text) : "…"),
        h("td", {}, probe.expected)))); // prettier-ignore
  }
  follow(page, element, [...MODEL, "ready"], () => {
    // While it is trained, what it said there; asking it all of that anew would take what training needs.
    if (page.playable && !(page.training && page.pristine)) askAll(undefined);
    else fromRun();
  });
  return element;
}

/** An answer with its mark, if it was graded; what it does not share with `other` is marked too. @param {Said} said @param {string} [other] */
export function marked({ text, right }, other) {
  const words = other === undefined ? text : difference(other, text);
  if (right === null) return h("span", {}, words);
  return h("span", { class: right ? "right" : "wrong" }, h("span", { "aria-hidden": "true" }, right ? "✓ " : "✗ "), words, h("span", { class: "hidden" }, right ? " (right)" : " (wrong)")); // prettier-ignore
}

/** `now` with what `before` did not say marked: the longest common words stay plain. @param {string} before @param {string} now */
export function difference(before, now) {
  const [a, b] = [before, now].map((text) => (text.match(/\s+|[^\s]+/g) ?? []).slice(0, 200));
  const long = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      long[i][j] = a[i] === b[j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
  const parts = [];
  for (let i = 0, j = 0; j < b.length;) {
    if (i < a.length && a[i] === b[j]) (parts.push(b[j]), i++, j++);
    else if (i < a.length && long[i + 1][j] >= long[i][j + 1]) i++;
    else parts.push(h("mark", {}, b[j++]));
  }
  return parts;
}
