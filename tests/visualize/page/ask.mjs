// Answers one question about the page's modules: `node ask.mjs QUESTION` with JSON on standard input, JSON on standard
// output. Tensors come from the file `given` and go to the file `made`.

import { readFileSync, writeFileSync } from "node:fs";

import { makeKernels } from "../../../visualize/page/engine/kernels.js";
import { makeModel } from "../../../visualize/page/engine/llama.js";
import { readSafetensors, writeSafetensors } from "../../../visualize/page/engine/safetensors.js";
import { makeTokenizer } from "../../../visualize/page/engine/tokenizer.js";

const json = (path) => JSON.parse(readFileSync(path, "utf8"));
const asked = JSON.parse(readFileSync(0, "utf8"));
const given = readSafetensors(readFileSync(asked.given));
const made = new Map();
const config = { ...json(`${asked.base}/config.json`), ...asked.config };
const tokenizer = () => makeTokenizer(json(`${asked.base}/tokenizer.json`), config);
const kernels = () => makeKernels(asked.kernels);

/** The model whose weights were given, or the embedded one. */
function model() {
  const own = given.has("model.norm.weight");
  const weights = own ? given : readSafetensors(readFileSync(`${asked.base}/model.safetensors`));
  return makeModel(config, weights, kernels());
}

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
  encode: () => asked.texts.map(tokenizer().encode),
  decode: () => asked.ids.map((ids) => tokenizer().decode(ids)),
  chat: () => asked.chats.map((messages) => tokenizer().chat(messages, { prompt: asked.prompt })),
  logits() {
    const asks = model();
    asked.texts.forEach((ids, at) => {
      made.set(String(at), { shape: [ids.length, config.vocab_size], data: asks.logits(ids) });
    });
    return null;
  },
  answers: () => model().generateAll(asked.prompts, asked.options),
  score: () => model().score(asked.rows),
};

const answer = await questions[process.argv[2]]();
if (made.size) writeFileSync(asked.made, writeSafetensors(made));
process.stdout.write(JSON.stringify(answer));
