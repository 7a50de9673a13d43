// What did it do, and was it worth it? A practitioner's report of each run, side by side.

import { h, number, percent, table } from "../dom.js";
import { layerOf } from "../naming.js";
import { ratesOf } from "../own.js";
import { extent } from "../run.js";
import { marked } from "./answers.js";
import { linesOf, makeChart } from "./curves.js";
import { follow } from "./follow.js";
import { saveTable } from "./keep.js";
import { titleOf } from "./question.js";

/** @typedef {import("../run.js").RunData} RunData */

/** @param {import("../page.js").Page} page */
export function makeOverviewRoom(page) {
  const columns = h("div", { class: "columns" });
  const element = h("div", { class: "overview" }, columns);
  /** @type {Map<RunData, {stamp: string, made: HTMLElement}>} */
  const reports = new Map();
  follow(page, element, ["runs", "ready", "arrived"], () => {
    if (page.state.get("playing")) return;
    columns.style.setProperty("--count", String(page.present.length));
    page.runs.forEach((run, at) => {
      const before = reports.get(run);
      if (run.told.gone) {
        before?.made.remove();
        reports.delete(run);
        return;
      }
      const stamp = stampOf(page, run);
      if (before?.stamp === stamp) return;
      const made = report(page, run, at);
      // What the reader has opened stays open while a training goes on.
      const [was, now] = [before?.made, made].map((one) => [...(one?.querySelectorAll("details") ?? [])]);
      now.forEach((details, place) => (details.open = was[place]?.open ?? false));
      if (before) before.made.replaceWith(made);
      else columns.append(made);
      reports.set(run, { stamp, made });
    });
  });
  return element;
}

/** Whether a report says what is known now. @param {import("../page.js").Page} page @param {RunData} run */
const stampOf = ({ weights }, { told }) =>
  JSON.stringify([weights !== null, told.status, told.metrics.steps.at(-1), told.skills.steps.at(-1), told.norms.steps.at(-1), told.answers.length, told.info.settings]); // prettier-ignore

/** @param {import("../page.js").Page} page @param {RunData} run @param {number} at */
function report(page, run, at) {
  const { told } = run;
  const section = (/** @type {string} */ title, /** @type {any[]} */ ...children) =>
    h("section", {}, h("h3", {}, title), children);
  const look = h(
    "button",
    { type: "button", class: "quiet", onclick: () => (page.choose(at), page.state.set({ room: "touch" })) },
    "touch it",
  );
  return h(
    "article",
    { class: "report", "aria-label": told.what },
    h("h2", { class: `ink-${told.method}` }, told.what, " ", h("span", { class: "what" }, told.name), " ", look),
    section("did it learn anything?", findings(told)),
    section("facts", facts(told)),
    section("where it changed: norm of each change", heat(page, run)),
    charts(page, run, at),
    section("answers that changed", changed(page, run)),
    section("what it kept, and what it forgot", forgotten(page, run)),
    section("the settings that repeat it", settings(told)),
    told.left_out.length
      ? section(
          "not in this page, or not whole",
          h(
            "ul",
            {},
            told.left_out.map((/** @type {string} */ one) => h("li", {}, one)),
          ),
        )
      : null,
  );
}

/** @param {any} told */
function findings(told) {
  const marks = /** @type {Record<string, string>} */ ({ fault: "✗", doubt: "?", fine: "✓" });
  return h("ul", { class: "findings" }, told.findings.map((/** @type {string[]} */ [level, what, remedy]) =>
    h("li", { class: level }, h("b", { "aria-label": level }, marks[level] ?? "·"), " ", what, remedy ? h("p", { class: "what" }, remedy) : null))); // prettier-ignore
}

