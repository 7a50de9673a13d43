// What else changed? Every probed question: the base's answer, the one now, and what differs between them.

import { fill, h } from "../dom.js";
import { newestOnly } from "../lab.js";
import { bare } from "../setting.js";
import { follow, MODEL, nameOfStep } from "./follow.js";
import { saveTable } from "./keep.js";
import { probesOf, titleOf } from "./question.js";

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
    h("button", { type: "button", class: "quiet", onclick: () => saveTable([["skill", "question", "before", "now", "expected"], ...rows], `${page.run.told.name}-answers-step-${state.get("step")}.csv`) }, "CSV"),
  ); // prettier-ignore

  /** The step that the shown answers are of. */
  let step = state.get("step");
  const askAll = newestOnly(async () => {
    const probes = probesOf(page);
    const prompts = probes.map((probe) => probe.prompt);
    const before = await page.ask(bare(), prompts);
    const setting = page.setting();
    const now = await page.ask(setting, prompts);
    step = setting.parts[0].step;
    show(probes.map((probe, at) => [probe, before[at]?.text ?? "", now[at]?.text ?? ""]));
  });
  function fromRun() {
    const all = page.run.told.answers;
    const steps = [...new Set(all.map((/** @type {any} */ row) => row.step))];
    step = /** @type {number} */ (steps.filter((one) => one <= state.get("step")).at(-1) ?? steps[0]);
    const now = new Map(
      all
        .filter((/** @type {any} */ row) => row.step === step)
        .map((/** @type {any} */ row) => [row.prompt, row.answer]),
    );
    show(probesOf(page).map((probe) => [probe, probe.answer, now.get(probe.prompt) ?? ""]));
  }
  /** @param {[any, string, string][]} found */
  function show(found) {
    rows = found.map(([probe, before, now]) => [titleOf(page, probe.skill), probe.prompt, before, now, probe.expected]);
    fill(when, page.pristine ? nameOfStep(page, step) : "now");
    fill(body, found.map(([probe, before, now]) =>
      h("tr", { class: before === now ? "same" : "" },
        h("th", { scope: "row" }, titleOf(page, probe.skill)),
        h("td", {}, h("button", { type: "button", class: "asis", onclick: () => (state.set({ prompt: probe.prompt }), scrollTo({ top: 0, behavior: "smooth" })) }, probe.prompt)),
        h("td", {}, judged(before, probe.expected)),
        h("td", {}, judged(now, probe.expected, before)),
        h("td", {}, probe.expected)))); // prettier-ignore
  }
  follow(page, element, [...MODEL, "ready"], () => {
    // While it is trained, what it said there; asking it all of that anew would take what training needs.
    if (page.live && !(page.training && page.pristine)) askAll(undefined);
    else fromRun();
  });
  return element;
}

/** An answer with its mark; what it does not share with `other` is marked too. @param {string} text @param {string} expected @param {string} [other] */
export function judged(text, expected, other) {
  const right = text === expected;
  return h("span", { class: right ? "right" : "wrong" }, h("span", { "aria-hidden": "true" }, right ? "✓ " : "✗ "), other === undefined ? text : difference(other, text), h("span", { class: "hidden" }, right ? " (right)" : " (wrong)")); // prettier-ignore
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
