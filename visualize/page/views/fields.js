// How is it taught? Method and settings, with what works for this model filled in.

import { h } from "../dom.js";
import { RATES } from "../engine/train.js";

export function makeFields() {
  const input = (/** @type {string} */ label, /** @type {number} */ value, /** @type {any} */ about) => {
    const field = h("input", { type: "number", value, required: true, ...about });
    return { label, field, element: h("label", {}, h("span", {}, label), field) };
  };
  const method = h(
    "select",
    { "aria-label": "Method", onchange: () => usual() },
    h("option", { value: "lora" }, "LoRA"),
    h("option", { value: "full" }, "full fine-tuning"),
  );
  const parts = {
    rank: input("rank", 8, { min: 1, max: 64, step: 1 }), alpha: input("alpha", 16, { min: 1, max: 512, step: 1 }), rate: input("learning rate", RATES.lora, { min: 0.00001, max: 0.1, step: "any" }),
    steps: input("steps", 120, { min: 1, max: 2000, step: 1 }), batch: input("batch", 32, { min: 1, max: 128, step: 1 }), mix: input("old examples mixed in, %", 0, { min: 0, max: 90, step: 5 }), seed: input("seed", 0, { min: 0, max: 1e6, step: 1 }),
  }; // prettier-ignore
  function usual() {
    const name = /** @type {"lora" | "full"} */ (method.value);
    parts.rate.field.value = String(RATES[name]);
    parts.rank.element.hidden = parts.alpha.element.hidden = name === "full";
  }
  const element = h(
    "div",
    { class: "fields" },
    h("label", {}, h("span", {}, "method"), method),
    Object.values(parts).map((one) => one.element),
  );

  /** What a field says. Throws an Error in one sentence for what it may not say. @param {keyof typeof parts} name */
  function value(name) {
    const { label, field } = parts[name];
    const [found, least, most] = [field.value, field.min, field.max].map(Number);
    const whole = field.step !== "any";
    if (field.value === "" || !(found >= least && found <= most) || (whole && !Number.isInteger(found)))
      throw new Error(`${label} must be a ${whole ? "whole " : ""}number from ${least} to ${most}`);
    return found;
  }
  const chosen = () => ({
    method: method.value === "lora" ? { name: "lora", rank: value("rank"), alpha: value("alpha") } : { name: "full" },
    settings: {
      rate: value("rate"),
      steps: value("steps"),
      batch: value("batch"),
      mix: value("mix") / 100,
      seed: value("seed"),
    },
  });
  return { element, chosen, rate: () => value("rate") };
}
