/**
 * What does the model compute? A Llama (Touvron et al. 2023), forward, as transformers' LlamaForCausalLM does it.
 *
 * Texts of a batch are laid end to end, without padding: everything but attention treats each token by itself, and
 * attention looks at its own text only. All arrays are float32, row after row, one row a token.
 */

import { attend } from "./attention.js";
import { attendCached } from "./cache.js";
import { makeScratch } from "./scratch.js";

/** @typedef {import("./safetensors.js").Weights} Weights */
/** @typedef {import("./kernels.js").Kernels} Kernels */

/**
 * What transformers' config.json holds, as far as it matters here.
 * @typedef {object} Config
 * @property {number} vocab_size
 * @property {number} hidden_size
 * @property {number} intermediate_size
 * @property {number} num_hidden_layers
 * @property {number} num_attention_heads
 * @property {number} [num_key_value_heads]
 * @property {number} [head_dim]
 * @property {number} rms_norm_eps
 * @property {number} max_position_embeddings
 * @property {{rope_theta: number, rope_type?: string}} [rope_parameters]
 * @property {number} [rope_theta]
 * @property {number | number[]} [eos_token_id]
 * @property {number} [pad_token_id]
 * @property {string} [hidden_act]
 * @property {boolean} [attention_bias]
 * @property {boolean} [mlp_bias]
 */

/**
 * Sizes, with their defaults filled in.
 * @typedef {object} Sizes
 * @property {number} vocab
 * @property {number} width of the residual stream
 * @property {number} inner width of the feed-forward layer
 * @property {number} layers
 * @property {number} heads
 * @property {number} groups key and value heads, which several heads may share
 * @property {number} head width of one
 * @property {number} eps
 * @property {number} theta
 * @property {number} context
 */

/**
 * What one layer's backward pass needs.
 * @typedef {object} LayerState
 * @property {Float32Array} input residual stream before the layer
 * @property {Float32Array} inverse 1 / root mean square of each row of it
 * @property {Float32Array} normed
 * @property {Float32Array} q turned by RoPE, as is k
 * @property {Float32Array} k
 * @property {Float32Array} v
 * @property {Float32Array} weights of attention: text after text, head after head, (tokens x tokens)
 * @property {Float32Array} attended
 * @property {Float32Array} middle residual stream between attention and feed-forward
 * @property {Float32Array} inverse2
 * @property {Float32Array} normed2
 * @property {Float32Array} gate
 * @property {Float32Array} up
 * @property {Float32Array} sigmoid of gate
 * @property {Float32Array} active gate * sigmoid * up
 */

/**
 * Its arrays are good until the next forward pass.
 * @typedef {object} State
 * @property {number[]} starts where each text begins, and the end of the last
 * @property {Int32Array} ids
 * @property {Int32Array} places of each token in its text
 * @property {LayerState[]} layers
 * @property {Float32Array} last residual stream after the last layer
 * @property {Float32Array} inverse
 * @property {Float32Array} hidden after the final norm
 */

/** @typedef {import("./cache.js").Cache} Cache */

const NONE = new Float32Array();

/** @param {Config} config @returns {Sizes} */
export function sizesOf(config) {
  const rope = config.rope_parameters ?? { rope_theta: config.rope_theta ?? 10000 };
  if ((rope.rope_type ?? "default") !== "default" || config.attention_bias || config.mlp_bias)
    throw new Error("the page runs Llamas with plain RoPE and without biases; this model's config.json says otherwise");
  if ((config.hidden_act ?? "silu") !== "silu") throw new Error(`the page knows silu, not ${config.hidden_act}`);
  return {
    vocab: config.vocab_size,
    width: config.hidden_size,
    inner: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    groups: config.num_key_value_heads ?? config.num_attention_heads,
    head: config.head_dim ?? config.hidden_size / config.num_attention_heads,
    eps: config.rms_norm_eps,
    theta: rope.rope_theta,
    context: config.max_position_embeddings,
  };
}

