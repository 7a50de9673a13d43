/**
 * How is what the page trained opened elsewhere? As PEFT's two files, or transformers' own; and how is an adapter read?
 */

import { components } from "./svd.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";

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

/**
 * An adapter's B A, module by module, as components to compose with. Throws an Error, in one sentence, for what is no
 * plain LoRA adapter.
 * @param {Files} files PEFT's two, whatever folder of an archive they lie in
 * @returns {import("./compose.js").Part}
 */
export function readAdapter(files) {
  const [about, weights] = [CONFIG, WEIGHTS].map((wanted) => {
    const name = [...files.keys()].find((path) => path.split("/").at(-1) === wanted);
    const file = name === undefined ? undefined : files.get(name);
    if (!file) throw new Error(`an adapter has a file ${wanted}; here there is none`);
    return file;
  });
  const config = JSON.parse(new TextDecoder().decode(about));
  if (config.peft_type !== "LORA" || config.use_dora || Object.keys(config.alpha_pattern ?? {}).length)
    throw new Error("the page reads plain LoRA adapters with one alpha; this one is another kind");
  const tensors = readSafetensors(weights);
  /** @type {import("./compose.js").Part} */
  const part = new Map();
  for (const [name, a] of tensors) {
    const found = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name);
    if (!found) continue;
    const b = tensors.get(`${PREFIX}${found[1]}.lora_B.weight`);
    if (!b) throw new Error(`the adapter has ${name}, but no lora_B beside it`);
    const rank = a.shape[0];
    const scaling = config.lora_alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
    part.set(found[1], components(b.data, a.data, rank, scaling));
  }
  if (!part.size) throw new Error("the adapter holds no lora_A and lora_B that PEFT would find");
  return part;
}

/** A trainer's adapter as it is now, to compose with. @param {{parameters: import("./adamw.js").Tensors, rank: number, scaling: number, modules: string[]}} trainer
 * @returns {import("./compose.js").Part} */
export const adapterPart = ({ parameters, rank, scaling, modules }) =>
  new Map(
    modules.map((module) => {
      const [a, b] = ["lora_A", "lora_B"].map((part) => parameters.get(`${module}.${part}`) ?? new Float32Array());
      return [module, components(b, a, rank, scaling)];
    }),
  );
