// What is on the page? Rooms, each made of views that follow one state. Also the door for a notebook or a live run.

import { h, fill } from "./dom.js";
import { newestOnly, Remote, startWorker } from "./lab.js";
import { RunData } from "./run.js";
import { bare, keyOf } from "./setting.js";
import { fromAddress, State, toAddress } from "./state.js";
import { makeTouchRoom } from "./views/touch.js";
import { makeOverviewRoom } from "./views/overview.js";
import { makeTrainRoom } from "./views/train.js";

/** @typedef {import("./setting.js").Setting} Setting */

const ROOMS = { touch: "Touch it", train: "Train it", overview: "Overview" };

export class Page {
  /** @param {any} manifest @param {any} source @param {State} state */
  constructor(manifest, source, state) {
    this.manifest = manifest;
    this.source = source;
    this.state = state;
    /** @type {RunData[]} */
    this.runs = manifest.runs.map((/** @type {any} */ told) => new RunData(told));
    /** @type {Map<string, any> | null} */
    this.weights = null;
    this.live = Boolean(manifest.base?.live);
    /** @type {Remote | null} */
    this.lab = null;
    /** @type {Map<string, any>} */
    this.answers = new Map();
    this.arrived = 0;
  }

  /** The run that is looked at. */
  get run() {
    return this.runs[this.state.get("run")] ?? this.runs[0];
  }

  get palette() {
    return this.manifest.themes[this.state.get("theme")] ?? this.manifest.themes.dark;
  }

  /** The place of the present step among those whose weights are here. */
  get at() {
    return this.run.at(this.state.get("step"));
  }

  /** The model that the reader has set; at another step, if one is given. @param {number} [step] @returns {Setting} */
  setting(step = this.state.get("step")) {
    const mix = this.state.get("mix");
    const index = this.runs.indexOf(this.run);
    const parts = [{ run: String(index), step, share: 1 - mix }];
    const other = this.runs[this.state.get("other")];
    if (mix && other) parts.push({ run: String(this.state.get("other")), step: other.steps[other.steps.length - 1] ?? 0, share: mix });
    return { parts, strength: this.state.get("strength"), off: this.state.get("off"), minus: this.state.get("minus") };
  }

  /** Whether the reader has changed anything of the run's own model. */
  get pristine() {
    const { state } = this;
    return state.get("strength") === 1 && !state.get("mix") && !state.get("off").length && !Object.keys(state.get("minus")).length;
  }

  /** What a model says; each is asked once. @param {Setting} setting @param {string[]} prompts @returns {Promise<any[]>} */
  async ask(setting, prompts) {
    const key = (/** @type {string} */ prompt) => `${keyOf(setting)}\n${prompt}`;
    const missing = prompts.filter((prompt) => !this.answers.has(key(prompt)));
    if (missing.length && this.lab) {
      const found = await this.lab.call("ask", { setting, prompts: missing });
      if (this.answers.size > 20000) this.answers.clear();
      missing.forEach((prompt, at) => this.answers.set(key(prompt), found[at]));
    }
    return prompts.map((prompt) => this.answers.get(key(prompt)));
  }

  /** A new run, from a training in this page or elsewhere. @param {any} told @returns {number} its place */
  addRun(told) {
    this.runs.push(new RunData(told));
    this.lab?.call("run", { key: String(this.runs.length - 1), told });
    this.state.set({ runs: this.runs.length });
    return this.runs.length - 1;
  }

  /** A piece of a run: weights of a step, or lines of its log. Every view that shows it is told.
   * @param {number} index @param {{step?: number, tensors?: Map<string, any>, told?: any}} piece */
  receive(index, { step, tensors, told }) {
    const run = this.runs[index];
    if (told) Object.assign(run.told, told);
    if (step !== undefined && tensors) {
      run.add(step, tensors);
      this.lab?.call("step", { key: String(index), step, tensors });
    }
    this.state.set({ arrived: ++this.arrived });
  }
}

/**
 * Open the page in an element: the manifest first, then the model, then its steps as they are unpacked.
 * @param {HTMLElement} root @param {any} source a PageSource, or whatever has its methods
 * @param {Record<string, any>} [given] state that others set: step, module, strength, ...
 */
export async function open(root, source, given = {}) {
  try {
    const started = performance.now();
    const manifest = await source.manifest();
    const page = new Page(manifest, source, new State({ ...firstState(manifest), ...given }));
    page.state.set(checked(page, fromAddress(location.hash)));
    page.state.tell();
    build(root, page);
    await load(page);
    root.dataset.ready = String(Math.round(performance.now() - started));
    page.state.set({ ready: true });
    return page;
  } catch (error) {
    fill(root, h("p", { class: "opening", role: "alert" }, `This page could not be opened: ${error instanceof Error ? error.message : error}`));
    throw error;
  }
}