/**
 * @param {Config} config
 * @param {Weights} weights by transformers' names; its values may change between two calls
 * @param {Kernels} kernels
 */
export function makeCore(config, weights, kernels) {
  const sizes = sizesOf(config);
  const { vocab, width, inner, layers, heads, groups, head } = sizes;
  const { nt } = kernels;
  const [cosines, sines] = ropeTables(sizes);
  const scratch = makeScratch();

  /** @param {string} name @returns {Float32Array} */
  function weight(name) {
    const found = weights.get(name);
    if (!found) throw new Error(`the model holds no ${name}`);
    return found.data;
  }
  const embedding = () => weight("model.embed_tokens.weight");
  /** The output head, which may be the embedding: its module's name, and its weights. */
  function outputHead() {
    const own = weights.get("lm_head.weight");
    return own ? { name: "lm_head", data: own.data } : { name: "model.embed_tokens", data: embedding() };
  }

  /** y = x Wᵀ @param {Float32Array} x @param {string} name @param {number} rows @param {number} to @param {number} from */
  function linear(x, name, rows, to, from) {
    const y = scratch.take(rows * to);
    nt(y, x, weight(`${name}.weight`), rows, to, from);
    return y;
  }

  /** x / rms(x) * weight, and 1 / rms(x) of each row.
   * @param {Float32Array} x @param {string} name @param {number} rows @returns {[Float32Array, Float32Array]} */
  function norm(x, name, rows) {
    const [out, inverse, scales] = [scratch.take(rows * width), scratch.take(rows), weight(`${name}.weight`)];
    for (let r = 0, at = 0; r < rows; r++, at += width) {
      let squares = 0;
      for (let i = 0; i < width; i++) squares += x[at + i] * x[at + i];
      const scale = (inverse[r] = 1 / Math.sqrt(squares / width + sizes.eps));
      for (let i = 0; i < width; i++) out[at + i] = x[at + i] * scale * scales[i];
    }
    return [out, inverse];
  }

  /** Texts of ids to the state after the final norm. caches: the texts' keys and values so far, which grow.
   * @param {ArrayLike<number>[]} texts
   * @param {{keep?: boolean, caches?: Cache[]}} [options] keep: what the backward pass needs
   * @returns {State} */
  function forward(texts, { keep = false, caches } = {}) {
    const starts = [0];
    for (const text of texts) starts.push(starts[starts.length - 1] + text.length);
    const rows = starts[texts.length];
    const ids = new Int32Array(rows);
    const places = new Int32Array(rows);
    texts.forEach((text, t) => {
      const past = caches ? caches[t].length : 0;
      if (past + text.length > sizes.context)
        throw new Error(`a text of ${past + text.length} tokens is longer than the model's context, ${sizes.context}`);
      for (let i = 0; i < text.length; i++) {
        ids[starts[t] + i] = text[i];
        places[starts[t] + i] = past + i;
      }
    });

    const table = embedding();
    scratch.back();
    let [stream, next] = [scratch.take(rows * width), scratch.take(rows * width)];
    for (let r = 0; r < rows; r++) stream.set(table.subarray(ids[r] * width, (ids[r] + 1) * width), r * width);
    /** @type {LayerState[]} */
    const kept = [];
    const before = scratch.mark();
    for (let layer = 0; layer < layers; layer++) {
      if (!keep) scratch.back(before);
      const at = `model.layers.${layer}`;
      const input = stream;
      const [normed, inverse] = norm(input, `${at}.input_layernorm`, rows);
      const q = linear(normed, `${at}.self_attn.q_proj`, rows, heads * head, width);
      const k = linear(normed, `${at}.self_attn.k_proj`, rows, groups * head, width);
      const v = linear(normed, `${at}.self_attn.v_proj`, rows, groups * head, width);
      rotate(q, places, heads, head, cosines, sines, 1);
      rotate(k, places, groups, head, cosines, sines, 1);
      const { attended, weights: looks } = caches
        ? { attended: attendCached(q, k, v, starts, sizes, caches, layer), weights: NONE }
        : attend(q, k, v, starts, sizes, kernels, scratch);
      const middle = linear(attended, `${at}.self_attn.o_proj`, rows, width, heads * head);
      for (let i = 0; i < middle.length; i++) middle[i] += input[i];

      const [normed2, inverse2] = norm(middle, `${at}.post_attention_layernorm`, rows);
      const gate = linear(normed2, `${at}.mlp.gate_proj`, rows, inner, width);
      const up = linear(normed2, `${at}.mlp.up_proj`, rows, inner, width);
      const [sigmoid, active] = [scratch.take(gate.length), scratch.take(gate.length)];
      kernels.silu(gate, up, sigmoid, active);
      if (keep) next = scratch.take(rows * width);
      nt(next, active, weight(`${at}.mlp.down_proj.weight`), rows, width, inner);
      [stream, next] = [next, stream];
      for (let i = 0; i < stream.length; i++) stream[i] += middle[i];
      if (keep) kept.push({ input, inverse, normed, q, k, v, weights: looks, attended, middle, inverse2, normed2, gate, up, sigmoid, active }); // prettier-ignore
    }
    caches?.forEach((cache, t) => (cache.length += texts[t].length));
    const [hidden, inverse] = norm(stream, "model.norm", rows);
    return { starts, ids, places, layers: kept, last: stream, inverse, hidden };
  }

  /** Some rows of the residual stream, one below the other. @param {Float32Array} x @param {ArrayLike<number>} rows */
  function rowsOf(x, rows) {
    const chosen = scratch.take(rows.length * width);
    for (let i = 0; i < rows.length; i++) chosen.set(x.subarray(rows[i] * width, (rows[i] + 1) * width), i * width);
    return chosen;
  }

  /** Logits after the tokens in these rows. @param {Float32Array} hidden @param {ArrayLike<number>} rows */
  function logitsAt(hidden, rows) {
    const out = new Float32Array(rows.length * vocab);
    nt(out, rowsOf(hidden, rows), outputHead().data, rows.length, vocab, width);
    return out;
  }

  return {
    config,
    sizes,
    weights,
    kernels,
    scratch,
    weight,
    outputHead,
    forward,
    rowsOf,
    logitsAt,
    rope: /** @type {const} */ ([cosines, sines]),
  };
}

