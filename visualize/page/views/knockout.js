// Which component knows what? Each is taken out alone, and every skill is graded again, in a worker of its own.

import { fill, h, percent } from "../dom.js";
import { Remote, startWorker } from "../lab.js";
import { signedColour } from "../colours.js";
import { shortOf } from "../layout.js";
import { strengthsOf } from "../spectrum.js";
import { follow } from "./follow.js";
import { saveTable } from "./keep.js";
import { titleOf } from "./question.js";

/** @param {import("../page.js").Page} page */
export function makeKnockout(page) {
  const { state } = page;
  const go = h(
    "button",
    { type: "button", class: "main", onclick: () => (busy ? stop() : start()) },
    "Take each out in turn",
  );
  const what = h(
    "select",
    { "aria-label": "What is taken out" },
    h("option", { value: "parts" }, "components of the chosen matrix"),
    h("option", { value: "modules" }, "every module"),
    h("option", { value: "layers" }, "every layer"),
  );
  const note = h(
    "p",
    { class: "what", "aria-live": "polite" },
    "Each is removed alone and every skill is graded again. What falls further than chance is what it knew.",
  );
  const grid = h("div", { class: "knockouts" });
  const keep = h(
    "button",
    {
      type: "button",
      class: "quiet",
      hidden: true,
      onclick: () => saveTable(rows, `${page.run.told.name}-knock-out.csv`),
    },
    "CSV",
  );
  const element = h(
    "section",
    { class: "panel wide knockout", "aria-label": "Knock-out map" },
    h("h2", {}, "Who knows what?"),
    h("p", {}, what, " ", go),
    note,
    grid,
    keep,
  );
  /** @type {Remote | null} */
  let remote = null;
  let busy = false;
  /** @type {any[][]} */
  let rows = [];

  async function start() {
    busy = true;
    fill(go, "Stop");
    try {
      await run();
    } catch (error) {
      fill(note, `It stopped: ${error instanceof Error ? error.message : error}`);
    }
    busy = false;
    fill(go, "Take each out in turn");
  }
  function stop() {
    remote?.end();
    remote = null;
    busy = false;
    fill(go, "Take each out in turn");
    fill(note, "Stopped.");
  }

  async function run() {
    const { run: data } = page;
    const own = data.told.task && page.manifest.tasks[data.told.task];
    const groups = gradedGroups(page, own);
    const wanted = targets();
    const whole = page.setting();
    remote = new Remote(startWorker());
    const { weights: _, ...about } = page.manifest.base;
    await remote.call("start", { base: { ...about, weights: page.weights } });
    for (const part of whole.parts) {
      const other = page.runs[Number(part.run)];
      await remote.call("run", {
        key: part.run,
        told: { form: other.form === "grains" ? "deltas" : other.form, modules: other.modules, scales: other.scales },
      });
      await remote.call("step", { key: part.run, step: part.step, tensors: exactly(other, other.at(part.step)) });
    }
    const names = Object.keys(groups);
    const settings = [whole, ...wanted.map((one) => ({ ...whole, ...one.setting(whole) }))];
    /** @type {any} */
    let all = null;
    /** @type {any[]} */
    const found = [];
    fill(note, "Grading the whole…");
    await remote?.call("grades", { settings, groups }, ({ at, found: graded }) => {
      if (at === 0) all = graded;
      else found.push([wanted[at - 1], graded]);
      draw(names, all, found, wanted.length);
    });
    remote?.end();
    remote = null;
  }

  /** @returns {{name: string, setting: (whole: any) => any, toggle: () => void}[]} */
  function targets() {
    const { run } = page;
    const name = state.get("module");
    if (what.value === "parts")
      return strengthsOf(run, page.at, name).map((_, at) => ({
        name: `component ${at + 1}`,
        setting: (whole) => ({ off: [...whole.off, `${name}#${at}`] }),
        toggle: () => state.set({ off: [`${name}#${at}`] }),
      }));
    const sets = what.value === "modules" ? run.modules.filter((one) => one.shape.length === 2).map((one) => [shortOf(one.name), [one.name]])
      : [...new Set(run.modules.map((one) => /\.\d+\./.exec(one.name)?.[0]))].map((key) => [key ? `layer ${key.slice(1, -1)}` : "outside the layers", run.modules.filter((one) => /\.\d+\./.exec(one.name)?.[0] === key).map((one) => one.name)]); // prettier-ignore
    return sets.map(([title, off]) => ({
      name: String(title),
      setting: (whole) => ({ off: [...whole.off, .../** @type {string[]} */ (off)] }),
      toggle: () => state.set({ off: /** @type {string[]} */ (off) }),
    }));
  }

  /** @param {string[]} names @param {any} all @param {any[]} found @param {number} of */
  function draw(names, all, found, of) {
    const closed = names.filter((name) => all[name] && page.manifest.skills[name]?.closed !== false);
    const band = Object.fromEntries(closed.map((name) => [name, chance(all[name])]));
    fill(
      note,
      found.length < of
        ? `${found.length} of ${of} taken out…`
        : `Done: ${of} taken out. A framed cell moved further than chance does at 95 %, on the same questions; of ${of * closed.length} cells at most one in twenty would by chance alone. Press a row to hear it without that part.`,
    );
    const cell = (/** @type {string} */ name, /** @type {any} */ graded) => {
      const change = (graded[name].right - all[name].right) / all[name].count;
      const [plus, minus] = flips(all[name].each, graded[name].each);
      const sure = unlikely(plus, minus);
      const made = h(
        "td",
        {
          class: sure ? "sure" : "",
          title: `${percent(graded[name].right / graded[name].count)}: ${minus} lost, ${plus} gained`,
        },
        change === 0 ? "" : `${change > 0 ? "+" : "−"}${Math.round(100 * Math.abs(change))}`,
      );
      made.style.setProperty("background", signedColour(page.palette, Math.max(-1, Math.min(1, -change)) * 0.85));
      return made;
    };
    rows = [
      ["taken out", ...closed.map((name) => titleOf(page, name))],
      ["nothing", ...closed.map((name) => all[name].right / all[name].count)],
      ...found.map(([one, graded]) => [one.name, ...closed.map((name) => graded[name].right / graded[name].count)]),
    ];
    keep.hidden = !found.length;
    fill(
      grid,
      h("div", { class: "tablebox", tabindex: "0", role: "region", "aria-label": "Knock-out map" },
        h("table", {}, h("caption", { class: "hidden" }, "Change of exact answers, in points of a hundred, when each is taken out"),
          h("thead", {}, h("tr", {}, h("td", {}), closed.map((name) => h("th", { scope: "col" }, h("span", {}, titleOf(page, name)))))),
          h("tbody", {}, h("tr", { class: "whole" }, h("th", { scope: "row" }, "nothing out"), closed.map((name) => h("td", { title: `± ${percent(band[name])} by chance` }, percent(all[name].right / all[name].count)))),
            found.map(([one, graded]) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "asis", onclick: one.toggle }, one.name)), closed.map((name) => cell(name, graded))))))),
    ); // prettier-ignore
  }
  follow(page, element, ["run"], () => {
    fill(grid);
    keep.hidden = true;
  });
  return element;
}