/** @param {any} told @returns {[string, string][]} */
function rowsOfFacts(told) {
  const { method = {}, model = {}, data = {}, settings: set = {}, seconds = {} } = told.info;
  const count = (/** @type {any} */ value) => (typeof value === "number" ? value.toLocaleString("en") : null);
  const rows = /** @type {[string, any][]} */ ([
    ["method", Object.entries(method).map(([name, value]) => (name === "name" ? value : `${name} ${value}`)).join(", ")],
    ["model", model.name], ["weights", count(model.parameters)], ["trained", model.trainable ? `${count(model.trainable)} (${number((100 * model.trainable) / model.parameters)} %)` : null],
    ["data", data.name && `${data.name}: ${count(data.train) ?? "?"} to learn from, ${count(data.heldout) ?? "?"} held out${data.mixed_in?.examples ? `, ${count(data.mixed_in.examples)} mixed in` : ""}`],
    ["steps", set.steps ?? told.captured.at(-1)], ["learning rate", typeof set.learning_rate === "number" ? ratesOf(set) : null], ["batch", set.batch_size],
    ["took", seconds.total ? `${number(seconds.total)} s, of it ${number(seconds.evaluation ?? 0)} s grading and ${number((seconds.capture ?? 0) + (seconds.beside ?? 0))} s capturing` : null],
    ["on disk", told.bytes ? `${number(told.bytes / 1e6)} MB` : null], ["status", told.status],
  ]); // prettier-ignore
  return /** @type {any} */ (
    rows
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => [name, String(value)])
  );
}

/** @param {any} told */
const facts = (told) =>
  h(
    "table",
    { class: "facts" },
    h(
      "tbody",
      {},
      rowsOfFacts(told).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))),
    ),
  );

/** A row a layer, a column a kind of matrix. @param {import("../page.js").Page} page @param {RunData} run */
function heat(page, run) {
  const { part: partOf } = page.namesOf(run);
  const last = (/** @type {string} */ name) => run.told.norms.columns[name]?.at(-1) ?? null;
  const matrices = run.modules.filter((one) => one.shape.length === 2);
  const most = Math.max(...matrices.map((one) => last(one.name) ?? 0), 1e-12);
  const parts = [...new Set(matrices.filter((one) => layerOf(one.name) !== null).map((one) => partOf(one.name)))];
  const layers = [...new Set(matrices.map((one) => layerOf(one.name)))].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
  const cell = (/** @type {any} */ module) => {
    if (!module) return h("td", {});
    const value = last(module.name);
    const made = h("td", { class: "heat", title: module.name }, layers.length > 12 ? "" : number(value, 2));
    made.style.setProperty("--heat", String((value ?? 0) / most));
    return made;
  };
  const rows = layers.map((layer) => {
    const inside = matrices.filter((one) => layerOf(one.name) === layer);
    const cells =
      layer === null ? inside.map(cell) : parts.map((part) => cell(inside.find((one) => partOf(one.name) === part)));
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, layer === null ? inside.map((one) => partOf(one.name)).join(", ") : `layer ${layer}`),
      cells,
    );
  });
  return h("div", { class: "tablebox heatbox", tabindex: "0", role: "region", "aria-label": "Norm of the change of every matrix" },
    h("table", {}, h("thead", {}, h("tr", {}, h("td", {}), parts.map((part) => h("th", { scope: "col" }, part)))), h("tbody", {}, rows))); // prettier-ignore
}

/** Drawn for this run, whichever is looked at; who points at a step looks at this one. @param {import("../page.js").Page} page
 * @param {RunData} run @param {number} at */
function charts(page, run, at) {
  const look = (/** @type {number} */ step) => {
    if (page.run !== run) page.choose(at);
    page.state.set({ step });
  };
  const own = /** @type {any} */ ({ get run() { return run; }, state: page.state }); // prettier-ignore
  const made = [
    makeChart(own, "training loss, nats a token (lower is better)", "step", () => linesOf(run.told.metrics, ["loss"]), look),
    makeChart(own, "exact answers (higher is better)", "step", () =>
      linesOf(run.told.skills, null, run.told.task, (name) => titleOf(page, name, run)), look,
    ),
  ]; // prettier-ignore
  for (const one of made) one.build();
  return h(
    "div",
    { class: "two" },
    made.map((one) => one.element),
  );
}

