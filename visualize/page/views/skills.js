// What can it do now? Every graded skill as a bar, what is learned first; what falls is forgotten.

import { fill, h, number, percent, table } from "../dom.js";
import { valueAt } from "../run.js";
import { follow } from "./follow.js";
import { titleOf } from "./question.js";

/** @param {import("../app.js").Page} page */
export function makeSkills(page) {
  const { state } = page;
  const list = h("ul", {});
  const data = h("div", {});
  const caption = h("h3", {});
  const element = h("div", { class: "skills" }, caption, list, h("details", { class: "astable" }, h("summary", {}, "as a table"), data));
  /** @type {Map<string, {row: any, bar: any, value: any}>} */
  let rows = new Map();

  function build() {
    const { skills, losses, task } = page.run.told;
    const names = Object.keys(skills.columns);
    names.sort((a, b) => Number(b === task) - Number(a === task));
    rows = new Map();
    for (const name of names) {
      const bar = h("span", { class: "bar" });
      const value = h("span", { class: "value" });
      rows.set(name, { row: h("li", { class: name === task ? "task" : "" }, h("span", { class: "name" }, titleOf(page, name)), bar, value), bar, value });
    }
    element.classList.toggle("none", !names.length);
    fill(caption, "what it can do");
    fill(list, [...rows.values()].map((one) => one.row));
    fill(data, table("Share of exact answers (0 to 1), and loss in nats a token, at every evaluated step", ["step", ...names.flatMap((name) => [`${titleOf(page, name)}, exact`, "loss"])],
      skills.steps.map((/** @type {number} */ step, /** @type {number} */ at) => [step, ...names.flatMap((name) => [number(skills.columns[name][at]), number(losses.columns[name]?.[at])])]))); // prettier-ignore
  }
  function show() {
    const { skills } = page.run.told;
    for (const [name, { row, bar, value }] of rows) {
      const share = valueAt(skills, name, state.get("step"));
      const first = skills.columns[name][0];
      bar.style.setProperty("--share", String(share ?? 0));
      bar.style.setProperty("--first", String(first ?? 0));
      fill(value, share === null ? "" : percent(share));
      row.classList.toggle("lost", share !== null && first !== null && share < first - 0.15);
    }
  }
  follow(page, element, ["run", "arrived"], build);
  follow(page, element, ["run", "step", "arrived"], show);
  return element;
}
