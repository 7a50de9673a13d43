// Where did it change? The whole model, a pixel a weight; to zoom into until the cells carry their numbers.

import { choice, fill, h, number, table } from "../dom.js";
import { glowColour, signedColour } from "../colours.js";
import { pixelOf, weightAt } from "../layout.js";
import { layerOf } from "../naming.js";
import { valueAt } from "../run.js";
import { Raster } from "../raster.js";
import { wordsOf } from "../setting.js";
import { follow, MODEL } from "./follow.js";
import { gestures } from "./gestures.js";
import { saveCanvas } from "./keep.js";
import { inCell, makeReader } from "./reading.js";

/** @typedef {import("../layout.js").Tile} Tile */

const UNHELD = "the page holds no weights of this run";
const NUMBERED = 34; // CSS pixels of a cell that has room for its number

/** @param {import("../page.js").Page} page */
export function makeMap(page) {
  const { state } = page;
  const raster = new Raster(page);
  const { changed, read, valueOf } = makeReader(page);
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-describedby": "map-reading" });
  const tip = h("div", { class: "tip", hidden: true });
  const absent = h("p", { class: "absent" });
  const reading = h("p", { id: "map-reading", class: "hidden", "aria-live": "polite" });
  const views = choice("What the pixels show", /** @type {any} */ ([["glow", "what changed"], ["signed", "which way"], ["before", "before"], ["now", "now"]]), (view) => state.set({ view })); // prettier-ignore
  const legend = h("span", { class: "legend" });
  const tools = h(
    "div",
    { class: "maptools" },
    views.element,
    legend,
    h("span", { class: "zooms" },
      h("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(2) }, "+"),
      h("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(0.5) }, "−"),
      h("button", { type: "button", "aria-label": "The whole model", onclick: fit }, "⤢"),
      h("button", { type: "button", "aria-label": "Save the map as a picture", onclick: () => saveCanvas(raster.canvas, `${page.run.told.name}-${wordsOf(page.setting())}.png`) }, "PNG")),
  ); // prettier-ignore
  const data = h("div", {});
  const details = h("details", { class: "astable", ontoggle: () => showTable() }, h("summary", {}, "as a table"), data);
  tools.append(details);
  const element = h("div", { class: "map" }, h("div", { class: "canvasbox" }, canvas, absent, tip), tools, reading);
  const camera = { x: 0, y: 0, scale: 1, fitted: true };
  /** @type {{tile: Tile, row: number, column: number} | null} */
  let cursor = null;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));

  /** The scale at which all is seen. */
  const whole = () => Math.min(canvas.clientWidth / raster.width, canvas.clientHeight / raster.height);
  function fit() {
    camera.fitted = true;
    redraw();
  }
  /** @param {number} by @param {number} [x] CSS pixels of the canvas, which stay where they are @param {number} [y] */
  function zoom(by, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(Math.max(camera.scale * by, whole()), 90);
    camera.fitted = scale <= whole() * 1.001;
    camera.x += x / camera.scale - x / scale;
    camera.y += y / camera.scale - y / scale;
    camera.scale = scale;
    redraw();
  }
  /** @param {number} dx @param {number} dy */
  function pan(dx, dy) {
    camera.x -= dx / camera.scale;
    camera.y -= dy / camera.scale;
    redraw();
  }

  function resize() {
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (width && height && (canvas.width !== width || canvas.height !== height))
      [canvas.width, canvas.height] = [width, height];
    return ratio;
  }
  function settle() {
    if (camera.fitted) {
      camera.scale = whole();
      camera.x = (raster.width - canvas.clientWidth / camera.scale) / 2;
      camera.y = (raster.height - canvas.clientHeight / camera.scale) / 2;
    } else {
      const keep = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ seen) =>
        seen >= size ? (size - seen) / 2 : Math.min(Math.max(at, 0), size - seen);
      camera.x = keep(camera.x, raster.width, canvas.clientWidth / camera.scale);
      camera.y = keep(camera.y, raster.height, canvas.clientHeight / camera.scale);
    }
    element.classList.toggle("zoomed", !camera.fitted);
  }
  /** Only where the picture lies; its pixels stay. */
  function frame() {
    if (!raster.tiles.length) return;
    const ratio = resize();
    settle();
    const { x, y, scale } = camera;
    element.classList.add("drawn");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = page.palette.background;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = scale * ratio < 1;
    context.imageSmoothingQuality = "medium";
    context.drawImage(
      raster.canvas,
      -x * scale * ratio,
      -y * scale * ratio,
      raster.width * scale * ratio,
      raster.height * scale * ratio,
    );
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    frames();
    if (scale >= NUMBERED) numbers();
  }
  const toScreen = (/** @type {number} */ left, /** @type {number} */ top) => [
    (left - camera.x) * camera.scale,
    (top - camera.y) * camera.scale,
  ];

  /** Outlines and names of the matrices; the chosen one in the colour of a change. */
  function frames() {
    const { palette } = page;
    const { part, short } = page.namesOf();
    const off = new Set(state.get("off"));
    context.lineWidth = 1;
    for (const tile of raster.tiles) {
      const [left, top] = toScreen(tile.left, tile.top);
      const [width, height] = [tile.columns * camera.scale, tile.rows * camera.scale];
      const chosen = tile.name === state.get("module");
      context.strokeStyle = chosen ? palette.foreground : palette.grid;
      context.globalAlpha = 1;
      if (width > 6) context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
      if (off.has(tile.name)) {
        context.strokeStyle = palette.muted;
        context.beginPath();
        context.moveTo(left, top);
        context.lineTo(left + width, top + height);
        context.stroke();
      }
      if (width > 58 && height > 22) {
        context.font = "12px system-ui, sans-serif";
        const first = layerOf(tile.name) === null || tile.left < 12;
        const text = first && width > 90 ? short(tile.name) : part(tile.name);
        const room = context.measureText(text).width;
        if (room + 9 > width) continue; // it would run into the next one's
        context.globalAlpha = 0.78;
        context.fillStyle = palette.background;
        context.fillRect(left, top, room + 9, 16);
        context.globalAlpha = 1;
        context.fillStyle = chosen ? palette.foreground : palette.muted;
        context.fillText(text, left + 4, top + 12);
      }
    }
    if (cursor) {
      const { tile, row, column } = cursor;
      const [px, py] = pixelOf(tile, row, column);
      const [left, top] = toScreen(tile.left + px, tile.top + py);
      const size = Math.max(camera.scale, 7);
      context.strokeStyle = palette.foreground;
      context.lineWidth = 2;
      context.strokeRect(left - (size - camera.scale) / 2, top - (size - camera.scale) / 2, size, size);
    }
  }

  /** In every cell that is seen, what it shows. */
  function numbers() {
    const { scale } = camera;
    context.font = `${Math.min(13, scale / 4.2)}px ui-monospace, monospace`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [right, bottom] = [camera.x + canvas.clientWidth / scale, camera.y + canvas.clientHeight / scale];
    for (const tile of raster.tiles) {
      const [x0, y0] = [Math.max(tile.left, Math.floor(camera.x)), Math.max(tile.top, Math.floor(camera.y))];
      const [x1, y1] = [Math.min(tile.left + tile.columns, right), Math.min(tile.top + tile.rows, bottom)];
      if (x0 >= x1 || y0 >= y1) continue; // none of it is seen, and its change may take a product of matrices
      const change = changed(tile.name);
      for (let y = y0; y < y1; y++) {
        for (let x = x0; x < x1; x++) {
          const at = weightAt(tile, x - tile.left, y - tile.top);
          if (!at) continue;
          const value = valueOf(tile, at, change);
          const [px, py] = toScreen(x + 0.5, y + 0.5);
          const colour = raster.pixels?.[y * raster.width + x] ?? 0;
          const light = 0.21 * (colour & 255) + 0.72 * ((colour >> 8) & 255) + 0.07 * ((colour >> 16) & 255);
          context.fillStyle = light > 110 ? "#000" : "#fff";
          context.fillText(inCell(value), px, py);
        }
      }
    }
    context.textAlign = "start";
    context.textBaseline = "alphabetic";
  }

  /** @param {number} x @param {number} y CSS pixels of the canvas */
  function point(x, y) {
    const [mx, my] = [camera.x + x / camera.scale, camera.y + y / camera.scale];
    // Between two matrices it is the nearer one: a finger is wider than the gap.
    const tile = raster.tileAt(mx, my, 10 / camera.scale);
    const inside = (/** @type {number} */ place, /** @type {number} */ size) =>
      Math.min(Math.max(Math.floor(place), 0), size - 1);
    const at = tile && weightAt(tile, inside(mx - tile.left, tile.columns), inside(my - tile.top, tile.rows));
    cursor = tile && at ? { tile, row: at[0], column: at[1] } : null;
    showTip(x, y);
  }
  /** @param {number} x @param {number} y */
  function showTip(x, y) {
    tip.hidden = !cursor;
    if (cursor) {
      fillTip();
      tip.style.setProperty("left", `${Math.min(x + 16, canvas.clientWidth - tip.offsetWidth - 4)}px`);
      tip.style.setProperty(
        "top",
        `${y + 18 + tip.offsetHeight > canvas.clientHeight ? y - tip.offsetHeight - 10 : y + 18}px`,
      );
    }
    frame();
  }

  function fillTip() {
    if (!cursor) return;
    const [[name], ...lines] = read(cursor.tile, cursor.row, cursor.column);
    fill(tip, h("b", {}, name), h("dl", {}, lines.map(([what, value]) => [h("dt", {}, what), h("dd", {}, value)]))); // prettier-ignore
  }
  /** Another step's numbers, or none, where its matrix is drawn no more or elsewhere. */
  function renewTip() {
    if (cursor && !raster.tiles.includes(cursor.tile)) {
      cursor = null;
      tip.hidden = true;
    }
    if (!tip.hidden) fillTip();
  }

  gestures(canvas, {
    zoomed: () => !camera.fitted, zoom, pan,
    point, leave: () => ((cursor = null), (tip.hidden = true), frame()),
    tap: (x, y) => {
      point(x, y);
      if (cursor && page.run.byName.has(cursor.tile.name)) state.set({ module: cursor.tile.name });
    },
  }); // prettier-ignore
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = event.shiftKey ? 10 : 1;
    const move = /** @type {any} */ ({
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    })[event.key];
    if (event.key === "+" || event.key === "=") zoom(2, ...place());
    else if (event.key === "-") zoom(0.5, ...place());
    else if (event.key === "Escape" || event.key === "0") fit();
    else if (event.key === "Enter" && cursor && page.run.byName.has(cursor.tile.name))
      state.set({ module: cursor.tile.name });
    else if (move) step_(move);
    else return;
    event.preventDefault();
  });
  /** @returns {[number, number]} where the cursor is on the screen */
  function place() {
    if (!cursor) return [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const [dx, dy] = pixelOf(cursor.tile, cursor.row, cursor.column);
    return /** @type {any} */ (toScreen(cursor.tile.left + dx + 0.5, cursor.tile.top + dy + 0.5));
  }
  /** @param {Tile} tile */
  const firstOf = (tile) => {
    const [row, column] = weightAt(tile, 0, 0) ?? [0, 0];
    return { tile, row, column };
  };
  /** By a weight where weights are seen, else by a matrix. @param {[number, number]} by */
  function step_(by) {
    if (!cursor) {
      const tile = raster.tiles.find((one) => one.name === state.get("module")) ?? raster.tiles[0];
      if (tile) cursor = firstOf(tile);
    } else if (camera.scale < 3) {
      const at = raster.tiles.indexOf(cursor.tile) + Math.sign(by[0] + by[1]);
      const tile = raster.tiles[(at + raster.tiles.length) % raster.tiles.length];
      cursor = firstOf(tile);
    } else {
      const [x, y] = pixelOf(cursor.tile, cursor.row, cursor.column);
      const { tile } = cursor;
      const at = weightAt(
        tile,
        Math.min(Math.max(x + by[0], 0), tile.columns - 1),
        Math.min(Math.max(y + by[1], 0), tile.rows - 1),
      );
      if (at) cursor = { tile, row: at[0], column: at[1] };
    }
    if (!cursor) return;
    let [x, y] = place();
    if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
      pan(canvas.clientWidth / 2 - x, canvas.clientHeight / 2 - y);
      settle();
      [x, y] = place();
    }
    showTip(x, y);
    reading.textContent = read(cursor.tile, cursor.row, cursor.column).map((pair) => pair.join(" ")).join(", "); // prettier-ignore
  }

  function showLegend() {
    const { view } = page;
    const bar = h("span", { class: "ramp", "aria-hidden": "true" });
    const glow = view === "glow";
    const colours = Array.from({ length: 9 }, (_, at) =>
      glow ? glowColour(page.palette, (at / 8) ** 0.62) : signedColour(page.palette, at / 4 - 1),
    );
    bar.style.setProperty("background", `linear-gradient(90deg, ${colours.join(", ")})`);
    const limit = view === "glow" || view === "signed" ? raster.changeLimit : raster.weightLimit;
    const unheld = page.run.form === "none" && `; ${UNHELD}`;
    if (raster.tiles.length) fill(legend, glow ? "0" : `−${number(limit, 2)}`, bar, number(limit, 2), unheld);
    else fill(legend);
    views.show(view, (one) => page.offers(one));
  }
  function showTable() {
    if (!details.open) return;
    const step = state.get("step");
    const shown = raster.tiles.length ? raster.tiles.filter(({ start }) => start === 0) : page.run.modules;
    fill(data, table(`Every matrix at step ${step}`, ["module", "shape", "norm of its change"],
      shown.map((tile) => [tile.name, tile.shape.join(" × "), page.run.byName.has(tile.name) ? number(valueAt(page.run.told.norms, tile.name, step)) : "not trained"]))); // prettier-ignore
  }

  let idle = false;
  function prepare() {
    if (idle || page.training) return; // a training wants the time in which nobody scrubs
    idle = true;
    const later =
      /** @type {any} */ (globalThis).requestIdleCallback ?? ((/** @type {any} */ work) => setTimeout(work, 16));
    later(function work() {
      idle = false;
      if (element.isConnected && raster.prepare()) prepare();
    });
  }
  function repaint() {
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const drawn = raster.arrange(box.width / box.height);
    const nothing = page.run.form === "none" ? UNHELD : "reading the weights";
    fill(absent, drawn ? "" : nothing);
    element.classList.toggle("drawn", drawn);
    if (!drawn) renewTip();
    else {
      const began = performance.now();
      renewTip();
      raster.paint();
      frame();
      element.dataset.painted = String(performance.now() - began);
      prepare();
    }
    element.dataset.step = String(page.run.steps[page.at] ?? "");
    canvas.setAttribute(
      "aria-label",
      !drawn
        ? nothing
        : `The whole model, a pixel a weight, at step ${state.get("step")}: ${{ glow: "how far each changed", signed: "which way each changed", before: "before training", now: "now" }[/** @type {string} */ (page.view)]}. Arrow keys move, plus and minus zoom.`,
    );
    showLegend();
    showTable();
  }
  const redraw = follow(page, element, ["module"], () => raster.tiles.length && frame());
  const again = follow(page, element, [...MODEL, "view", "ready"], repaint);
  if (typeof ResizeObserver !== "undefined") new ResizeObserver(again).observe(canvas);
  return element;
}
