// What are the pixels of the map? Two bytes each, a weight and its change, made once a step and only coloured when shown.

import { changeBytes, lookup, weightBytes, ZERO } from "./colours.js";
import { inlay, layOut } from "./layout.js";
import { moduleOf } from "./setting.js";

/** @typedef {import("./layout.js").Tile} Tile */

export class Raster {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    this.aspect = 2;
    this.canvas = document.createElement("canvas");
    /** @type {Tile[]} */
    this.tiles = [];
    this.width = this.height = 1;
    this.weightLimit = this.changeLimit = 0;
    /** @type {Map<number, Uint8Array>} */
    this.changes = new Map();
    this.ground = new Uint8Array(1);
    this.key = "";
    this.stamp = "";
    /** @type {import("./run.js").RunData | null} */
    this.of = null;
    this.lutKey = "";
    this.lut = new Uint32Array(65536);
  }

  /** Every matrix and vector there is to draw: the run's first, then what it left alone. Beside pictures there is nothing
   * of the base: an empty frame would say that it did not move. */
  modules() {
    const { run } = this.page;
    const weights = this.page.grounded ? this.page.weights : null;
    /** @type {{name: string, shape: number[]}[]} */
    const found = [];
    for (const module of run.modules) {
      const shape = /** @type {number[] | null} */ (
        run.drawn(module.name) ?? weights?.get(module.base_parameter)?.shape ?? null
      );
      if (shape && shape.every((side) => side > 0)) found.push({ name: module.name, shape });
    }
    const seen = new Set(run.modules.map((one) => one.base_parameter));
    for (const [parameter, { shape }] of weights ?? [])
      if (!seen.has(parameter)) found.push({ name: parameter.replace(/\.weight$/, ""), shape });
    return found;
  }

  /** Lay out anew where there is something new to draw, or another shape to fill. @param {number} aspect */
  arrange(aspect) {
    const { run, weights } = this.page;
    const modules = this.modules();
    const key = `${this.page.runs.indexOf(run)} ${modules.length} ${Boolean(weights)} ${aspect > 1.2 ? "wide" : aspect > 0.8 ? "square" : "tall"}`;
    if (key !== this.key) {
      this.key = key;
      this.changes.clear();
      // Where there is nothing to draw, no other run's picture stays.
      Object.assign(this, modules.length ? layOut(modules, aspect) : { tiles: [], width: 1, height: 1 });
      this.canvas.width = this.width;
      this.canvas.height = this.height;
      this.image = /** @type {any} */ (this.canvas.getContext("2d", { alpha: false })).createImageData(
        this.width,
        this.height,
      );
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.ground = this.weightPicture();
    }
    this.rescale();
    return this.tiles.length > 0;
  }

  /** One scale for all steps; a run that is still growing gets a wider one now and then. */
  rescale() {
    const { run } = this.page;
    const last = run.steps.at(-1);
    if (last === undefined || (run.told.steps?.length && last !== run.told.steps.at(-1) && run.form !== "grains"))
      return;
    const stamp = `${this.key} ${run.steps.length} ${last}`;
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    // A run that is looked at while it is trained begins at zero: its scale does not follow it down there.
    const grows = run.told.own || this.page.manifest.training;
    const wanted = Math.max(run.scale(), grows ? this.weightLimit * 0.2 : 0);
    if (this.of === run && this.changeLimit && wanted < this.changeLimit * 1.3 && wanted > this.changeLimit * 0.4)
      return;
    this.of = run;
    this.changeLimit = wanted;
    this.changes.clear();
  }

  weightPicture() {
    const picture = new Uint8Array(this.width * this.height).fill(ZERO);
    const { weights } = this.page;
    if (!weights || !this.page.grounded) return picture;
    /** @type {number[]} */
    const sample = [];
    for (const { data } of weights.values())
      for (let at = 0; at < data.length; at += 97) sample.push(Math.abs(data[at]));
    sample.sort((a, b) => a - b);
    this.weightLimit = sample[Math.floor(sample.length * 0.995)] || 1;
    for (const tile of this.tiles) {
      const weight = weights.get(this.page.run.byName.get(tile.name)?.base_parameter ?? `${tile.name}.weight`);
      if (!weight) continue;
      const bytes = new Uint8Array(weight.data.length);
      weightBytes(weight.data, this.weightLimit, bytes);
      inlay(tile, bytes, picture, this.width);
    }
    return picture;
  }

  /** The changes of a step, as the run has them. @param {number} at the step's place */
  changePicture(at) {
    const key = this.page.run.steps[at];
    const known = this.changes.get(key);
    if (known) return known;
    const picture = new Uint8Array(this.width * this.height).fill(ZERO);
    for (const tile of this.tiles) this.put(tile, this.page.run.delta(at, tile.name), picture);
    this.changes.set(key, picture);
    return picture;
  }

  /** @param {Tile} tile @param {Float32Array | null} delta @param {Uint8Array} picture */
  put(tile, delta, picture) {
    const bytes = new Uint8Array(tile.size[0] * tile.size[1]).fill(ZERO);
    if (delta) changeBytes(delta, this.changeLimit, bytes);
    inlay(tile, bytes, picture, this.width);
  }

  /** The changes of the model that the reader has set, but for its strength. */
  present() {
    const { page } = this;
    const whole = this.changePicture(page.at);
    const setting = { ...page.setting(), strength: 1 };
    const { off } = setting;
    const mixed = setting.parts.length > 1;
    if (!off.length && !mixed) return whole;
    const touched = new Set(off.map(moduleOf));
    const picture = whole.slice();
    for (const tile of this.tiles) {
      if (touched.has(tile.name) || (mixed && page.run.byName.has(tile.name)))
        this.put(tile, page.change(tile.name, setting), picture);
    }
    return picture;
  }

  /** Colour every pixel. Returns false while there is nothing to show. */
  paint() {
    const { page } = this;
    if (!this.tiles.length || !this.pixels) return false;
    const { state } = page;
    const key = [page.view, state.get("theme"), state.get("strength"), this.changeLimit, this.weightLimit].join();
    if (key !== this.lutKey) {
      this.lut = lookup(
        page.palette,
        page.view,
        state.get("strength"),
        this.changeLimit / (this.weightLimit || this.changeLimit || 1),
      );
      this.lutKey = key;
    }
    const { ground, lut, pixels } = this;
    const change = this.changeLimit && page.at >= 0 ? this.present() : null;
    if (change) for (let at = 0; at < pixels.length; at++) pixels[at] = lut[(ground[at] << 8) | change[at]];
    else for (let at = 0; at < pixels.length; at++) pixels[at] = lut[(ground[at] << 8) | ZERO];
    /** @type {any} */ (this.canvas.getContext("2d")).putImageData(this.image, 0, 0);
    return true;
  }

  /** Make the pictures of the steps that were not shown yet, one a call. @returns {boolean} whether there are more */
  prepare() {
    const { run } = this.page;
    if (!this.changeLimit || !this.tiles.length) return false;
    const at = run.steps.findIndex((step) => !this.changes.has(step));
    if (at >= 0) this.changePicture(at);
    return at >= 0;
  }

  /** The tile at a point of the map, or the nearest one at most `slack` away. @param {number} x @param {number} y @param {number} slack
   * @returns {Tile | undefined} */
  tileAt(x, y, slack) {
    const beyond = (/** @type {number} */ at, /** @type {number} */ from, /** @type {number} */ size) =>
      Math.max(from - at, at - from - size, 0);
    const away = (/** @type {Tile} */ tile) =>
      Math.max(beyond(x, tile.left, tile.columns), beyond(y, tile.top, tile.rows));
    const nearest = this.tiles.reduce((best, tile) => (away(tile) < away(best) ? tile : best), this.tiles[0]);
    return nearest && away(nearest) <= slack ? nearest : undefined;
  }
}