/** Answers at the first and at the last step that was asked. @param {RunData} run @returns {[any, any][]} */
function pairs(run) {
  const rows = run.told.answers;
  const steps = rows.map((/** @type {any} */ row) => row.step);
  const [first, last] = extent(steps);
  const after = new Map(
    rows.filter((/** @type {any} */ row) => row.step === last).map((/** @type {any} */ row) => [row.prompt, row]),
  );
  return rows
    .filter((/** @type {any} */ row) => row.step === first && after.has(row.prompt))
    .map((/** @type {any} */ row) => [row, after.get(row.prompt)]);
}

/** @param {import("../page.js").Page} page @param {RunData} run */
function changed(page, run) {
  const found = pairs(run).filter(([before, after]) => before.answer !== after.answer);
  if (!run.told.answers.length) return h("p", { class: "what" }, "This run kept no answers.");
  if (!found.length) return h("p", { class: "what" }, "None of those that were asked.");
  // First what turned from right to wrong or back, then what differs in most letters.
  const far = (/** @type {[any, any]} */ [before, after]) =>
    (before.correct === after.correct ? 0 : 1000) + Math.abs(before.answer.length - after.answer.length);
  found.sort((a, b) => far(b) - far(a));
  const heads = ["skill", "question", "before", "after", "expected"];
  const said = (/** @type {any} */ row) => ({ text: row.answer, right: row.correct });
  return [
    h("div", { class: "tablebox answers", tabindex: "0", role: "region", "aria-label": "Answers that changed" },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, found.slice(0, 40).map(([before, after]) => h("tr", {}, h("th", { scope: "row" }, titleOf(page, before.skill, run)), h("td", {}, before.prompt), h("td", {}, marked(said(before))), h("td", {}, marked(said(after), before.answer)), h("td", {}, before.expected)))))),
    h("button", { type: "button", class: "quiet", onclick: () => saveTable([heads, ...found.map(([a, b]) => [a.skill, a.prompt, a.answer, b.answer, a.expected])], `${run.told.name}-answers.csv`) }, "CSV"),
  ]; // prettier-ignore
}

/** @param {import("../page.js").Page} page @param {RunData} run */
function forgotten(page, run) {
  const { skills, losses, task } = run.told;
  const names = [...new Set([...Object.keys(skills.columns), ...Object.keys(losses.columns)])];
  if (!names.length) return h("p", { class: "what" }, "Nothing was graded in this run.");
  const ends = (/** @type {any} */ data, /** @type {string} */ name) => {
    const known = (data.columns[name] ?? []).filter((/** @type {any} */ one) => one !== null);
    return known.length ? [known[0], known.at(-1)] : null;
  };
  const rows = names.map((name) => {
    const exact = ends(skills, name);
    const loss = ends(losses, name);
    const title = titleOf(page, name, run);
    return [name === task ? `${title} (the task)` : title, ...(exact ?? [null, null]), loss ? loss[1] - loss[0] : null];
  });
  const shown = rows.map(([name, before, after, more]) => [
    name,
    percent(before),
    percent(after),
    more === null ? "–" : `${more >= 0 ? "+" : "−"}${number(Math.abs(more))}`,
  ]);
  const heads = ["skill", "right before", "right after", "loss, after less before (nats; higher is more forgotten)"];
  return [
    table("Exact answers and held-out loss, first and last evaluated step", heads, shown),
    h(
      "button",
      { type: "button", class: "quiet", onclick: () => saveTable([heads, ...rows], `${run.told.name}-skills.csv`) },
      "CSV",
    ),
  ];
}

/** @param {any} told */
function settings(told) {
  const { method, settings: set, data, seed, versions, command } = told.info;
  const text = JSON.stringify(
    {
      method,
      settings: set,
      data: data && { name: data.name, source: data.source, digest: data.digest, mixed_in: data.mixed_in },
      seed,
      versions,
    },
    null,
    1,
  );
  return [
    command ? h("p", {}, h("code", {}, command)) : null,
    h("details", {}, h("summary", {}, "everything that was set"), h("pre", {}, text)),
  ];
}
