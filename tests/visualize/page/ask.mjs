// Answers one question about the page's modules: `node ask.mjs QUESTION` with JSON on standard input, JSON on standard
// output. Tensors come from the file `given` and go to the file `made`.

import { readFileSync, writeFileSync } from "node:fs";

import { adapterFiles, modelFiles } from "../../../visualize/page/engine/adapter.js";
import { makeComposer } from "../../../visualize/page/engine/compose.js";
import { encodeChat, isRight } from "../../../visualize/page/engine/grade.js";
import { makeKernels } from "../../../visualize/page/engine/kernels.js";
import { makeModel } from "../../../visualize/page/engine/llama.js";
import { readSafetensors, writeSafetensors } from "../../../visualize/page/engine/safetensors.js";
import { components } from "../../../visualize/page/engine/svd.js";
import { makeTrainer } from "../../../visualize/page/engine/train.js";
import { makeTokenizer } from "../../../visualize/page/engine/tokenizer.js";
import { zip } from "../../../visualize/page/engine/zip.js";
import { Training } from "../../../visualize/page/training.js";

const json = (path) => JSON.parse(readFileSync(path, "utf8"));
const asked = JSON.parse(readFileSync(0, "utf8"));
const given = readSafetensors(readFileSync(asked.given_file ?? asked.given));
const made = new Map();
const config = { ...json(`${asked.base}/config.json`), ...asked.config };
const tokenizer = makeTokenizer(json(`${asked.base}/tokenizer.json`), config);
const kernels = () => makeKernels(asked.kernels);

/** The weights that were given, or the embedded ones. */
const weights = () =>
  given.has("model.norm.weight") ? given : readSafetensors(readFileSync(`${asked.base}/model.safetensors`));
const model = () => makeModel(config, weights(), kernels());

/** A trainer on the asked rows, whose A and B may be given. */
function trainer() {
  const start = new Map([...given].filter(([name]) => name.includes("lora_")).map(([name, { data }]) => [name, data]));
  const { rows, replay, method, settings } = asked;
  return makeTrainer(config, weights(), kernels(), { rows, replay, method: { ...method, start }, settings });
}

const make = (tensors) => tensors.forEach((data, name) => made.set(name, { shape: [data.length], data }));

