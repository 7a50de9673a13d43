// Where does each weight lie? A pixel each: a row a layer, its matrices side by side, as the films draw the model.

import { layerOf } from "./naming.js";

/** @typedef {{name: string, shape: number[], layer: number | null, top: number, left: number, rows: number, columns: number, turned: boolean, start: number, size: [number, number]}} Tile
 * rows x columns pixels. start: the first of its columns, where a long matrix goes on in another tile. size: (out, in) of what is drawn, which is a picture where the weights were too many. */

const GAP = 4;

/**
 * @param {{name: string, shape: number[]}[]} modules what is drawn of each: (out, in), or (n)
 * @param {number} aspect of the room there is, width by height
 * @returns {{tiles: Tile[], width: number, height: number}} in the shape that fills that room best
 */
export function layOut(modules, aspect) {
  const rows = blocks(modules);
  const widest = Math.max(...rows.map((row) => row.reduce((sum, box) => sum + box.columns + GAP, 0)));
  let best = null;
  for (const share of [1, 0.8, 0.66, 0.55, 0.45, 0.34, 0.25]) {
    const found = flow(rows, Math.ceil(widest * share) + GAP * 4);
    // How large a pixel would be on a screen of this aspect.
    const scale = Math.min(aspect / found.width, 1 / found.height);
    if (!best || scale > best.scale * 0.999) best = { ...found, scale };
  }
  return /** @type {any} */ (best);
}

/** @param {{name: string, shape: number[]}[]} modules @returns {any[][]} boxes, a row a layer */
function blocks(modules) {
  const layers = [...new Set(modules.map((one) => layerOf(one.name)))].sort((a, b) => (a ?? -1) - (b ?? -1));
  return layers.map((layer) => {
    const inside = modules.filter((one) => layerOf(one.name) === layer);
    const matrices = inside.filter((one) => one.shape.length === 2);
    const high = Math.max(...matrices.map((one) => Math.min(one.shape[0], one.shape[1])), 1);
    const vectors = inside.filter((one) => one.shape.length === 1);
    return [...matrices, ...vectors].map(({ name, shape }) => {
      if (shape.length === 2) {
        const turned = shape[0] > shape[1];
        return {
          name,
          shape,
          layer,
          turned,
          rows: Math.min(...shape),
          columns: Math.max(...shape),
          size: [shape[0], shape[1]],
        };
      }
      const tall = Math.min(shape[0], matrices.length ? high : 128);
      return { name, shape, layer, turned: true, rows: tall, columns: Math.ceil(shape[0] / tall), size: [shape[0], 1] };
    });
  });
}

/** Boxes from left to right, in lines no wider than `most`. @param {any[][]} rows @param {number} most */
function flow(rows, most) {
  /** @type {Tile[]} */
  const tiles = [];
  let top = GAP;
  let width = 0;
  for (const row of rows) {
    let left = GAP;
    let high = 0;
    for (const box of row) {
      if (left > GAP && left + box.columns + GAP > most) {
        top += high + GAP;
        left = GAP;
        high = 0;
      }
      const room = box.shape.length === 2 ? most - 2 * GAP : Infinity;
      for (let start = 0; start < box.columns; start += room) {
        if (start) {
          top += high + GAP;
          left = GAP;
        }
        const columns = Math.min(room, box.columns - start);
        tiles.push({ ...box, columns, start, top, left });
        left += columns + GAP;
        high = Math.max(high, box.rows);
        width = Math.max(width, left);
      }
    }
    top += high + GAP * 2;
  }
  return { tiles, width, height: top };
}

/** Which weight lies at a pixel of a tile: (row of out, column of in), or (index, -1) of a vector; null beside it.
 * @param {Tile} tile @param {number} x @param {number} y @returns {[number, number] | null} */
export function weightAt(tile, x, y) {
  if (tile.shape.length === 1) {
    const at = x * tile.rows + y;
    return at < tile.shape[0] ? [at, -1] : null;
  }
  return tile.turned ? [tile.start + x, y] : [y, tile.start + x];
}

/** The pixel of a tile that a weight lies at, (x, y). @param {Tile} tile @param {number} row @param {number} column @returns {[number, number]} */
export function pixelOf(tile, row, column) {
  if (tile.shape.length === 1) return [Math.floor(row / tile.rows), row % tile.rows];
  return tile.turned ? [row - tile.start, column] : [column - tile.start, row];
}

/** Write a module's bytes, in the order of its weights, to the pixels of a tile. @param {Tile} tile @param {Uint8Array} bytes
 * @param {Uint8Array} picture @param {number} width of the picture */
export function inlay(tile, bytes, picture, width) {
  const { top, left, columns, start } = tile;
  const [out, into] = tile.size;
  if (tile.shape.length === 1) {
    for (let at = 0; at < out; at++)
      picture[(top + (at % tile.rows)) * width + left + Math.floor(at / tile.rows)] = bytes[at];
  } else if (!tile.turned) {
    for (let row = 0; row < out; row++)
      picture.set(bytes.subarray(row * into + start, row * into + start + columns), (top + row) * width + left);
  } else {
    for (let column = 0; column < into; column++) {
      const to = (top + column) * width + left;
      for (let row = 0; row < columns; row++) picture[to + row] = bytes[(start + row) * into + column];
    }
  }
}
