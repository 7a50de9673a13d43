// What is on the page? Rooms, each made of views that follow one state. Also the door for a notebook or a live run.

import { h, fill } from "./dom.js";
import { doorOf } from "./door.js";
import { Remote, startWorker } from "./lab.js";
import { checked, firstState, Page, ROOMS } from "./page.js";
import { fromAddress, linkedInitial, State, toAddress } from "./state.js";
import { makeTouchRoom } from "./views/touch.js";
import { makeOverviewRoom } from "./views/overview.js";
import { makeTrainRoom } from "./views/train.js";

/**
 * Open the page in an element: the manifest first, then the model, then its steps as they are unpacked.
 * @param {HTMLElement} root @param {any} source a PageSource, or whatever has its methods
 */
export async function open(root, source) {
  try {
    const started = performance.now();
    const manifest = await source.manifest();
    const page = new Page(manifest, source, new State(firstState(manifest)));
    page.state.set(checked(page, fromAddress(location.hash)));
    page.state.tell();
    build(root, page);
    await load(page, () => {
      root.dataset.ready = String(Math.round(performance.now() - started));
      page.state.set({ ready: true });
    });
    root.dataset.whole = String(Math.round(performance.now() - started));
    page.state.set({ whole: true });
    return page;
  } catch (error) {
    fill(
      root,
      h(
        "p",
        { class: "opening", role: "alert" },
        `This page could not be opened: ${error instanceof Error ? error.message : error}`,
      ),
    );
    throw error;
  }
}

/** @param {HTMLElement} root @param {Page} page */
function build(root, page) {
  const { state } = page;
  root.classList.add("glasstune");
  const rooms = /** @type {Record<string, any>} */ ({
    touch: makeTouchRoom,
    train: makeTrainRoom,
    overview: makeOverviewRoom,
  });
  const names = Object.keys(ROOMS).filter((name) => name !== "train" || page.taught);
  /** @type {Record<string, any>} */
  const made = {};
  const tabs = names.map((name) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": "room",
        onclick: () => state.set({ room: name, playing: false }),
      },
      /** @type {any} */ (ROOMS)[name],
    ),
  );
  const room = h("main", { id: "room", role: "tabpanel", tabindex: "-1" });
  const themes = h("button", {
    type: "button",
    class: "quiet",
    onclick: () => state.set({ theme: state.get("theme") === "dark" ? "light" : "dark" }),
  });
  const link = h("button", { type: "button", class: "quiet", onclick: () => copyLink(link, page) }, "Copy link");
  const which = h("span", { class: "which" });
  const going = h("span", { class: "going", role: "status" });
  const list = h(
    "div",
    {
      class: "tabs",
      role: "tablist",
      "aria-label": "Rooms",
      onkeydown: (/** @type {KeyboardEvent} */ event) => turnTabs(event, tabs),
    },
    tabs,
  );
  fill(root, h("header", {}, h("a", { class: "brand", href: "#", onclick: (/** @type {Event} */ event) => { event.preventDefault(); state.set({ ...linkedInitial(state), theme: state.get("theme") }); } }, "glasstune"), which, going, list, h("span", { class: "tools" }, themes, doorOf() === "frame" ? null : link)), room); // prettier-ignore

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
    for (const [name, value] of Object.entries(page.palette))
      if (typeof value === "string") root.style.setProperty(`--${name}`, value);
    document.documentElement.style.setProperty("background", page.palette.background);
    document.documentElement.style.setProperty("color-scheme", theme);
  }
  function showRun() {
    const { told } = page.run;
    fill(
      which,
      page.present.length > 1
        ? h("select", { "aria-label": "Run", "data-focus": "run", onchange: (/** @type {any} */ event) => page.choose(Number(event.target.value)) },
            page.present.map((run) => h("option", { value: page.runs.indexOf(run), selected: run === page.run }, `${run.told.what} (${run.told.name})`)))
        : told.what,
    ); // prettier-ignore
  }
  /** Of a training that goes on: how far it is. */
  function showGoing() {
    const { metrics, info, captured } = page.runs[0].told;
    const all = info.settings?.steps ?? info.capture?.steps;
    const step = Math.max(metrics.steps.at(-1) ?? 0, captured.at(-1) ?? 0);
    going.hidden = !page.manifest.training;
    going.classList.toggle("rests", !page.training || state.get("heard") === false);
    if (!page.training) fill(going, `training ${page.runs[0].told.status}`);
    else if (state.get("heard") === false) fill(going, "nothing is heard of the training any more");
    else fill(going, `training: step ${step}${all ? ` of ${all}` : ""}`);
  }
  showTheme();
  showRun();
  showRoom();
  showGoing();
  state.watch(["arrived", "heard"], showGoing);
  state.watch(["room"], showRoom);
  state.watch(["theme"], showTheme);
  state.watch(["run", "runs"], showRun);
  state.watch(Object.keys(state.values), () => keepAddress(page));
  addEventListener("hashchange", () => {
    const initial = linkedInitial(state);
    state.set({ ...initial, ...checked(page, { ...initial, ...fromAddress(location.hash) }) });
  });
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
    const text = addressOf(page);
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // a frame without an address of its own
    }
  }, 200);
}

