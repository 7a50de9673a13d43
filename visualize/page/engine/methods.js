/**
 * What is trained? Every weight, or two thin matrices beside each linear layer: W' = W + (alpha/r) B A (Hu et al. 2021).
 *
 * Both give the same few things: the parameters that are trained, the weights that the model computes with, and where
 * gradients go. LoRA's product is added to W before the model runs, so its forward pass costs what the base's does; its
 * gradients are dB = scaling dyᵀ (x Aᵀ) and dA = scaling (dy B)ᵀ x, which never need all of dW.
 */

import { makeGenerator } from "./random.js";

/** @typedef {import("./safetensors.js").Weights} Weights */
/** @typedef {import("./safetensors.js").Tensor} Tensor */
/** @typedef {import("./adamw.js").Tensors} Tensors */

/**
 * @typedef {object} Method
 * @property {"full" | "lora"} name
 * @property {Tensors} parameters what is trained
 * @property {Weights} weights what the model computes with
 * @property {() => {gradients: Tensors, sink: import("./backward.js").Sink}} collect for one step
 * @property {() => void} update brings `weights` up to date after `parameters` changed
 */

/** What PEFT's "all-linear" names in a Llama. */
export const ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/**
 * Full fine-tuning.
 * @param {Weights} base @param {import("./kernels.js").Kernels} kernels @param {number | undefined} padding an id that is not learned
 * @returns {Method}
 */
export function full(base, kernels, padding) {
  /** @type {Weights} */
  const weights = new Map([...base].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
  const parameters = new Map([...weights].map(([name, { data }]) => [name, data]));

  function collect() {
    const gradients = new Map([...parameters].map(([name, { length }]) => [name, new Float32Array(length)]));
    const of = (/** @type {string} */ module) => /** @type {Float32Array} */ (gradients.get(`${module}.weight`));
    /** @type {import("./backward.js").Sink} */
    const sink = {
      linear(module, x, dy, rows) {
        kernels.tn(of(module), dy, x, dy.length / rows, x.length / rows, rows, true);
      },
      norm(module, dw) {
        of(module).set(dw);
      },
      embedding(ids, dx) {
        const table = of("model.embed_tokens");
        const width = dx.length / ids.length;
        ids.forEach((id, row) => {
          if (id === padding) return; // as torch.nn.Embedding's padding_idx
          for (let i = 0; i < width; i++) table[id * width + i] += dx[row * width + i];
        });
      },
    };
    return { gradients, sink };
  }
  return { name: "full", parameters, weights, collect, update() {} };
}

/**
 * LoRA. Parameters are called "<module>.lora_A" (r x in) and "<module>.lora_B" (out x r).
 * @param {Weights} base @param {import("./kernels.js").Kernels} kernels
 * @param {{rank: number, scaling: number, targets: string[], seed: number, start?: Tensors}} options start: given values
 *   of some parameters; of the others A is drawn as PEFT draws it (Kaiming uniform), and B is zero
 * @returns {Method & {modules: string[]}}
 */
export function lora(base, kernels, { rank, scaling, targets, seed, start }) {
  const generator = makeGenerator(seed);
  const weights = new Map(base);
  /** @type {Tensors} */
  const parameters = new Map();
  const modules = [...base.keys()]
    .filter((name) => targets.includes(name.split(".").at(-2) ?? ""))
    .map((name) => name.slice(0, -".weight".length));
  if (!modules.length) throw new Error(`LoRA found nothing to adapt: no layer is called ${targets.join(" or ")}`);
  const at = (/** @type {string} */ module) => /** @type {Tensor} */ (base.get(`${module}.weight`));
  const a = (/** @type {string} */ module) => /** @type {Float32Array} */ (parameters.get(`${module}.lora_A`));
  const b = (/** @type {string} */ module) => /** @type {Float32Array} */ (parameters.get(`${module}.lora_B`));
  for (const module of modules) {
    const { shape, data } = at(module);
    const [to, from] = shape;
    const bound = 1 / Math.sqrt(from);
    const drawn = Float32Array.from({ length: rank * from }, () => bound * (2 * generator.next() - 1));
    parameters.set(`${module}.lora_A`, start?.get(`${module}.lora_A`)?.slice() ?? drawn);
    parameters.set(`${module}.lora_B`, start?.get(`${module}.lora_B`)?.slice() ?? new Float32Array(to * rank));
    weights.set(`${module}.weight`, { shape, data: data.slice() });
  }

  function collect() {
    /** @type {Tensors} */
    const gradients = new Map([...parameters].map(([name, { length }]) => [name, new Float32Array(length)]));
    /** @type {import("./backward.js").Sink["linear"]} */
    function linear(module, x, dy, rows) {
      const dA = gradients.get(`${module}.lora_A`);
      const dB = gradients.get(`${module}.lora_B`);
      if (!dA || !dB) return;
      const [to, from] = at(module).shape;
      const thin = new Float32Array(rows * rank);
      kernels.nt(thin, x, a(module), rows, rank, from);
      kernels.tn(dB, dy, scaled(thin, scaling), to, rank, rows);
      kernels.nn(thin, dy, b(module), rows, rank, to);
      kernels.tn(dA, scaled(thin, scaling), x, rank, from, rows);
    }
    return { gradients, sink: { linear } };
  }

  function update() {
    for (const module of modules) {
      const { shape: [to, from], data } = at(module); // prettier-ignore
      const sum = /** @type {Tensor} */ (weights.get(`${module}.weight`)).data;
      sum.set(data);
      kernels.nn(sum, scaled(b(module).slice(), scaling), a(module), to, from, rank, true);
    }
  }
  update();
  return { name: "lora", parameters, weights, collect, update, modules };
}

/** @param {Float32Array} values scaled in place @param {number} factor */
function scaled(values, factor) {
  for (let i = 0; i < values.length; i++) values[i] *= factor;
  return values;
}