/** What is graded: the task's held-out questions, and every skill with one right answer. @param {import("../page.js").Page} page @param {any} own */
export function gradedGroups(page, own) {
  const { skills } = page.manifest;
  const { task } = page.run.told;
  const closed = Object.entries(skills).filter(([, skill]) => skill.closed);
  return {
    ...(own?.heldout?.length ? { [task]: { closed: true, examples: own.heldout } } : {}),
    ...Object.fromEntries(closed),
  };
}

/** The weights of one step as they stand, whatever they are a difference to. @param {import("../run.js").RunData} run @param {number} at */
export function exactly(run, at) {
  if (run.form !== "grains") return run.tensors[at];
  return new Map([...run.tensors[at]].map(([name, { shape }]) => [name, { shape, data: run.delta(at, name) }]));
}

/** Half of Wilson's 95 % interval. @param {{right: number, count: number}} graded */
function chance({ right, count }) {
  const p = right / count;
  const z = 1.96;
  return (z * Math.sqrt((p * (1 - p)) / count + (z * z) / (4 * count * count))) / (1 + (z * z) / count);
}

/** Questions gained and lost. @param {boolean[]} before @param {boolean[]} after */
function flips(before, after) {
  let plus = 0;
  let minus = 0;
  before.forEach((was, at) => {
    if (!was && after[at]) plus++;
    if (was && !after[at]) minus++;
  });
  return [plus, minus];
}

/** McNemar's exact test on the questions whose answer turned: two-sided, below 5 %. @param {number} plus @param {number} minus */
export function unlikely(plus, minus) {
  const n = plus + minus;
  if (n === 0) return false;
  let tail = 0;
  let one = 0.5 ** n;
  for (let k = 0; k <= Math.min(plus, minus); k++) {
    tail += one;
    one = (one * (n - k)) / (k + 1);
  }
  return Math.min(1, 2 * tail) < 0.05;
}
