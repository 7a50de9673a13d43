// What can it do now? Every graded skill as a bar, what is learned first; what falls is forgotten.

import { fill, h, number, percent, table } from "../dom.js";
import { valueAt } from "../run.js";
import { bare, keyOf } from "../setting.js";
import { follow, MODEL } from "./follow.js";
import { gradedGroups } from "./knockout.js";
import { titleOf } from "./question.js";

/** @param {import("../page.js").Page} page */
export function makeSkills(page) {
  const { state } = page;
  const list = h("ul", {});
  const data = h("div", {});
  const caption = h("h3", {});
  const element = h(
    "div",
    { class: "skills" },
    caption,
    list,
    h("details", { class: "astable" }, h("summary", {}, "as a table"), data),
  );
  /** @type {Map<string, {row: any, bar: any, value: any}>} */
  let rows = new Map();
  /** @type {any} */
  let timer;

  function build() {
    const { skills, losses, task } = page.run.told;
    const names = Object.keys(skills.columns);
    names.sort((a, b) => Number(b === task) - Number(a === task));
    rows = new Map();
    for (const name of names) {
      const bar = h("span", { class: "bar" });
      const value = h("span", { class: "value" });
      rows.set(name, {
        row: h(
          "li",
          { class: name === task ? "task" : "" },
          h("span", { class: "name" }, titleOf(page, name)),
          bar,
          value,
        ),
        bar,
        value,
      });
    }
    element.classList.toggle("none", !names.length);
    fill(
      list,
      [...rows.values()].map((one) => one.row),
    );
    fill(data, table("Share of exact answers (0 to 1), and loss in nats a token, at every evaluated step", ["step", ...names.flatMap((name) => [`${titleOf(page, name)}, exact`, "loss"])],
      skills.steps.map((/** @type {number} */ step, /** @type {number} */ at) => [step, ...names.flatMap((name) => [number(skills.columns[name][at]), number(losses.columns[name]?.[at])])]))); // prettier-ignore
  }
  /** @param {string} name @param {number | null} share @param {number | null} first that of the base, on the same questions
   * @param {string} [unknown] what stands where there is none */
  function showOne(name, share, first, unknown = "–") {
    const one = rows.get(name);
    if (!one) return;
    one.bar.style.setProperty("--share", String(share ?? 0));
    one.bar.style.setProperty("--first", String(first ?? 0));
    fill(one.value, share === null ? unknown : percent(share));
    one.row.classList.toggle("lost", share !== null && first !== null && share < first - 0.15);
  }
  function show() {
    clearTimeout(timer);
    const { skills } = page.run.told;
    const captured = page.pristine || !page.taught || !page.playable;
    fill(caption, captured && !page.pristine ? "what it could do, as trained" : captured ? "what it can do" : "what it can do, as you set it"); // prettier-ignore
    if (!captured) return gradeSoon();
    for (const name of rows.keys()) showOne(name, valueAt(skills, name, state.get("step")), skills.columns[name][0]);
  }
  /** What the reader has set was never graded: it is now, a skill after the other, until it is set anew. */
  function gradeSoon() {
    const { run } = page;
    const groups = gradedGroups(page);
    for (const name of rows.keys()) showOne(name, null, null, Object.hasOwn(groups, name) ? "…" : "–");
    timer = setTimeout(async () => {
      const setting = page.setting();
      const key = keyOf(setting);
      if (!page.has(setting)) return; // it is graded when its weights have come
      for (const [name, group] of Object.entries(groups)) {
        const first = await shareOf(page, run, bare(), name, group);
        const share = await shareOf(page, run, setting, name, group);
        if (share === undefined || page.run !== run || keyOf(page.setting()) !== key || page.pristine) return;
        showOne(name, share, first ?? null);
      }
    }, 250);
  }
  follow(page, element, ["run", "arrived"], build);
  follow(page, element, [...MODEL, "ready"], show);
  return element;
}

/** The share of a group that a model answers exactly: graded once. The run's own evaluations asked fewer questions or others, so
 * the base is graded here as well, to stand beside it. Null where nothing was graded, undefined where that failed.
 * @param {import("../page.js").Page} page @param {import("../run.js").RunData} run @param {import("../setting.js").Setting} setting
 * @param {string} name @param {any} group
 * @returns {Promise<number | null | undefined>} */
export async function shareOf(page, run, setting, name, group) {
  const { grades } = page; // others, where the run went back meanwhile
  const place = `${keyOf(setting)} ${run.told.data} ${name}`; // runs of one base and one name have questions of their own
  const known = grades.get(place) ?? (await page.tell("grade", { setting, groups: { [name]: group } }))?.[name];
  if (!known) return undefined;
  grades.set(place, known);
  return known.count ? known.right / known.count : null;
}
