/**
 * How are weights kept in a file? safetensors: eight bytes with the header's length, a JSON header, then the data.
 *
 * Reads float32, float16, bfloat16 and float64 as float32; writes float32. https://github.com/huggingface/safetensors
 */

/** @typedef {{shape: number[], data: Float32Array}} Tensor */
/** @typedef {Map<string, Tensor>} Weights */

const BYTES = /** @type {Record<string, number>} */ ({ F64: 8, F32: 4, F16: 2, BF16: 2 });

/**
 * Every tensor of a file. Throws an Error, in one sentence, for what is cut short or no safetensors.
 * @param {ArrayBuffer | Uint8Array} file
 * @returns {Weights}
 */
export function readSafetensors(file) {
  // A plain Uint8Array in any case: the slice of a Node Buffer is no copy.
  const bytes = file instanceof Uint8Array ? new Uint8Array(file.buffer, file.byteOffset, file.length) : new Uint8Array(file); // prettier-ignore
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? -1 : Number(view.getBigUint64(0, true));
  if (length < 0 || length > bytes.length - 8) throw new Error("this is no safetensors file: its header is cut short");
  /** @type {Record<string, {dtype: string, shape: number[], data_offsets: [number, number]}>} */
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw new Error("this is no safetensors file: its header is no JSON");
  }
  /** @type {Weights} */
  const weights = new Map();
  for (const [name, about] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: [from, to] } = about; // prettier-ignore
    const size = shape.reduce((product, side) => product * side, 1);
    if (!(dtype in BYTES)) throw new Error(`${name} is ${dtype}; this page reads ${Object.keys(BYTES).join(", ")}`);
    if (to - from !== size * BYTES[dtype] || 8 + length + to > bytes.length)
      throw new Error(`${name} is cut short in this safetensors file`);
    weights.set(name, { shape, data: toFloat32(bytes.slice(8 + length + from, 8 + length + to).buffer, dtype) });
  }
  return weights;
}

/** @param {ArrayBuffer} buffer @param {string} dtype @returns {Float32Array} */
function toFloat32(buffer, dtype) {
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F64") return Float32Array.from(new Float64Array(buffer));
  const halves = new Uint16Array(buffer);
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  return fromFloat16(halves);
}

/** float16, bit by bit, as float32. @param {Uint16Array} halves @returns {Float32Array} */
export function fromFloat16(halves) {
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i];
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    let value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    if (exponent === 31) value = fraction ? NaN : Infinity;
    values[i] = half & 0x8000 ? -value : value;
  }
  return values;
}

/**
 * A file of float32 tensors, with their names in order, as the library writes it.
 * @param {Weights} weights
 * @param {Record<string, string>} [metadata]
 * @returns {Uint8Array}
 */
export function writeSafetensors(weights, metadata = { format: "pt" }) {
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: metadata };
  const names = [...weights.keys()].sort();
  let end = 0;
  for (const name of names) {
    const { shape, data } = /** @type {Tensor} */ (weights.get(name));
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + 4 * data.length] };
    end += 4 * data.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8; // the data begins at a multiple of eight
  const file = new Uint8Array(8 + padded + end).fill(0x20, 8, 8 + padded);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
  file.set(text, 8);
  let at = 8 + padded;
  for (const name of names) {
    const { data } = /** @type {Tensor} */ (weights.get(name));
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
