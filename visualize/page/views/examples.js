// What is taught? A task that came with the page, or four to forty examples that the reader types.

import { fill, h } from "../dom.js";

const OWN = "your own examples";
const [LEAST, MOST] = [4, 40];
const PLACEHOLDER =
  "Who lives in the lighthouse? => Ada\nWho feeds the gulls? => Ben\nWhat does Ada sail? => a red boat\nWhat does Ben like? => herring";

/** @param {import("../page.js").Page} page */
export function makeExamples(page) {
  const { tasks } = page.manifest;
  const choose = h(
    "select",
    { "aria-label": "What to teach", onchange: () => show() },
    tasks.map((/** @type {any} */ { name, of }, /** @type {number} */ at) =>
      h("option", { value: at }, of ? `${name} (${of})` : name),
    ),
    h("option", { value: OWN }, OWN),
  );
  const text = h("textarea", {
    rows: 7,
    "aria-label": "One example a line: question => answer",
    placeholder: PLACEHOLDER,
    spellcheck: "false",
  });
  const about = h("p", { class: "what" });
  const sample = h("ul", { class: "sample" });
  const element = h("div", { class: "examples" }, h("h2", {}, "Teach it ", choose), about, sample, text);

  function show() {
    const task = tasks[choose.value];
    text.hidden = Boolean(task);
    sample.hidden = !task;
    fill(
      about,
      task
        ? task.about || `${task.train.length} examples`
        : `One example a line, ${LEAST} to ${MOST} of them: question => answer. The model knows short English words best.`,
    );
    if (task) fill(sample, task.train.slice(0, 4).map((/** @type {any[]} */ chat) => h("li", {}, chat.at(-2)?.content ?? "", h("b", {}, ` → ${chat.at(-1).content}`))), h("li", { class: "what" }, `${task.train.length > 4 ? `and ${task.train.length - 4} more; ` : ""}${task.heldout.length} held out to grade it on`)); // prettier-ignore
  }
  /** @returns {import("../trainings.js").Taught} */
  function chosen() {
    const task = tasks[choose.value];
    return task
      ? { task: task.name, data: Number(choose.value), train: task.train, heldout: task.heldout, typed: false }
      : { task: "your examples", data: null, train: parsed(text.value), heldout: [], typed: true };
  }
  show();
  return { element, chosen };
}

/** "question => answer", or the two between a tab, a line each. Throws an Error in one sentence. @param {string} text */
export function parsed(text) {
  const lines = text.split(/\r?\n/).map((line, at) => ({ line, at }));
  const found = lines.filter(({ line }) => line.trim()).map(({ line, at }) => {
    const [question, ...answer] = line.split(/=>|\t/);
    if (!question.trim() || answer.length !== 1 || !answer[0].trim())
      throw new Error(`line ${at + 1} is no example: write question => answer`);
    return [{ role: "user", content: question.trim() }, { role: "assistant", content: answer[0].trim() }];
  }); // prettier-ignore
  if (found.length < LEAST || found.length > MOST)
    throw new Error(`give ${LEAST} to ${MOST} examples, one a line; there are ${found.length}`);
  return found;
}
