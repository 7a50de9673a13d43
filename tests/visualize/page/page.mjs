// Answers one question about what the page knows: `node page.mjs QUESTION` with JSON on standard input, JSON on standard
// output. As ask.mjs, of the modules above the engine; none of these needs a document.

import { readFileSync } from "node:fs";

import { changeBytes, weightBytes } from "../../../visualize/page/colours.js";
import { percent } from "../../../visualize/page/dom.js";
import { score, summed } from "../../../visualize/page/engine/grade.js";
import { namesOf } from "../../../visualize/page/naming.js";
import { changeRate, ratesOf, receiveOwn } from "../../../visualize/page/own.js";
import { checked, Page } from "../../../visualize/page/page.js";
import { Raster } from "../../../visualize/page/raster.js";
import { bare, wordsOf } from "../../../visualize/page/setting.js";
import { fromAddress, State } from "../../../visualize/page/state.js";
import { makeChart } from "../../../visualize/page/views/curves.js";
import { parsed } from "../../../visualize/page/views/examples.js";
import { gradedGroups, neededFor } from "../../../visualize/page/views/knockout.js";
import { inCell } from "../../../visualize/page/views/reading.js";
import { rightOf, titleOf } from "../../../visualize/page/views/question.js";
import { shareOf } from "../../../visualize/page/views/skills.js";
import { wordsFor } from "../../../visualize/page/views/tokens.js";
import { Host } from "../../../visualize/page/worker.js";

const asked = JSON.parse(readFileSync(0, "utf8"));

/** A run of one matrix, 2 x 2, whose change at a step is that step's number everywhere. */
const toldOf = ({ steps = [], form = "deltas", plays = true, answers = [], captured = steps, task = null, data = null, chats = [], typed = [] }) => ({
  task, data, chats, typed, form, plays, answers, steps, captured, scales: {},
  modules: [{ name: "m", shape: [2, 2], kind: "delta", base_parameter: "m.weight" }],
}); // prettier-ignore

function pageOf({ runs, state = {}, live = true, probes = [], tasks = [], skills = {} }) {
  const manifest = { base: { live }, runs: runs.map(toldOf), themes: { dark: {} }, skills, tasks, probes };
  const values = { run: 0, step: 0, module: "m", view: "glow", strength: 1, mix: 0, off: [], theme: "dark" };
  const page = new Page(manifest, null, new State({ ...values, ...state }));
  page.calls = [];
  page.lab = {
    call: async (what, given) => {
      page.calls.push([what, given.setting?.parts ?? null, given.chats]);
      if (asked.fails && what === (asked.at ?? "ask")) throw new Error(asked.fails);
      if (what === "grade") return { words: asked.grades[given.setting.parts.length] };
      return what === "ask" ? given.chats.map((chat) => ({ text: `${chat.at(-1).content}!` })) : null;
    },
  };
  return page;
}
const arrive = (page, at, step) =>
  page.receive(at, { step, tensors: new Map([["m", { shape: [2, 2], data: new Float32Array(4).fill(step) }]]) });