/** @typedef {ReturnType<typeof makeCore>} Core */

/** cos and sin of every place and every pair of a head, (context x head / 2); angles in float32, as torch has them.
 * @param {Sizes} sizes @returns {[Float32Array, Float32Array]} */
function ropeTables({ context, head, theta }) {
  const half = head / 2;
  const cosines = new Float32Array(context * half);
  const sines = new Float32Array(context * half);
  for (let i = 0; i < half; i++) {
    const frequency = Math.fround(1 / Math.fround(theta ** ((2 * i) / head)));
    for (let place = 0; place < context; place++) {
      const angle = Math.fround(place * frequency);
      cosines[place * half + i] = Math.cos(angle);
      sines[place * half + i] = Math.sin(angle);
    }
  }
  return [cosines, sines];
}

/** Turn each pair (i, i + half) of each head by its place's angle; way -1 turns back.
 * @param {Float32Array} x @param {Int32Array} places @param {number} heads @param {number} head
 * @param {Float32Array} cosines @param {Float32Array} sines @param {1 | -1} way */
export function rotate(x, places, heads, head, cosines, sines, way) {
  const half = head / 2;
  for (let r = 0, at = 0; r < places.length; r++)
    for (let h = 0; h < heads; h++, at += head)
      for (let i = 0, table = places[r] * half; i < half; i++, table++) {
        const [a, b, sine] = [x[at + i], x[at + half + i], way * sines[table]];
        x[at + i] = a * cosines[table] - b * sine;
        x[at + half + i] = b * cosines[table] + a * sine;
      }
}
