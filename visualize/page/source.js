// Where do manifest and weights come from? From the page's own text: pieces in base64, gzipped (see pieces.py).

import { fromFloat16 } from "./engine/safetensors.js";

const BYTES = { f32: 4, f16: 2, i8: 1 };

/** @typedef {{shape: number[], data: Float32Array | Int8Array}} Tensor */
/** @typedef {{piece: number, tensors: [string, "f32" | "f16" | "i8", number[]][]}} Listing */

/** @param {string} text @returns {Promise<Uint8Array>} */
export async function unpack(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The pieces of the page that this script is in. */
export class PageSource {
  /** @param {number} number @returns {Promise<Uint8Array>} */
  async piece(number) {
    const text = document.getElementById(`piece-${number}`)?.textContent;
    if (text === undefined) throw new Error(`the page lacks its piece ${number}; it was not saved whole`);
    return unpack(text ?? "");
  }

  async manifest() {
    return JSON.parse(new TextDecoder().decode(await this.piece(0)));
  }

  /** @param {Listing} listing @returns {Promise<Map<string, Tensor>>} */
  async tensors(listing) {
    return tensorsOf(await this.piece(listing.piece), listing.tensors);
  }
}

/** @param {Uint8Array} bytes @param {Listing["tensors"]} listed @returns {Map<string, Tensor>} */
export function tensorsOf(bytes, listed) {
  const found = new Map();
  let at = 0;
  for (const [name, type, shape] of listed) {
    const size = shape.reduce((product, one) => product * one, 1);
    const part = bytes.subarray(at, at + size * BYTES[type]);
    at += part.length;
    found.set(name, {
      shape,
      data: type === "f32" ? singles(part, size) : type === "f16" ? halves(part, size) : new Int8Array(part),
    });
  }
  return found;
}

/** @param {Uint8Array} planes @param {number} size */
function singles(planes, size) {
  const bytes = new Uint8Array(size * 4);
  for (let at = 0; at < size; at++) {
    const to = at * 4;
    bytes[to] = planes[at];
    bytes[to + 1] = planes[at + size];
    bytes[to + 2] = planes[at + 2 * size];
    bytes[to + 3] = planes[at + 3 * size];
  }
  return new Float32Array(bytes.buffer);
}

/** Every half-precision number, by its bits. @type {Float32Array | undefined} */
let table;

/** @param {Uint8Array} planes @param {number} size */
function halves(planes, size) {
  table ??= fromFloat16(Uint16Array.from({ length: 65536 }, (_, bits) => bits));
  const found = new Float32Array(size);
  for (let at = 0; at < size; at++) found[at] = table[planes[at] | (planes[at + size] << 8)];
  return found;
}
