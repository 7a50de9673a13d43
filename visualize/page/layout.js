// Where does each weight lie? A pixel each: a row a layer, its matrices side by side, as the films draw the model.

/** @typedef {{name: string, shape: number[], layer: number | null, top: number, left: number, rows: number, columns: number, turned: boolean, size: [number, number]}} Tile
 * rows x columns pixels. size: (out, in) of what is drawn, which is a picture where the weights were too many. */

const GAP = 4;

/** The number of the layer of a module: 2 of "model.layers.2.mlp.up_proj". @param {string} name @returns {number | null} */
export function layerOf(name) {
  const found = /\.(\d+)\./.exec(name);
  return found ? Number(found[1]) : null;
}

/** What a lecturer calls it: "q", "gate", "embed tokens". @param {string} name */
export function partOf(name) {
  return (name.split(".").pop() ?? name).replace(/_proj$/, "").replace(/_/g, " ");
}

/** "layer 1 · q". @param {string} name */
export function shortOf(name) {
  const layer = layerOf(name);
  return layer === null ? partOf(name) : `layer ${layer} · ${partOf(name)}`;
}

/**
 * @param {{name: string, shape: number[]}[]} modules what is drawn of each: (out, in), or (n)
 * @param {number} aspect of the room there is, width by height
 * @returns {{tiles: Tile[], width: number, height: number}} in the shape that fills that room best
 */
export function layOut(modules, aspect) {
  const rows = blocks(modules);
  const widest = Math.max(...rows.map((row) => row.reduce((sum, box) => sum + box.columns + GAP, 0)));
  let best = null;
  for (const parts of [1, 2, 3, 4]) {
    const found = flow(rows, Math.ceil(widest / parts) + GAP * 4);
    // How large a pixel would be on a screen of this aspect.
    const scale = Math.min(aspect / found.width, 1 / found.height);
    if (!best || scale > best.scale * 1.02) best = { ...found, scale };
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
      tiles.push({ ...box, top, left });
      left += box.columns + GAP;
      high = Math.max(high, box.rows);
      width = Math.max(width, left);
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
  return tile.turned ? [x, y] : [y, x];
}

/** Write a tile's bytes, in the order of its weights, to their pixels. @param {Tile} tile @param {Uint8Array} bytes
 * @param {Uint8Array} picture @param {number} width of the picture */
export function place(tile, bytes, picture, width) {
  const [out, into] = tile.size;
  if (tile.shape.length === 1) {
    for (let at = 0; at < out; at++)
      picture[(tile.top + (at % tile.rows)) * width + tile.left + Math.floor(at / tile.rows)] = bytes[at];
  } else if (!tile.turned) {
    for (let row = 0; row < out; row++)
      picture.set(bytes.subarray(row * into, (row + 1) * into), (tile.top + row) * width + tile.left);
  } else {
    for (let column = 0; column < into; column++) {
      const to = (tile.top + column) * width + tile.left;
      for (let row = 0; row < out; row++) picture[to + row] = bytes[row * into + column];
    }
  }
}