/** What is shown, as far as the file has it: a training of this tab is in no other. @param {Page} page */
const addressOf = ({ run, state }) => (run.told.own ? "room=train" : toAddress(state));

/** @param {any} button @param {Page} page */
async function copyLink(button, page) {
  if (page.run.told.own) {
    fill(button, "Not in the file: no link");
    setTimeout(() => fill(button, "Copy link"), 4000);
    return;
  }
  const address = location.href.replace(/#.*/, "") + "#" + toAddress(page.state);
  try {
    await navigator.clipboard.writeText(address);
    fill(button, "Copied");
  } catch {
    const field = h("input", {
      class: "address",
      value: address,
      readonly: true,
      "aria-label": "Link to what is shown",
    });
    button.after(field);
    field.select();
    field.addEventListener("blur", () => field.remove());
  }
  setTimeout(() => fill(button, "Copy link"), 2000);
}

/** The base and what the first run came to, then the reader may begin; the other steps follow.
 * @param {Page} page @param {() => void} ready */
async function load(page, ready) {
  const { manifest, source, runs } = page;
  const worker = page.live ? startWorker() : null;
  const last = runs[0].form === "factors" ? [await stepOf(page, 0, runs[0].told.steps.length - 1)] : [];
  if (manifest.base) page.weights = await source.tensors(manifest.base.weights);
  if (worker) {
    page.lab = new Remote(worker);
    page.tell("start", { base: page.base }).then((found) => (page.kernels = found?.kernels ?? null));
    runs.forEach((run, at) => page.tell("run", { key: String(at), told: toldToWorker(run) }));
  }
  for (const [step, tensors] of last) page.receive(0, { step, tensors });
  if (last.length || runs[0].form === "none") ready();
  for (const [index, run] of runs.entries()) {
    for (let at = 0; at < run.told.pieces.length; at++) {
      if (run.steps.includes(run.told.steps[at])) continue;
      const [step, tensors] = await stepOf(page, index, at);
      // Views are told when all is here: telling them each time would make them draw as often.
      run.add(step, tensors);
      page.tell("step", { key: String(index), step, tensors });
    }
    page.receive(index, {});
    if (index === 0 && !last.length) ready();
  }
}

/** @param {Page} page @param {number} index @param {number} at @returns {Promise<[number, Map<string, any>]>} */
async function stepOf(page, index, at) {
  const { told } = page.runs[index];
  return [told.steps[at], await page.source.tensors(told.pieces[at])];
}

/** What a worker needs of a run. @param {import("./run.js").RunData} run */
const toldToWorker = ({ told }) => ({ form: told.form, modules: told.modules, scales: told.scales });
