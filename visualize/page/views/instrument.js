// How is the adapter played? Its strength, its layers and modules one by one, and a second adapter mixed in.

import { fill, h, number, percent } from "../dom.js";
import { layerOf } from "../naming.js";
import { valueAt } from "../run.js";
import { follow } from "./follow.js";

/** How much of the change is added: -1 to 2 times. @param {import("../page.js").Page} page @param {string} id */
export function makeDial(page, id) {
  const { state } = page;
  const strength = h("input", {
    type: "range",
    id,
    min: -1,
    max: 2,
    step: 0.05,
    oninput: () => state.set({ strength: Number(strength.value) }),
  });
  const amount = h("output", { for: id });
  const element = h("label", { class: "dial", for: id }, h("span", {}, "strength"), strength, amount);
  follow(page, element, ["strength"], () => {
    strength.value = String(state.get("strength"));
    fill(amount, number(state.get("strength"), 3));
    strength.setAttribute("aria-valuetext", `${number(state.get("strength"))} times the change`);
  });
  return element;
}

/** @param {import("../page.js").Page} page */
export function makeInstrument(page) {
  const { state } = page;
  const mix = h("input", {
    type: "range",
    id: "mix",
    min: 0,
    max: 1,
    step: 0.05,
    oninput: () => state.set({ mix: Number(mix.value) }),
  });
  const share = h("output", { for: "mix" });
  const mixing = h("label", { class: "dial", for: "mix" }, h("span", {}, "mix in "), h("b", {}), mix, share);
  const grid = h("div", { class: "modules", role: "group", "aria-label": "Layers and modules, on or off" });
  const reset = h(
    "button",
    { type: "button", class: "quiet", onclick: () => state.set({ strength: 1, off: [], mix: 0 }) },
    "all as trained",
  );
  const note = h("p", { class: "what" });
  const element = h(
    "section",
    { class: "panel instrument", "aria-label": "The change as an instrument" },
    h("h2", {}, "Play it"),
    note,
    makeDial(page, "strength"),
    h(
      "div",
      { class: "dialmarks", "aria-hidden": "true" },
      ["−1", "0 the base", "1 as trained", "2"].map((text) => h("span", {}, text)),
    ),
    mixing,
    h("h3", {}, "layers and modules"),
    grid,
    reset,
  );

  /** @param {string[]} names @param {boolean} on */
  function turn(names, on) {
    const off = new Set(state.get("off"));
    for (const name of names) on ? off.delete(name) : off.add(name);
    state.set({ off: [...off] });
  }
  /** @param {string[]} names */
  const toggle = (names) =>
    turn(
      names,
      names.every((name) => state.get("off").includes(name)),
    );

  function build() {
    const { run } = page;
    const { part: partOf } = page.namesOf();
    const parts = [...new Set(run.modules.filter((one) => layerOf(one.name) !== null).map((one) => partOf(one.name)))];
    const layers = [...new Set(run.modules.map((one) => layerOf(one.name)))].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
    const named = (/** @type {(one: any) => boolean} */ which) => run.modules.filter(which).map((one) => one.name);
    const cell = (/** @type {any} */ module) =>
      h("td", {}, h("button", { type: "button", class: "cell", "data-module": module.name, onclick: () => toggle([module.name]), onfocus: () => state.set({ module: module.name }) })); // prettier-ignore
    const head = h("tr", {}, h("td", {}), parts.map((part) => h("th", { scope: "col" }, h("button", { type: "button", class: "all", title: `every ${part}`, onclick: () => toggle(named((one) => layerOf(one.name) !== null && partOf(one.name) === part)) }, part)))); // prettier-ignore
    const rows = layers.map((layer) => {
      const inside = run.modules.filter((one) => layerOf(one.name) === layer);
      const title = layer === null ? "outside" : `layer ${layer}`;
      const cells = layer === null ? inside.map(cell) : parts.map((part) => { const one = inside.find((module) => partOf(module.name) === part); return one ? cell(one) : h("td", {}); }); // prettier-ignore
      return h(
        "tr",
        {},
        h(
          "th",
          { scope: "row" },
          h("button", { type: "button", class: "all", onclick: () => toggle(inside.map((one) => one.name)) }, title),
        ),
        cells,
      );
    });
    fill(grid, h("table", {}, h("thead", {}, head), h("tbody", {}, rows)));
  }
  function show() {
    const { run } = page;
    const off = new Set(state.get("off"));
    const step = state.get("step");
    const norms = run.told.norms;
    const most = Math.max(
      ...Object.values(norms.columns).map((/** @type {any} */ column) => Math.max(...column.map(Number))),
      1e-12,
    );
    for (const button of grid.querySelectorAll("button.cell")) {
      const name = /** @type {any} */ (button).dataset.module;
      const norm = valueAt(norms, name, step) ?? 0;
      const on = !off.has(name);
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", `${name}: ${on ? "on" : "off"}, norm of its change ${number(norm)}`);
      button.setAttribute(
        "title",
        `${name}\nnorm of its change ${number(norm)}\n${on ? "on: press to switch it off" : "off: press to switch it on"}`,
      );
      button.style.setProperty("--heat", String(Math.min(1, norm / most)));
      button.classList.toggle("chosen", name === state.get("module"));
    }
    fill(note, page.playable ? "Every answer on this page is computed again as you turn these." : "This run's model does not run in this page: these change the pictures alone."); // prettier-ignore
    mix.value = String(state.get("mix"));
    const other = page.runs[page.otherThan()];
    mixing.hidden = !other;
    if (other) fill(mixing.querySelector("b"), other.told.what);
    fill(share, percent(state.get("mix")));
    reset.disabled = page.pristine;
  }
  follow(page, element, ["run", "arrived"], build);
  follow(page, element, ["run", "step", "strength", "off", "mix", "module", "runs", "arrived"], show);
  return element;
}