const questions = {
  /** Every product of the matrices a and b. */
  products() {
    const { m, n, k, add } = asked;
    for (const kind of ["nt", "nn", "tn"]) {
      const c = add ? given.get("c").data.slice() : new Float32Array(m * n);
      kernels()[kind](c, given.get("a").data, given.get("b").data, m, n, k, add);
      made.set(kind, { shape: [m, n], data: c });
    }
    return kernels().kind;
  },
  silu() {
    const [gate, up] = ["gate", "up"].map((name) => given.get(name).data);
    const [sigmoid, active] = [gate.slice(), gate.slice()];
    kernels().silu(gate, up, sigmoid, active);
    make(new Map(Object.entries({ sigmoid, active })));
    return null;
  },
  encode: () => asked.texts.map(tokenizer.encode),
  decode: () => asked.ids.map((ids) => tokenizer.decode(ids)),
  added: () => asked.ids.map((ids) => tokenizer.added(ids)),
  piece: () => asked.ids.map(tokenizer.piece),
  chat: () => asked.chats.map((messages) => tokenizer.chat(messages, { prompt: asked.prompt })),
  logits() {
    const asks = model();
    asked.texts.forEach((ids, at) => {
      made.set(String(at), { shape: [ids.length, config.vocab_size], data: asks.logits(ids) });
    });
    return null;
  },
  answers: () => model().generateAll(asked.prompts, asked.options),
  score: () => model().score(asked.rows),
  gradients() {
    const { loss, gradients } = trainer().gradientsOf(asked.rows);
    make(gradients);
    return loss;
  },
  /** As many steps as batches are given, or as the settings say. */
  train() {
    const training = trainer();
    const steps = [];
    if (asked.batches) for (const batch of asked.batches) steps.push(training.step(batch));
    else while (!training.done) steps.push(training.step());
    make(training.parameters);
    return steps;
  },
  /** Trains to the end; then from `at` again, with nothing changed, and with another rate. */
  branches() {
    const training = trainer();
    while (training.steps < asked.at) training.step();
    const kept = structuredClone(training.snapshot());
    const run = () => {
      const losses = [];
      while (!training.done) losses.push(training.step().loss);
      return losses;
    };
    const first = run();
    training.restore(kept);
    const again = run();
    training.restore(kept);
    training.settings.rate *= 2;
    const other = trainer(); // another trainer of the same data goes on from there as well
    other.restore(kept);
    return { first, again, faster: run(), elsewhere: other.step().loss };
  },
  /** Trains at a rate that is far too high from `at` on, until that is noticed; then goes on at the first rate again. */
  async diverges() {
    const { method, settings, at } = asked;
    const base = { config, weights: weights() };
    const plan = {
      examples: asked.chats,
      replay: [],
      typed: true,
      method,
      settings,
      groups: {},
      capture: 2,
      evaluate: 100,
    };
    const training = new Training(base, tokenizer, kernels(), plan);
    const told = [];
    const go = (raised) =>
      training
        .go((one) => {
          told.push(one);
          if (one.log?.step === raised) training.trainer.settings.rate = 1e30;
        })
        .then(
          () => "",
          (error) => error.message,
        );
    const said = await go(at);
    const { steps, parameters } = training.trainer;
    const whole = [...parameters.values()].every((values) => values.every(Number.isFinite));
    const [back, kept] = [told.at(-1).back, [...training.snapshots.keys()]];
    training.trainer.settings.rate = settings.rate;
    const again = await go();
    return { said, steps, whole, back, kept, again, done: training.trainer.done, last: told.at(-1).log.loss };
  },
  /** Trains, and writes the result as a zip file; gives what it answers to the prompts. */
  save() {
    const training = trainer();
    while (!training.done) training.step();
    const files =
      training.method === "full" ? modelFiles(config, training.weights) : adapterFiles(training, asked.says);
    writeFileSync(asked.archive, zip(files));
    make(training.method === "full" ? new Map() : training.parameters);
    return training.model.generateAll(asked.prompts).map(({ ids }) => ids);
  },
  /** What a model answers with PEFT's adapters from folders added as each of the settings says. */
  play() {
    const parts = asked.folders.map((folder) => {
      const { lora_alpha: alpha, r } = json(`${folder}/adapter_config.json`);
      const tensors = readSafetensors(readFileSync(`${folder}/adapter_model.safetensors`));
      const of = (name, letter) => tensors.get(`base_model.model.${name}.lora_${letter}.weight`).data;
      const names = [...tensors.keys()].filter((key) => key.includes("lora_A")).map((key) => key.split(".").slice(2, -2).join(".")); // prettier-ignore
      return new Map(names.map((name) => [name, components(of(name, "B"), of(name, "A"), r, alpha / r)]));
    });
    const compose = makeComposer(weights(), parts, kernels());
    const last = new Map();
    return asked.settings.map((setting) => {
      const composed = compose(setting);
      const changed = [...composed].filter(([name, tensor]) => last.get(name) !== tensor.data && last.has(name));
      composed.forEach(({ data }, name) => last.set(name, data));
      const answers = makeModel(config, composed, kernels()).generateAll(asked.prompts);
      for (const name of asked.show) make(new Map([[`${made.size}`, composed.get(name).data]]));
      return { answers: answers.map(({ ids }) => ids), changed: changed.map(([name]) => name) };
    });
  },
  components() {
    const { u, s, v } = components(given.get("b").data, given.get("a").data, asked.rank, asked.scaling);
    make(new Map(Object.entries({ u, s, v })));
    return null;
  },
  /** Every tensor of the file `given`, written and read again. */
  tensors() {
    given.forEach((tensor, name) => made.set(name, tensor));
    return readSafetensors(writeSafetensors(made)).size;
  },
  complaint() {
    try {
      readSafetensors(readFileSync(asked.path));
    } catch (error) {
      return error.message;
    }
    return null;
  },
  grades: () => asked.pairs.map(([answer, reply]) => isRight(answer, reply)),
  rows: () => asked.chats.map((messages) => encodeChat(tokenizer, messages, asked.options)),
};

const answer = await questions[process.argv[2]]();
if (made.size) writeFileSync(asked.made, writeSafetensors(made));
process.stdout.write(JSON.stringify(answer));
