// Which colour means what? The theme's own palettes, which the manifest brings (visualize/theme.py).

/** @typedef {Record<string, any>} Palette */

/** @param {string} hex @returns {number[]} */
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** @param {number[]} a @param {number[]} b @param {number} share of b */
const between = (a, b, share) => a.map((one, at) => one + (b[at] - one) * share);

/** A colour along stops, `place` from 0 to 1. @param {number[][]} stops @param {number} place */
function along(stops, place) {
  const at = Math.min(Math.max(place, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  return between(stops[low], stops[low + 1], at - low);
}

const pack = (/** @type {number[]} */ colour) =>
  (255 << 24) | (Math.round(colour[2]) << 16) | (Math.round(colour[1]) << 8) | Math.round(colour[0]);

/** CSS of a signed value on the diverging map, centred on zero. @param {Palette} palette @param {number} share -1 to 1 */
export function signedColour(palette, share) {
  return `rgb(${along(palette.stops.map(rgb), (share + 1) / 2)
    .map(Math.round)
    .join(" ")})`;
}

/** CSS of a magnitude: the ground, the colour of a change, then what stands out most. @param {Palette} palette @param {number} share */
export function glowColour(palette, share) {
  return `rgb(${along([palette.background, palette.delta, palette.foreground].map(rgb), share).map(Math.round).join(" ")})`;
}

// A weight and its change are two bytes of a pixel. 128 is zero; the change's scale is square-rooted, so that small
// ones keep their digits.
export const ZERO = 128;

/** @param {number} byte @returns {number} -1 to 1 */
const signedOf = (byte) => (byte - ZERO) / 127;
/** @param {number} byte @returns {number} -1 to 1 */
const squared = (byte) => {
  const root = (byte - ZERO) / 127;
  return root * Math.abs(root);
};

/** @param {Float32Array} values @param {number} limit @param {Uint8Array} out */
export function weightBytes(values, limit, out) {
  const scale = limit > 0 ? 127 / limit : 0;
  for (let at = 0; at < values.length; at++) {
    const one = values[at] * scale;
    out[at] = ZERO + 0.5 + (one > 127 ? 127 : one < -127 ? -127 : one); // cut to a whole one there: so it is rounded
  }
}

/** @param {Float32Array} values @param {number} limit @param {Uint8Array} out */
export function changeBytes(values, limit, out) {
  const scale = limit > 0 ? 1 / limit : 0;
  for (let at = 0; at < values.length; at++) {
    const one = values[at] * scale;
    const root = one < 0 ? -Math.sqrt(-one) : Math.sqrt(one);
    out[at] = ZERO + 0.5 + 127 * (root > 1 ? 1 : root < -1 ? -1 : root);
  }
}

/**
 * The colour of every (weight, change) pair, as one little-endian number: 65,536 of them, at (weight << 8) | change.
 * @param {Palette} palette
 * @param {"glow" | "signed" | "before" | "now"} view
 * @param {number} strength what the change is multiplied by
 * @param {number} ratio the change's limit beside the weights' limit
 */
export function lookup(palette, view, strength, ratio) {
  const found = new Uint32Array(65536);
  const ground = rgb(palette.background);
  const stops = palette.stops.map(rgb);
  const moved = Array.from({ length: 256 }, (_, change) => squared(change) * strength);
  if (view === "glow") {
    const glow = [ground, rgb(palette.delta), rgb(palette.foreground)];
    const grey = Array.from({ length: 256 }, (_, weight) =>
      between(ground, rgb(palette.W), 0.34 * Math.abs(signedOf(weight)) ** 0.8),
    );
    const places = moved.map((one) => Math.min(1, Math.abs(one)) ** 0.62);
    const lit = places.map((place) => along(glow, place));
    const shares = places.map((place) => Math.min(1, place * 2.2));
    for (let weight = 0; weight < 256; weight++)
      for (let change = 0; change < 256; change++) {
        const share = shares[change];
        const [r, g, b] = lit[change];
        const [r0, g0, b0] = grey[weight];
        found[(weight << 8) | change] =
          (255 << 24) | ((b0 + (b - b0) * share) << 16) | ((g0 + (g - g0) * share) << 8) | (r0 + (r - r0) * share);
      }
    return found;
  }
  const ramp = Array.from({ length: 1025 }, (_, at) => pack(along(stops, at / 1024)));
  const power = view === "signed" ? 0.7 : 0.8;
  for (let weight = 0; weight < 256; weight++)
    for (let change = 0; change < 256; change++) {
      const value = view === "signed" ? moved[change] : signedOf(weight) + (view === "now" ? moved[change] * ratio : 0);
      const size = Math.min(1, Math.abs(value)) ** power;
      found[(weight << 8) | change] = ramp[Math.round(512 + 512 * (value < 0 ? -size : size))];
    }
  return found;
}
