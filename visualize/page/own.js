// What does a run look like that is being trained here? As any other; its log and weights come while it is looked at.

import { number } from "./dom.js";
import { ALL_LINEAR } from "./engine/methods.js";

/**
 * The facts of a run before its first step.
 * @param {import("./page.js").Page} page
 * @param {{task: string, data: number | null, method: any, settings: any, examples: number, heldout: number, mixed: number, asked: any[], chats: any[], typed: any[]}} chosen
 * @param {string} name
 */
export function toldOfOwn(page, { task, data, method, settings, examples, heldout, mixed, asked, chats, typed }, name) {
  const { base } = page.manifest;
  // In the order of the computation, as a captured run has them, not of the alphabet.
  const order = (/** @type {string} */ parameter) =>
    (ALL_LINEAR.indexOf(parameter.split(".").at(-2) ?? "") + ALL_LINEAR.length + 1) % (ALL_LINEAR.length + 1);
  const all = [...(page.weights ?? new Map())].sort(([a], [b]) => order(a) - order(b));
  const linear = all.filter(([parameter]) => ALL_LINEAR.includes(parameter.split(".").at(-2) ?? ""));
  const trained = method.name === "lora" ? linear : all;
  const empty = () => ({ steps: [], columns: {} });
  const count = (/** @type {any[]} */ some) => some.reduce((sum, [, { shape }]) => sum + shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1), 0); // prettier-ignore
  const { rate, batch, ...others } = settings;
  const factors = linear.reduce((sum, [, { shape }]) => sum + (method.rank ?? 0) * (shape[0] + shape[1]), 0);
  return {
    name, what: `${method.name} on ${task}`, method: method.name, task, data, status: "running", form: method.name === "lora" ? "factors" : "deltas", plays: true,
    info: {
      method: { name: method.name, ...(method.name === "lora" ? { r: method.rank, alpha: method.alpha } : {}) },
      model: { name: base.name, source: base.source, parameters: count(all), trainable: method.name === "lora" ? factors : count(all) },
      data: { name: task, train: examples, heldout, ...(mixed ? { mixed_in: { name: "curriculum", examples: mixed } } : {}) }, settings: { learning_rate: rate, batch_size: batch, ...others }, seconds: {},
    },
    modules: trained.map(([parameter, { shape }]) => ({ name: parameter.replace(/\.weight$/, ""), shape, kind: method.name === "lora" ? "lora" : "delta", r: method.rank, base_parameter: parameter })),
    captured: [], steps: [], pieces: [], scales: {}, metrics: empty(), skills: empty(), losses: empty(), norms: empty(), answers: [], findings: [], left_out: [], bytes: 0, asked, chats, typed, place: "this tab", own: true,
  }; // prettier-ignore
}

/** The rate, and those that it had later: "0.002, 0.001 after step 120". @param {any} settings of a run @returns {string} */
export const ratesOf = ({ learning_rate: rate, later = [] }) =>
  [number(rate), ...later.map((/** @type {any} */ one) => `${number(one.rate)} after step ${one.step}`)].join(", ");

/** From a step on a training has another rate. @param {any} settings @param {number} step @param {number} rate */
export function changeRate(settings, step, rate) {
  // What it had from here on before it went back to here is forgotten with those steps.
  const later = (settings.later ?? []).filter((/** @type {any} */ one) => one.step < step);
  if (settings.later) settings.later = later;
  if (rate !== (later.at(-1)?.rate ?? settings.learning_rate)) settings.later = [...later, { step, rate }];
}

/** A row of a table, at a step; columns that it brings anew are empty before.
 * @param {{steps: number[], columns: Record<string, (number | null)[]>}} table @param {number} step @param {Record<string, number | null>} values */
export function addRow(table, step, values) {
  const again = table.steps.indexOf(step);
  const at = again >= 0 ? again : table.steps.push(step) - 1;
  for (const name of new Set([...Object.keys(table.columns), ...Object.keys(values)])) {
    table.columns[name] ??= Array(at).fill(null);
    table.columns[name][at] = Number.isFinite(values[name]) ? values[name] : null;
  }
}

/** What a training told, into its run. @param {import("./page.js").Page} page @param {number} index @param {any} told */
export function receiveOwn(page, index, { step, log, tensors, norms, graded, back }) {
  const { told } = page.runs[index];
  if (log) addRow(told.metrics, log.step, { loss: log.loss, grad_norm: log.norm, learning_rate: log.rate, ms: log.ms });
  const at = log?.step ?? step;
  if (norms) addRow(told.norms, at, norms);
  if (graded) {
    const of = (/** @type {string} */ what) => Object.fromEntries(Object.entries(graded).map(([name, one]) => [name, /** @type {any} */ (one)[what]])); // prettier-ignore
    const closed = Object.fromEntries(Object.entries(of("exact")).filter(([, value]) => value !== null));
    addRow(told.skills, at, closed);
    addRow(told.losses, at, of("loss"));
  }
  if (back !== undefined) page.back(index, back);
  else if (tensors) {
    told.captured.push(step);
    page.receive(index, { step, tensors });
  } else if (log && log.step % 5 === 0) page.receive(index, {});
}

/** What two runs share up to a step, for a branch. @param {any} told @param {number} step */
export function copyUpTo(told, step) {
  const cut = (/** @type {any} */ table) => {
    const count = table.steps.filter((/** @type {number} */ one) => one <= step).length;
    return { steps: table.steps.slice(0, count), columns: Object.fromEntries(Object.entries(table.columns).map(([name, column]) => [name, /** @type {any} */ (column).slice(0, count)])) }; // prettier-ignore
  };
  return { metrics: cut(told.metrics), skills: cut(told.skills), losses: cut(told.losses), norms: cut(told.norms), captured: told.captured.filter((/** @type {number} */ one) => one <= step) }; // prettier-ignore
}
