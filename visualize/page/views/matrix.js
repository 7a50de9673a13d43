// What happened in one matrix? W, and its change as B times A, with each rank-one component to switch on and off.

import { fill, h, number } from "../dom.js";
import { signedColour } from "../colours.js";
import { strengthsOf } from "../spectrum.js";
import { follow, MODEL } from "./follow.js";
import { saveCanvas } from "./keep.js";

/** @param {import("../page.js").Page} page */
export function makeMatrix(page) {
  const { state } = page;
  const choose = h("select", { "aria-label": "Matrix", onchange: () => state.set({ module: choose.value }) });
  const pictures = h("div", { class: "pictures" });
  const list = h("div", { class: "components", role: "group", "aria-label": "Rank-one components, strongest first" });
  const about = h("p", { class: "what" });
  const element = h(
    "section",
    { class: "panel matrix", "aria-label": "One matrix" },
    h("h2", {}, "One matrix ", choose),
    about,
    pictures,
    h("h3", {}, "its components, strongest first"),
    list,
  );

  function build() {
    const { short } = page.namesOf();
    const options = (/** @type {number} */ axes) =>
      page.run.modules
        .filter((one) => one.shape.length === axes)
        .map((one) => h("option", { value: one.name }, short(one.name)));
    const vectors = options(1);
    fill(choose, options(2), vectors.length > 0 && h("optgroup", { label: "vectors" }, vectors));
  }
  function show() {
    const { run } = page;
    const name = state.get("module");
    choose.value = name;
    const module = run.byName.get(name);
    if (!module || module.shape.length !== 2) {
      fill(pictures);
      fill(about, module ? [`A vector of ${module.shape.join(" × ")} weights. `, normOf(page.change(name))] : "");
      return;
    }
    const [out, into] = module.shape;
    const factors = run.factors(page.at, name);
    const change = page.change(name);
    const shape = run.drawn(name) ?? [out, into];
    const weight = page.grounded ? page.weights?.get(module.base_parameter) : null;
    const shown = change ?? new Float32Array(shape[0] * shape[1]);
    fill(
      pictures,
      weight && figure("W", "before", weight.data, out, into),
      factors && [
        figure("B", `${factors.out} × ${factors.r}`, factors.B, factors.out, factors.r),
        figure("A", `${factors.r} × ${factors.into}`, factors.A, factors.r, factors.into),
      ],
      figure(factors ? "B A" : "ΔW", "the change", shown, shape[0], shape[1]),
    );
    fill(about, `${out} × ${into} weights. `, run.form === "pictures" ? "" : normOf(change));
  }
  /** @param {Float32Array | null} change */
  function normOf(change) {
    if (!change) return "";
    let sum = 0;
    for (const value of change) sum += value * value;
    return `Norm of the change now: ${number(Math.sqrt(sum))}.`;
  }

  /** One matrix as a picture, centred on zero. @param {string} symbol @param {string} words @param {ArrayLike<number>} values @param {number} rows @param {number} columns */
  function figure(symbol, words, values, rows, columns) {
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const limit = strongest(values);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const image = context.createImageData(columns, rows);
    const ramp = Array.from({ length: 513 }, (_, at) =>
      (signedColour(page.palette, at / 256 - 1).match(/\d+/g) ?? []).map(Number),
    );
    for (let at = 0; at < rows * columns; at++) {
      const share = limit ? Math.max(-1, Math.min(1, values[at] / limit)) : 0;
      const colour = ramp[Math.round(256 + 256 * Math.sign(share) * Math.abs(share) ** 0.75)];
      image.data.set([colour[0], colour[1], colour[2], 255], at * 4);
    }
    context.putImageData(image, 0, 0);
    const reading = h("span", { class: "reading" });
    const locate = (/** @type {PointerEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.min(rows - 1, Math.floor(((event.clientY - box.top) / box.height) * rows));
      const column = Math.min(columns - 1, Math.floor(((event.clientX - box.left) / box.width) * columns));
      fill(reading, `[${row}, ${column}] ${number(values[row * columns + column], 4)}`);
    };
    canvas.addEventListener("pointermove", locate);
    canvas.addEventListener("pointerdown", locate);
    canvas.setAttribute("role", "img");
    canvas.setAttribute(
      "aria-label",
      `${symbol}, ${words}: ${rows} rows, ${columns} columns, largest magnitudes near ${number(limit)}`,
    );
    const kind = { W: "W", B: "B", A: "A" }[symbol] ?? "delta";
    const made = h("figure", { class: `thin-${Math.min(rows, columns) < 40 ? (rows < columns ? "wide" : "tall") : "no"}` }, canvas,
      h("figcaption", {}, h("b", { class: `ink-${kind}` }, symbol), ` ${words} `, h("span", { class: "range" }, `±${number(limit, 2)}`), reading,
        h("button", { type: "button", class: "quiet small", "aria-label": `Save the picture of ${symbol}`, onclick: () => saveCanvas(canvas, `${page.run.told.name}-${state.get("module")}-${symbol.replace(" ", "")}.png`) }, "PNG"))); // prettier-ignore
    made.style.setProperty("--ratio", String(columns / rows));
    return made;
  }

  // --- components -------------------------------------------------------------------------------------

  function showComponents() {
    const { run } = page;
    const name = state.get("module");
    const sizes = strengthsOf(run, page.at, name);
    const off = new Set(state.get("off"));
    if (!sizes.length)
      fill(
        list,
        h(
          "p",
          { class: "what" },
          run.byName.get(name)?.shape.length === 1
            ? "A vector: it has no components."
            : run.form === "none" || run.form === "pictures"
              ? "Not in this page."
              : "Nothing has moved yet.",
        ),
      );
    else
      fill(
        list,
        sizes.map((size, at) =>
          row(size, sizes[0], run.form === "pictures" ? null : { on: !off.has(`${name}#${at}`), at }),
        ),
      );
  }
  /** @param {number} s @param {number} most @param {{on: boolean, at: number} | null} turn */
  function row(s, most, turn) {
    const bar = h("span", { class: "bar" });
    bar.style.setProperty("--share", String(most ? s / most : 0));
    if (!turn) return h("div", { class: "component" }, bar, h("span", { class: "value" }, number(s)));
    const about = {
      type: "button",
      class: "component",
      "data-focus": `component ${turn.at}`,
      "aria-pressed": String(turn.on),
      "aria-label": `component ${turn.at + 1}, strength ${number(s)}, ${turn.on ? "on" : "off"}`,
      onclick: () => toggle(`${state.get("module")}#${turn.at}`),
    };
    return h("button", about, h("span", { class: "nth" }, turn.at + 1), bar, h("span", { class: "value" }, number(s)));
  }

  follow(page, element, ["run", "arrived"], build);
  follow(page, element, [...MODEL, "module"], show);
  /** A component is a place in the order of strength: at another step it is another direction. @param {string} key */
  function toggle(key) {
    const off = new Set(state.get("off"));
    if (!off.delete(key)) off.add(key);
    state.set({ off: [...off] });
  }
  follow(page, element, ["run", "step", "module", "off", "arrived"], showComponents);
  return element;
}

/** All but a thousandth of the magnitudes stay below it. @param {ArrayLike<number>} values */
function strongest(values) {
  const sample = [];
  const every = Math.max(1, Math.floor(values.length / 8000));
  for (let at = 0; at < values.length; at += every) sample.push(Math.abs(values[at]));
  sample.sort((a, b) => a - b);
  return sample[Math.floor(sample.length * 0.998)] || sample[sample.length - 1] || 0;
}
