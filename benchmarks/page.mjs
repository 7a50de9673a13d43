// What the run page's engine takes in Node: `node page.mjs QUESTION BASE` with JSON on standard input, where BASE is the
// base model's folder. Prints JSON. Each time is the processor's, which is the same on a machine that others use too: the
// best of several after a warm-up, in milliseconds.

import { readFileSync } from "node:fs";

import { makeKernels } from "../visualize/page/engine/kernels.js";
import { makeModel } from "../visualize/page/engine/llama.js";
import { readSafetensors } from "../visualize/page/engine/safetensors.js";
import { makeTrainer } from "../visualize/page/engine/train.js";

const [question, base] = process.argv.slice(2);
const asked = JSON.parse(readFileSync(0, "utf8"));
const config = JSON.parse(readFileSync(`${base}/config.json`, "utf8"));
const weights = readSafetensors(readFileSync(`${base}/model.safetensors`));
const kernels = makeKernels(asked.kernels);

/** Milliseconds that all threads of this process worked so far. */
function worked() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds of the quickest of `times` calls. */
function best(task, times, warmUp = 3) {
  let least = Infinity;
  for (let i = -warmUp; i < times; i++) {
    const began = worked();
    task();
    if (i >= 0) least = Math.min(least, worked() - began);
  }
  return least;
}

const questions = {
  /** GFLOP/s of a layer's product: 960 tokens through the largest matrix of a layer. */
  product() {
    const [m, n, k] = [960, config.intermediate_size, config.hidden_size];
    const [a, b, c] = [m * k, n * k, m * n].map((size) => new Float32Array(size).fill(0.5));
    const product = asked.naive ? naive : kernels.nt;
    return (2 * m * n * k) / 1e6 / best(() => product(c, a, b, m, n, k), asked.times ?? 20);
  },
  /** A step of LoRA (rank 8) or full fine-tuning over the rows that are asked. */
  step() {
    const trainer = makeTrainer(config, weights, kernels, { rows: asked.rows, method: { name: asked.method } });
    return best(() => trainer.step(asked.rows), asked.times ?? 10);
  },
  /** An answer of so many tokens, its end not counted as one. */
  answer() {
    const model = makeModel({ ...config, eos_token_id: undefined }, weights, kernels);
    return best(() => model.generate(asked.prompt, { most: asked.tokens }), 10);
  },
  /** Seconds, and steps, of training with the usual settings until so many held-out answers are right, grading included. */
  learn() {
    const trainer = makeTrainer(config, weights, kernels, { rows: asked.rows, method: { name: "lora" }, settings: { steps: asked.steps } }); // prettier-ignore
    const began = worked();
    let share = 0;
    while (!trainer.done && share < asked.share) {
      trainer.step();
      if (trainer.steps % 20 === 0) {
        const { exact } = trainer.model.score(asked.heldout);
        share = exact.filter(Boolean).length / exact.length;
      }
    }
    return { seconds: (worked() - began) / 1000, steps: trainer.steps, share };
  },
};

/** What one writes first. */
function naive(c, a, b, m, n, k) {
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p] * b[j * k + p];
      c[i * n + j] = sum;
    }
}

process.stdout.write(JSON.stringify({ kind: kernels.kind, found: questions[question]() }));