/** @param {any} manifest */
function firstState(manifest) {
  const run = manifest.runs[0];
  const steps = run.steps.length ? run.steps : run.captured;
  const dark = typeof matchMedia === "undefined" || !matchMedia("(prefers-color-scheme: light)").matches;
  const moved = run.norms.columns;
  const most = Object.keys(moved).sort((a, b) => (moved[b].at(-1) ?? 0) - (moved[a].at(-1) ?? 0));
  const matrices = run.modules.filter((/** @type {any} */ one) => one.shape.length === 2).map((/** @type {any} */ one) => one.name);
  return {
    room: "touch", run: 0, step: steps.at(-1) ?? 0, module: most.find((name) => matrices.includes(name)) ?? matrices[0] ?? "",
    view: "glow", strength: 1, mix: 0, other: -1, off: [], parts: [], minus: {}, prompt: firstPrompt(run), theme: dark ? "dark" : "light",
    playing: false, arrived: 0, runs: manifest.runs.length, ready: false,
  }; // prettier-ignore
}

/** The question whose answer changed for the better, else one that changed, else the first. @param {any} run */
function firstPrompt(run) {
  const rows = run.answers;
  const steps = [...new Set(rows.map((/** @type {any} */ row) => row.step))];
  const first = rows.filter((/** @type {any} */ row) => row.step === steps[0]);
  const last = new Map(rows.filter((/** @type {any} */ row) => row.step === steps.at(-1)).map((/** @type {any} */ row) => [row.prompt, row]));
  const learned = first.filter((/** @type {any} */ row) => !row.correct && last.get(row.prompt)?.correct);
  // A question that can be read across a hall says more than a long one.
  learned.sort((/** @type {any} */ a, /** @type {any} */ b) => b.prompt.split(" ").length - a.prompt.split(" ").length);
  return learned.find((/** @type {any} */ row) => row.prompt.length < 60)?.prompt ?? first[0]?.prompt ?? "";
}

/** What an address may set: only what there is. @param {Page} page @param {Record<string, any>} found */
function checked(page, found) {
  const clamp = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) => Math.min(Math.max(value, low), high);
  const good = { ...found };
  if (!(found.room in ROOMS)) delete good.room;
  if (!page.runs[found.run]) delete good.run;
  const run = page.runs[good.run ?? 0];
  if (!run.byName.has(found.module)) delete good.module;
  if (!["glow", "signed", "before", "now"].includes(found.view)) delete good.view;
  if (!page.manifest.themes[found.theme]) delete good.theme;
  if (found.strength !== undefined) good.strength = clamp(found.strength, -1, 2);
  if (found.mix !== undefined) good.mix = clamp(found.mix, 0, 1);
  if (found.off) good.off = found.off.filter((/** @type {string} */ name) => run.byName.has(name));
  if (good.mix && page.runs.length > 1) good.other = good.run === 1 ? 0 : 1;
  return good;
}

