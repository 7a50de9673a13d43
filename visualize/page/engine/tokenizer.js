/**
 * How does the page cut text into tokens? As engine/school/tokenizer.py does, from the same tokenizer.json: byte-level BPE.
 *
 * Special tokens are found first, wherever they stand; each text between them begins with a space and is cut into
 * pieces by a regular expression; a piece's bytes are joined, the earliest learned merge first (Sennrich et al. 2016).
 */

import { joined } from "./bpe.js";

/** @typedef {{role: string, content: string}} Message */

/**
 * @typedef {object} PageTokenizer
 * @property {(text: string) => number[]} encode lone surrogates count as U+FFFD
 * @property {(ids: ArrayLike<number>, options?: {special?: boolean}) => string} decode special: special tokens too
 * @property {(messages: Message[], options?: {prompt?: boolean}) => number[]} chat prompt: begins the answer as well
 * @property {(id: number) => string} piece one token as it looks inside a text, its leading space kept; the bytes of one
 *   that is only part of a letter, as "‹c3›"
 * @property {(ids: ArrayLike<number>) => string[]} added what each token adds to the text before it: nothing, while its
 *   letter is not whole
 * @property {Record<"pad" | "begin" | "end" | "system" | "user" | "assistant", number>} ids
 * @property {number} size
 */

/** GPT-2's printable stand-ins: the character that each byte is written as. */
function byteCharacters() {
  const printable = (/** @type {number} */ byte) =>
    (byte >= 0x21 && byte < 0x7f) || (byte >= 0xa1 && byte < 0xad) || byte >= 0xae;
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : others++));
}

/**
 * @param {any} json what tokenizer.json holds
 * @param {{bos_token_id?: number | null, eos_token_id?: number | number[] | null, pad_token_id?: number | null}} config
 * @returns {PageTokenizer}
 */
export function makeTokenizer(json, config) {
  if (json.model?.type !== "BPE" || json.normalizer?.type !== "Prepend")
    throw new Error("the page reads Glasstune's own tokenizer: byte-level BPE whose texts begin with a space");
  const vocabulary = new Map(/** @type {[string, number][]} */ (Object.entries(json.model.vocab)));
  /** @type {string[]} */
  const tokens = [];
  for (const [token, id] of vocabulary) tokens[id] = token;
  /** @type {Map<string, number>} */
  const special = new Map();
  for (const { id, content } of json.added_tokens) {
    tokens[id] = content;
    special.set(content, id);
  }
  const specialIds = new Set(special.values());
  const merges = new Map(
    json.model.merges.map((/** @type {[string, string] | string} */ pair, /** @type {number} */ rank) => [
      typeof pair === "string" ? pair : pair.join(" "),
      rank,
    ]),
  );

  // \s of the Rust library is Unicode's White_Space; JavaScript's own knows U+FEFF instead of U+0085.
  const split = json.pre_tokenizer.pretokenizers.find((/** @type {any} */ part) => part.type === "Split");
  const pieces = new RegExp(split.pattern.Regex.replaceAll("\\s", "\\p{White_Space}"), "gu");
  const escaped = [...special.keys()].map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const specials = new RegExp(`(${escaped.join("|")})`, "u");
  const prepended = json.normalizer.prepend;
  const character = byteCharacters();
  const byteOf = new Map(character.map((text, byte) => [text, byte]));
  const toBytes = new TextEncoder();
  const toText = new TextDecoder("utf-8", { ignoreBOM: true });
  const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  /** @type {Map<string, number[]>} */
  const known = new Map();

  /** One piece's tokens. @param {string} piece @returns {number[]} */
  function merged(piece) {
    const found = known.get(piece);
    if (found) return found;
    const parts = joined(
      Array.from(toBytes.encode(piece), (byte) => character[byte]),
      (left, right) => merges.get(`${left} ${right}`),
    );
    const ids = parts.map((part) => vocabulary.get(part)).filter((id) => id !== undefined);
    if (known.size < 50_000) known.set(piece, ids);
    return ids;
  }

  /** @param {string} text @returns {number[]} */
  function encode(text) {
    /** @type {number[]} */
    const ids = [];
    for (const part of text.split(specials)) {
      const id = special.get(part);
      if (id !== undefined) ids.push(id);
      else if (part)
        for (const [piece] of (prepended + part).matchAll(pieces)) for (const one of merged(piece)) ids.push(one);
    }
    return ids;
  }

  /** The bytes that a token's characters stand for; those of its own text if it is no such token.
   * @param {number} id @returns {Iterable<number>} */
  function bytesOf(id) {
    const token = tokens[id] ?? "";
    const bytes = Array.from(token, (one) => byteOf.get(one));
    return bytes.includes(undefined) ? toBytes.encode(token) : /** @type {number[]} */ (bytes);
  }

  /** @param {ArrayLike<number>} ids @param {{special?: boolean}} [options] */
  function decode(ids, { special: all = false } = {}) {
    const bytes = Array.from(ids).flatMap((id) => (all || !specialIds.has(id) ? [...bytesOf(id)] : []));
    const text = toText.decode(Uint8Array.from(bytes));
    return text.startsWith(" ") ? text.slice(1) : text;
  }

  /** @param {number} id */
  function piece(id) {
    const bytes = Uint8Array.from(bytesOf(id));
    try {
      return strict.decode(bytes);
    } catch {
      return `‹${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")}›`;
    }
  }

  /** @param {ArrayLike<number>} ids */
  function added(ids) {
    const flowing = new TextDecoder("utf-8", { ignoreBOM: true });
    return Array.from(
      ids,
      (id, at) => flowing.decode(Uint8Array.from(bytesOf(id)), { stream: at < ids.length - 1 }), // the last says what is left open
    );
  }

  /** The shipped chat template. @param {Message[]} messages @param {{prompt?: boolean}} [options] */
  function chat(messages, { prompt = false } = {}) {
    let text = "<|begin|>";
    for (const { role, content } of messages)
      text += role === "assistant" ? `<|assistant|>${content}<|end|>` : `<|${role}|>${content}`;
    return encode(prompt ? `${text}<|assistant|>` : text);
  }

  const id = (/** @type {string} */ content) => special.get(`<|${content}|>`) ?? -1;
  const end = config.eos_token_id ?? id("end");
  return {
    encode,
    decode,
    chat,
    piece,
    added,
    ids: {
      pad: config.pad_token_id ?? id("pad"),
      begin: config.bos_token_id ?? id("begin"),
      end: Array.isArray(end) ? end[0] : end,
      system: id("system"),
      user: id("user"),
      assistant: id("assistant"),
    },
    size: tokens.length,
  };
}
