// What does one weight say? What it was, how far it was moved, what it is now: as the map shows it and its tip tells it.

import { number } from "../dom.js";

/** @typedef {import("../layout.js").Tile} Tile */

/** @param {import("../page.js").Page} page */
export function makeReader(page) {
  /** @param {string} name */
  const changed = (name) => (page.run.byName.has(name) ? page.change(name) : null);
  /** @param {Tile} tile @param {[number, number]} at @param {Float32Array | null} change */
  function valueOf(tile, at, change) {
    const place = at[1] < 0 ? at[0] : at[0] * tile.size[1] + at[1];
    const base = baseOf(tile, place);
    if (page.view === "before") return base;
    const moved = change ? change[place] : 0;
    return page.view === "now" && base !== null ? base + moved : moved;
  }
  /** @param {Tile} tile @param {number} place */
  function baseOf(tile, place) {
    if (!page.grounded) return null;
    const weight = page.weights?.get(page.run.byName.get(tile.name)?.base_parameter ?? `${tile.name}.weight`);
    return weight ? weight.data[place] : null;
  }

  /** One weight's change, without its whole matrix where the reader has set nothing but the strength.
   * @param {Tile} tile @param {number} row @param {number} column @param {number} place */
  function movedAt(tile, row, column, place) {
    const setting = page.setting();
    if (!page.has(setting)) return null;
    if (setting.off.length || setting.parts.length > 1) return changed(tile.name)?.[place] ?? 0;
    return setting.strength * (page.run.one(page.at, tile.name, row, column) ?? 0);
  }
  /** @param {Tile} tile @param {number} row @param {number} column @returns {[string, string][]} */
  function read(tile, row, column) {
    const place = column < 0 ? row : row * tile.size[1] + column;
    const base = baseOf(tile, place);
    const moved = movedAt(tile, row, column, place);
    const absent = page.run.form === "none" ? "not in this page" : "…";
    const where = page.run.form === "pictures" ? "a block's mean" : `[${column < 0 ? row : `${row}, ${column}`}]`;
    return [
      [`${page.namesOf().short(tile.name)} ${where}`, ""],
      ["before", base === null ? "not in this page" : number(base, 4)],
      ["change", moved === null ? absent : (moved > 0 ? "+" : "") + number(moved, 4)],
      ["now", base === null || moved === null ? "–" : number(base + moved, 4)],
    ];
  }
  return { changed, valueOf, read };
}

/** A weight's number, as short as a cell is small: ".05", "−1.2". @param {number | null} value */
export function inCell(value) {
  if (value === null) return "";
  if (value === 0) return "0";
  const text = value.toFixed(Math.abs(value) < 0.0995 ? 3 : 2);
  return text.replace("-", "−").replace(/^(−?)0\./, "$1.");
}
