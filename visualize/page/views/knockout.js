// Which component knows what? Each is taken out alone, and every skill is graded again, in a worker of its own.

import { chance, flips, unlikely } from "../chance.js";
import { signedColour } from "../colours.js";
import { fill, h, percent } from "../dom.js";
import { Remote, startWorker } from "../lab.js";
import { layerOf } from "../naming.js";
import { moduleOf, used, wordsOf } from "../setting.js";
import { strengthsOf } from "../spectrum.js";
import { follow } from "./follow.js";
import { saveTable } from "./keep.js";
import { titleOf } from "./question.js";

/** @typedef {import("../setting.js").Setting} Setting */
/** What is taken out, under one name. @typedef {{name: string, off: string[]}} Target */
/** What was graded so far: which run, the model as it was set then, with nothing more out, and with each target out.
 * @typedef {{run: import("../run.js").RunData, whole: Setting, all: any, found: [Target, any][]}} Graded */

/** @param {import("../page.js").Page} page */
export function makeKnockout(page) {
  const { state } = page;
  const go = h("button", { type: "button", class: "main", onclick: () => (remote ? stop("Stopped.") : start()) });
  const what = h(
    "select",
    { "aria-label": "What is taken out" },
    h("option", { value: "parts" }, "components of the chosen matrix"),
    h("option", { value: "modules" }, "every module"),
    h("option", { value: "layers" }, "every layer"),
  );
  const note = h("p", { class: "what", "aria-live": "polite" });
  const grid = h("div", { class: "knockouts" });
  const keep = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => save() }, "CSV");
  const element = h(
    "section",
    { class: "panel wide knockout", "aria-label": "Knock-out map" },
    h("h2", {}, "Who knows what?"),
    h("p", {}, what, " ", go),
    note,
    grid,
    keep,
  );
  /** The worker that grades now. @type {Remote | null} */
  let remote = null;
  /** @type {Graded | null} */
  let graded = null;

  /** @param {string} said */
  function stop(said) {
    remote?.end();
    remote = null;
    fill(go, "Take each out in turn");
    fill(note, said);
  }
  function clear() {
    graded = null;
    fill(grid);
    keep.hidden = true;
    stop("Each is removed alone and every skill is graded again. What falls further than chance is what it knew.");
    element.hidden = !page.playable;
  }

  async function start() {
    const targets = targetsOf(page, what.value);
    if (!page.has(page.setting())) return fill(note, "The weights of this step have not come yet.");
    if (!targets.length) return fill(note, "There is nothing to take out: choose a matrix that has moved.");
    clear();
    fill(go, "Stop");
    fill(note, "Grading the whole…");
    const mine = (remote = new Remote(startWorker()));
    try {
      await grade(mine, targets);
      if (mine === remote) stop(done());
    } catch (error) {
      if (mine === remote) stop(`It stopped: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {Remote} worker @param {Target[]} targets */
  async function grade(worker, targets) {
    const { run } = page;
    const groups = gradedGroups(page);
    const whole = page.setting();
    graded = { run, whole, all: null, found: [] };
    await worker.call("start", { base: page.base });
    for (const { key, told, step, tensors } of neededFor(page, whole)) {
      await worker.call("run", { key, told });
      await worker.call("step", { key, step, tensors });
    }
    const settings = [whole, ...targets.map(({ off }) => ({ ...whole, off: [...whole.off, ...off] }))];
    await worker.call("grades", { settings, groups }, ({ at, found }) => {
      if (!graded || worker !== remote) return;
      if (at === 0) graded.all = found;
      else graded.found.push([targets[at - 1], found]);
      fill(note, `${graded.found.length} of ${targets.length} taken out, of ${wordsOf(whole)}…`);
      draw();
    });
  }

  /** The skills that have one right answer. @param {Graded} of */
  const closedOf = ({ all }) =>
    Object.keys(all).filter((name) => all[name].count && page.manifest.skills[name]?.closed !== false);
  const done = () => {
    if (!graded) return "";
    const { whole, found } = graded;
    return `Done: ${found.length} taken out, of ${wordsOf(whole)}. A framed cell moved further than chance does at 95 %, on the same questions; of ${found.length * closedOf(graded).length} cells at most one in twenty would by chance alone. Press a row to hear that model without that part.`;
  };
  /** The model of a row: what was graded, whatever has been set since. @param {Target} target */
  function hear({ off }) {
    if (!graded) return;
    const { whole } = graded;
    const mix = whole.parts[1]?.share ?? 0;
    const part = moduleOf(off[0]);
    if (off[0] !== part) state.set({ module: part }); // whose components are to be seen
    state.set({ step: whole.parts[0].step, strength: whole.strength, mix, off: [...new Set([...whole.off, ...off])] });
  }
  function save() {
    if (!graded) return;
    const { run, whole, all, found } = graded;
    const closed = closedOf(graded);
    const shares = (/** @type {any} */ one) => closed.map((name) => one[name].right / one[name].count);
    saveTable(
      [
        ["taken out", ...closed.map((name) => titleOf(page, name, run))],
        ["nothing", ...shares(all)],
        ...found.map(([{ name }, one]) => [name, ...shares(one)]),
      ],
      `${run.told.name}-knock-out-${wordsOf(whole)}.csv`,
    );
  }

  function draw() {
    if (!graded?.all) return;
    const { run, all, found } = graded;
    const closed = closedOf(graded);
    const cell = (/** @type {string} */ name, /** @type {any} */ one) => {
      const change = (one[name].right - all[name].right) / all[name].count;
      const [plus, minus] = flips(all[name].each, one[name].each);
      const about = {
        class: unlikely(plus, minus) ? "sure" : "",
        title: `${percent(one[name].right / one[name].count)}: ${minus} lost, ${plus} gained`,
      };
      const text = change === 0 ? "" : `${change > 0 ? "+" : "−"}${Math.round(100 * Math.abs(change))}`;
      const made = h("td", about, text);
      made.style.setProperty("background", signedColour(page.palette, Math.max(-1, Math.min(1, -change)) * 0.85));
      return made;
    };
    keep.hidden = !found.length;
    fill(
      grid,
      h("div", { class: "tablebox", tabindex: "0", role: "region", "aria-label": "Knock-out map" },
        h("table", {}, h("caption", { class: "hidden" }, "Change of exact answers, in points of a hundred, when each is taken out"),
          h("thead", {}, h("tr", {}, h("td", {}), closed.map((name) => h("th", { scope: "col" }, h("span", {}, titleOf(page, name, run)))))),
          h("tbody", {}, h("tr", { class: "whole" }, h("th", { scope: "row" }, "nothing out"), closed.map((name) => h("td", { title: `± ${percent(chance(all[name]))} by chance` }, percent(all[name].right / all[name].count)))),
            found.map(([target, one]) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "asis", "data-focus": target.name, onclick: () => hear(target) }, target.name)), closed.map((name) => cell(name, one))))))),
    ); // prettier-ignore
  }
  clear();
  // A map took minutes: only another run takes it away, no other room and no other theme.
  let shown = page.run;
  state.watch(["run"], () => page.run !== shown && ((shown = page.run), clear()));
  state.watch(["arrived"], () => (element.hidden = !page.playable));
  follow(page, element, ["theme"], draw);
  return element;
}

/** @param {import("../page.js").Page} page @param {string} what @returns {Target[]} */
function targetsOf(page, what) {
  const { run } = page;
  const module = page.state.get("module");
  const { short } = page.namesOf();
  if (what === "parts")
    return strengthsOf(run, page.at, module).map((_, at) => ({
      name: `${short(module)}, component ${at + 1}`,
      off: [`${module}#${at}`],
    }));
  if (what === "modules")
    return run.modules.filter((one) => one.shape.length === 2).map(({ name }) => ({ name: short(name), off: [name] }));
  return [...new Set(run.modules.map((one) => layerOf(one.name)))].map((layer) => ({
    name: layer === null ? "outside the layers" : `layer ${layer}`,
    off: run.modules.filter((one) => layerOf(one.name) === layer).map((one) => one.name),
  }));
}

/** What is graded: the task's held-out questions, and every skill with one right answer. @param {import("../page.js").Page} page */
export function gradedGroups(page) {
  const { task } = page.run.told;
  const own = page.data;
  const closed = Object.entries(page.manifest.skills).filter(([, skill]) => skill.closed);
  return {
    ...(own?.heldout?.length ? { [task]: { closed: true, examples: own.heldout } } : {}),
    ...Object.fromEntries(closed),
  };
}

/** What a worker must have of the runs, beside the base, to be set so: each part that is added at all, with its weights.
 * @param {import("../page.js").Page} page @param {Setting} setting */
export function neededFor(page, setting) {
  return used(setting).map(({ run, step }) => {
    const one = page.runs[Number(run)];
    const { form, modules, scales } = one;
    const told = { form: form === "grains" ? "deltas" : form, modules, scales };
    return { key: run, told, step, tensors: exactly(one, one.at(step)) };
  });
}

/** The weights of one step as they stand, whatever they are a difference to. @param {import("../run.js").RunData} run @param {number} at */
function exactly(run, at) {
  if (run.form !== "grains") return run.tensors[at];
  return new Map([...run.tensors[at]].map(([name, { shape }]) => [name, { shape, data: run.delta(at, name) }]));
}