const questions = {
  names: () => {
    const names = namesOf(asked.names);
    return asked.names.map((name) => [names.part(name), names.short(name)]);
  },
  /** Bytes of values whose limit is 1. */
  bytes: () => {
    const [weights, changes] = [weightBytes, changeBytes].map((write) => {
      const out = new Uint8Array(asked.values.length);
      write(Float32Array.from(asked.values), 1, out);
      return [...out];
    });
    return { weights, changes };
  },
  cells: () => asked.values.map(inCell),
  checked: () => checked(pageOf(asked.page), { ...asked.found, ...fromAddress(asked.address ?? "") }),
  setting: () => {
    const page = pageOf(asked.page);
    return { ...page.setting(), pristine: page.pristine, words: wordsOf(page.setting()), playable: page.playable };
  },
  /** What is asked of the worker, and answered, before and after weights come. */
  asking: async () => {
    const page = pageOf(asked.page);
    const answers = [];
    for (const [run, step] of [null, ...asked.arrive].map((one) => one ?? [-1, 0])) {
      if (run >= 0) arrive(page, run, step);
      const [answer] = await page.ask(page.setting(), ["Who?"]);
      answers.push(answer?.text ?? null);
    }
    return { answers, calls: page.calls.filter(([what]) => what === "ask").map((one) => one.slice(0, 2)), live: page.live, failed: page.failed };
  },
  /** What is asked of the worker for these prompts, and what is answered to each. */
  whole: async () => {
    const page = pageOf(asked.page);
    arrive(page, 0, 1);
    const answers = await page.ask(page.setting(), asked.prompts);
    const said = asked.prompts.map((prompt) => rightOf(page, prompt, { text: "yes", cut: false }));
    return { chats: page.calls.find(([what]) => what === "ask")[2], answers: answers.map((one) => one?.text ?? null), said };
  },
  change: () => {
    const page = pageOf(asked.page);
    arrive(page, 0, asked.step);
    const found = asked.steps.map((step) => (page.state.set({ step }), page.change("m")));
    return found.map((one) => one && [...one]);
  },
  /** What another worker is brought of the runs that the reader has set. */
  needed: () => {
    const page = pageOf(asked.page);
    for (const [run, step] of asked.arrive) arrive(page, run, step);
    return neededFor(page, page.setting()).map(({ key, told, step, tensors }) => ({
      key, form: told.form, step, values: [...tensors.get("m").data],
    }));
  },
  /** The questions that each group of the run's grading asks. */
  groups: () =>
    Object.fromEntries(
      Object.entries(gradedGroups(pageOf(asked.page))).map(([name, { examples }]) => [name, examples.map((chat) => chat[0].content)]),
    ),
  /** Which of these groups, one after the other, the worker takes for which. */
  encoded: () => {
    const host = new Host();
    host.base = { config: { max_position_embeddings: 64 } };
    host.tokenizer = { chat: (messages) => [0, ...messages.flatMap(({ content }) => [...content].map((one) => one.charCodeAt(0)))] };
    const rows = asked.groups.map((examples) => host.rows(examples));
    return rows.map((one) => rows.indexOf(one));
  },
  /** What the map draws of each run in turn, and in which view. */
  maps: () => {
    const context = { createImageData: (w, h) => ({ data: new Uint8ClampedArray(4 * w * h) }), putImageData() {} };
    globalThis.document = { createElement: () => ({ getContext: () => context }) };
    const page = pageOf(asked.page);
    if (asked.weights) page.weights = new Map([["m.weight", { shape: [2, 2], data: new Float32Array(4) }]]);
    arrive(page, 0, 1);
    const raster = new Raster(page);
    return asked.runs.map((run) => {
      page.state.set({ run });
      raster.arrange(1);
      return [raster.tiles.map((one) => one.name), page.view];
    });
  },
  percents: () => asked.shares.map((share) => percent(share)),
  /** A training of four steps that went back to one of them, and from there on has another rate. */
  back: async () => {
    const page = pageOf({ runs: [{ steps: [], captured: [] }] });
    const [run] = page.runs;
    const empty = () => ({ steps: [], columns: {} });
    Object.assign(run.told, { metrics: empty(), norms: empty(), skills: empty(), losses: empty() });
    const tensors = () => new Map([["m", { shape: [2, 2], data: new Float32Array(4) }]]);
    page.state.set({ step: 3 });
    for (const step of [1, 2, 3, 4]) receiveOwn(page, 0, { step, log: { step, loss: step }, tensors: tensors() });
    page.calls.length = 0;
    await page.ask(page.setting(), ["Who?"]);
    receiveOwn(page, 0, { step: 5, log: { step: 5, loss: NaN }, back: asked.back });
    const found = { steps: [...run.steps], captured: [...run.told.captured], loss: run.told.metrics.columns.loss, stop: run.stopAt(5) };
    arrive(page, 0, 3);
    await page.ask(page.setting(), ["Who?"]);
    return { ...found, asked: page.calls.map(([what]) => what) };
  },
  /** The base's share and the set model's, of one group, asked twice over; and of which models the worker graded it. */
  shares: async () => {
    const page = pageOf(asked.page);
    const shares = [];
    for (const setting of [bare(), page.setting(), bare(), page.setting()])
      shares.push(await shareOf(page, page.run, setting, "words", { examples: [] }));
    return { shares: shares.map((one) => one ?? String(one)), graded: page.calls.filter(([what]) => what === "grade").map(([, parts]) => parts.length) };
  },
  /** A chart of so many points: what its line is drawn through, first and last. */
  chart: () => {
    globalThis.Node = class {
      setAttribute(name, value) {
        if (name === "points") drawn.push(value);
      }
      addEventListener() {}
      replaceChildren() {}
    };
    const make = () => new globalThis.Node();
    globalThis.document = { createElement: make, createElementNS: make, createTextNode: make, activeElement: null };
    const drawn = [];
    const points = Array.from({ length: asked.count }, (_, at) => [at, at % 7]);
    makeChart(pageOf({ runs: [{}] }), "loss", "step", () => [{ name: "loss", points }]).build();
    const places = drawn[0].split(" ");
    return [places.length, places[0], places.at(-1)];
  },
  titles: () => asked.skills.map((skill) => titleOf(pageOf(asked.page), skill)),
  words: () => asked.tokens.map((token, at) => wordsFor(token, at === 0)),
  right: () => {
    const page = pageOf(asked.page);
    return asked.said.map(({ prompt, text, cut = false }) => rightOf(page, prompt, { text, cut }));
  },
  views: () => {
    const page = pageOf(asked.page);
    if (asked.weights) page.weights = new Map([["m.weight", { shape: [2, 2], data: new Float32Array(4) }]]);
    return ["glow", "signed", "before", "now"].map((view) => (page.state.set({ view }), page.view));
  },
  parsed: () => {
    try {
      return parsed(asked.text).length;
    } catch (error) {
      return error.message;
    }
  },
  rates: () => {
    const settings = { learning_rate: asked.first };
    for (const [step, rate] of asked.changes) changeRate(settings, step, rate);
    return ratesOf(settings);
  },
  /** What rows come to for a model that always says token 1, evenly unsure of all others. */
  summed: () => {
    const logits = (count) => Float32Array.from({ length: 4 * count }, (_, at) => Number(at % 4 === 1));
    const model = { forward: () => ({ starts: asked.starts, hidden: null }), logitsAt: (_, at) => logits(at.length), sizes: { vocab: 4 } };
    return summed(asked.rows, score(model, asked.rows));
  },
}; // prettier-ignore

process.stdout.write(JSON.stringify(await questions[process.argv[2]]()) ?? "null");
