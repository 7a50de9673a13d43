/**
 * How do several files become one download? A zip archive that only stores (PKWARE's APPNOTE.TXT 6.3.10).
 *
 * float32 weights hardly compress, and a browser has no zip of its own.
 */

/** Files by name. @typedef {Map<string, Uint8Array>} Files */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const UTF8 = 0x0800;
const FIRST_OF_1980 = 0x21; // the earliest date that the format knows: the same files give the same archive

/** Numbers of 2 or 4 bytes, little-endian. @param {[number, 2 | 4][]} fields */
function packed(fields) {
  return Uint8Array.from(
    fields.flatMap(([value, size]) => Array.from({ length: size }, (_, at) => (value >>> (8 * at)) & 255)),
  );
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Files} files @returns {Uint8Array} */
export function zip(files) {
  /** @type {Uint8Array[]} */
  const bodies = [];
  /** @type {Uint8Array[]} */
  const directory = [];
  let at = 0;
  for (const [name, bytes] of files) {
    const title = new TextEncoder().encode(name);
    /** @type {[number, 2 | 4][]} version, flags, method, time, date, CRC, both sizes, lengths of name and extra field */
    const about = [[20, 2], [UTF8, 2], [0, 2], [0, 2], [FIRST_OF_1980, 2], [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [title.length, 2], [0, 2]]; // prettier-ignore
    const local = joined([packed([[LOCAL, 4], ...about]), title]);
    // made by; then, after `about`: comment's length, disk, attributes within and without, where it begins
    directory.push(joined([packed([[CENTRAL, 4], [20, 2], ...about, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]]), title])); // prettier-ignore
    bodies.push(local, bytes);
    at += local.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = packed([[END, 4], [0, 2], [0, 2], [files.size, 2], [files.size, 2], [size, 4], [at, 4], [0, 2]]); // prettier-ignore
  return joined([...bodies, ...directory, end]);
}