/** @param {HTMLElement} root @param {Page} page */
function build(root, page) {
  const { state, manifest } = page;
  root.classList.add("glasstune");
  const rooms = /** @type {Record<string, any>} */ ({ touch: makeTouchRoom, train: makeTrainRoom, overview: makeOverviewRoom });
  const names = Object.keys(ROOMS).filter((name) => name !== "train" || page.live);
  /** @type {Record<string, any>} */
  const made = {};
  const tabs = names.map((name) =>
    h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "room", onclick: () => state.set({ room: name, playing: false }) }, /** @type {any} */ (ROOMS)[name]),
  );
  const room = h("main", { id: "room", role: "tabpanel", tabindex: "-1" });
  const themes = h("button", { type: "button", class: "quiet", onclick: () => state.set({ theme: state.get("theme") === "dark" ? "light" : "dark" }) });
  const link = h("button", { type: "button", class: "quiet", onclick: () => copyLink(link, page) }, "Copy link");
  const which = h("span", { class: "which" });
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Rooms", onkeydown: (/** @type {KeyboardEvent} */ event) => turnTabs(event, tabs) }, tabs);
  fill(root, h("header", {}, h("a", { class: "brand", href: "#", onclick: (/** @type {Event} */ event) => { event.preventDefault(); state.set({ ...state.initial, ready: true, runs: page.runs.length, arrived: page.arrived, theme: state.get("theme") }); } }, "glasstune"), which, list, h("span", { class: "tools" }, themes, link)), room); // prettier-ignore

  function showRoom() {
    const name = state.get("room");
    made[name] ??= rooms[name](page);
    fill(room, made[name]);
    room.setAttribute("aria-labelledby", `tab-${name}`);
    names.forEach((one, at) => {
      tabs[at].setAttribute("aria-selected", String(one === name));
      tabs[at].tabIndex = one === name ? 0 : -1;
    });
    root.dataset.room = name;
  }
  function showTheme() {
    const theme = state.get("theme");
    root.dataset.theme = document.documentElement.dataset.theme = theme;
    fill(themes, theme === "dark" ? "Light" : "Dark");
    themes.setAttribute("aria-label", `Use the ${theme === "dark" ? "light" : "dark"} theme`);
    for (const [name, value] of Object.entries(page.palette)) if (typeof value === "string") root.style.setProperty(`--${name}`, value);
    document.documentElement.style.setProperty("background", page.palette.background);
    document.documentElement.style.setProperty("color-scheme", theme);
  }
  function showRun() {
    const { told } = page.run;
    fill(
      which,
      page.runs.length > 1
        ? h("select", { "aria-label": "Run", onchange: (/** @type {any} */ event) => chooseRun(page, Number(event.target.value)) },
            page.runs.map((run, at) => h("option", { value: at, selected: run === page.run }, `${run.told.what} (${run.told.name})`)))
        : told.what,
    ); // prettier-ignore
  }
  showTheme();
  showRun();
  showRoom();
  state.watch(["room"], showRoom);
  state.watch(["theme"], showTheme);
  state.watch(["run", "runs"], showRun);
  state.watch(Object.keys(state.values), () => keepAddress(page));
  addEventListener("hashchange", () => state.set(checked(page, { ...state.initial, ...fromAddress(location.hash) })));
}

/** Another run: its own steps and modules. @param {Page} page @param {number} index */
export function chooseRun(page, index) {
  const run = page.runs[index];
  if (!run) return;
  const { state } = page;
  const module = run.byName.has(state.get("module")) ? state.get("module") : (run.modules.find((one) => one.shape.length === 2)?.name ?? "");
  const last = run.steps.at(-1) ?? run.told.captured.at(-1) ?? 0;
  state.set({ run: index, module, step: Math.min(state.get("step"), last), off: [], minus: {}, parts: [], mix: 0, other: -1 });
}

/** @param {KeyboardEvent} event @param {HTMLElement[]} tabs */
function turnTabs(event, tabs) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const at = (tabs.indexOf(/** @type {any} */ (document.activeElement)) + by + tabs.length) % tabs.length;
  tabs[at].focus();
  tabs[at].click();
}

/** @type {any} */
let addressTimer;

/** @param {Page} page */
function keepAddress(page) {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    if (page.state.get("playing")) return;
    const text = toAddress(page.state);
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // a frame without an address of its own
    }
  }, 200);
}

/** @param {any} button @param {Page} page */
async function copyLink(button, page) {
  const address = location.href.replace(/#.*/, "") + "#" + toAddress(page.state);
  try {
    await navigator.clipboard.writeText(address);
    fill(button, "Copied");
  } catch {
    const field = h("input", { class: "address", value: address, readonly: true, "aria-label": "Link to what is shown" });
    button.after(field);
    field.select();
    field.addEventListener("blur", () => field.remove());
  }
  setTimeout(() => fill(button, "Copy link"), 2000);
}

/** The base, then the workers, then each run's steps, the last one of factors first so that answers come soon. @param {Page} page */
async function load(page) {
  const { manifest, source, runs } = page;
  if (manifest.base) {
    page.weights = await source.tensors(manifest.base.weights);
    page.receive(0, {});
  }
  if (page.live) {
    page.lab = new Remote(startWorker());
    const { weights: _, ...about } = manifest.base;
    const base = { ...about, weights: page.weights };
    page.kernels = (await page.lab.call("start", { base })).kernels;
    runs.forEach((run, at) => page.lab?.call("run", { key: String(at), told: toldToWorker(run) }));
  }
  for (const [index, run] of runs.entries()) {
    const order = run.told.pieces.map((/** @type {any} */ _, /** @type {number} */ at) => at);
    if (run.form === "factors" && order.length > 1) order.unshift(order.pop());
    for (const at of order) page.receive(index, { step: run.told.steps[at], tensors: await source.tensors(run.told.pieces[at]) });
  }
}

/** What a worker needs of a run. @param {RunData} run */
const toldToWorker = ({ told }) => ({ form: told.form, modules: told.modules, scales: told.scales });

export { bare, newestOnly };
