/**
 * How is what the page trained opened elsewhere? As PEFT's two files, or transformers' own.
 */

import { writeSafetensors } from "./safetensors.js";

/** @typedef {import("./zip.js").Files} Files */
/** @typedef {import("./safetensors.js").Weights} Weights */

const PREFIX = "base_model.model.";
const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** @param {unknown} value */
const json = (value) => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

/**
 * The files of a trained LoRA as PEFT's save_pretrained writes them.
 * @param {{parameters: import("./adamw.js").Tensors, weights: Weights, rank: number, alpha: number, modules: string[]}} trainer
 * @param {string} base what the adapter says it was trained on
 * @returns {Files}
 */
export function adapterFiles({ parameters, weights, rank, alpha, modules }, base) {
  /** @type {Weights} */
  const tensors = new Map();
  for (const module of modules) {
    const [to, from] = weights.get(`${module}.weight`)?.shape ?? [];
    for (const [part, shape] of /** @type {const} */ ([
      ["lora_A", [rank, from]],
      ["lora_B", [to, rank]],
    ])) {
      const data = /** @type {Float32Array} */ (parameters.get(`${module}.${part}`));
      tensors.set(`${PREFIX}${module}.${part}.weight`, { shape: [...shape], data });
    }
  }
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    target_modules: [...new Set(modules.map((module) => module.split(".").at(-1)))].sort(),
    use_rslora: false,
    fan_in_fan_out: false,
    bias: "none",
    init_lora_weights: true,
    inference_mode: true,
  };
  return new Map([
    [CONFIG, json(config)],
    [WEIGHTS, writeSafetensors(tensors)],
  ]);
}

/**
 * The files of a whole model, which transformers loads and `glasstune inspect BASE FOLDER` compares with its base.
 * @param {import("./forward.js").Config} config @param {Weights} weights @returns {Files}
 */
export const modelFiles = (config, weights) =>
  new Map([
    ["config.json", json(config)],
    ["model.safetensors", writeSafetensors(weights)],
  ]);
