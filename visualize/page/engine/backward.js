/**
 * How does each weight change the loss? The whole model's backward pass, written by hand.
 *
 * It walks back through what forward.js did, with the gradient of the residual stream in hand. What becomes of a layer's
 * input and output gradient is for the caller to say (a `Sink`): full fine-tuning wants dW = dyᵀ x, LoRA two thin
 * products of them.
 */

import { rotate } from "./forward.js";
import { attendBackward } from "./attention.js";
import { predicted } from "./grade.js";

/** @typedef {import("./forward.js").Core} Core */
/** @typedef {import("./forward.js").State} State */

/**
 * Where gradients go. Each is told a module's name and adds to what it has; what is left out is not computed.
 * @typedef {object} Sink
 * @property {(module: string, x: Float32Array, dy: Float32Array, rows: number) => void} linear
 * @property {(module: string, dw: Float32Array) => void} [norm]
 * @property {(ids: Int32Array, dx: Float32Array) => void} [embedding] gradients of the rows that were looked up
 */

/**
 * Mean loss of a batch's labels (nats a token), and its gradients into the sink.
 * @param {Core} core
 * @param {import("./grade.js").Row[]} rows
 * @param {Sink} sink
 * @returns {number}
 */
export function lossAndGradients(core, rows, sink) {
  const state = core.forward(
    rows.map((row) => row.ids),
    { keep: true },
  );
  const { at, targets } = predicted(rows, state.starts);
  const { width, vocab } = core.sizes;
  const { nn } = core.kernels;
  const logits = core.logitsAt(state.hidden, at);
  const loss = crossEntropy(logits, targets, vocab);

  const { name, data } = core.outputHead();
  const chosen = core.rowsOf(state.hidden, at);
  sink.linear(name, chosen, logits, at.length);
  const dChosen = core.scratch.take(at.length * width);
  nn(dChosen, logits, data, at.length, width, vocab);
  const dHidden = core.scratch.zeros(state.hidden.length);
  for (let i = 0; i < at.length; i++) dHidden.set(dChosen.subarray(i * width, (i + 1) * width), at[i] * width);
  backward(core, state, dHidden, sink);
  return loss;
}

/** The mean loss; each row of logits becomes its gradient, (softmax - one hot) / rows.
 * @param {Float32Array} logits @param {number[]} targets @param {number} vocab */
function crossEntropy(logits, targets, vocab) {
  let loss = 0;
  const count = targets.length;
  for (let r = 0, at = 0; r < count; r++, at += vocab) {
    let most = -Infinity;
    for (let id = 0; id < vocab; id++) if (logits[at + id] > most) most = logits[at + id];
    const right = logits[at + targets[r]];
    let sum = 0;
    for (let id = 0; id < vocab; id++) sum += logits[at + id] = Math.exp(logits[at + id] - most);
    loss += Math.log(sum) + most - right;
    const scale = 1 / (sum * count);
    for (let id = 0; id < vocab; id++) logits[at + id] *= scale;
    logits[at + targets[r]] -= 1 / count;
  }
  return loss / count;
}

/** From the gradient of the final norm's output down to the embedding.
 * @param {Core} core @param {State} state @param {Float32Array} dHidden @param {Sink} sink */
function backward(core, state, dHidden, sink) {
  const { sizes, kernels, weight, scratch } = core;
  const { width, inner, heads, groups, head, layers } = sizes;
  const rows = state.ids.length;

  /** dx (+)= dy W @param {Float32Array | null} dx @param {Float32Array} dy @param {string} module @param {number} to @param {number} from */
  function through(dx, dy, module, to, from) {
    const out = dx ?? scratch.take(rows * from);
    kernels.nn(out, dy, weight(`${module}.weight`), rows, from, to, dx !== null);
    return out;
  }
  /** stream gradient += gradient through a norm @param {Float32Array} stream @param {Float32Array} dy @param {Float32Array} x
   * @param {Float32Array} inverse @param {string} module */
  function throughNorm(stream, dy, x, inverse, module) {
    const dw = sink.norm && new Float32Array(width);
    rmsNormBackward(stream, dy, x, inverse, weight(`${module}.weight`), width, dw);
    if (dw) sink.norm?.(module, dw);
  }

  const d = scratch.zeros(rows * width); // of the residual stream
  throughNorm(d, dHidden, state.last, state.inverse, "model.norm");
  const before = scratch.mark();
  for (let layer = layers - 1; layer >= 0; layer--) {
    scratch.back(before);
    const name = `model.layers.${layer}`;
    const kept = state.layers[layer];
    sink.linear(`${name}.mlp.down_proj`, kept.active, d, rows);
    const dGate = through(null, d, `${name}.mlp.down_proj`, width, inner);
    const dUp = scratch.take(rows * inner);
    for (let i = 0; i < dUp.length; i++) {
      const [gate, sigmoid, dy] = [kept.gate[i], kept.sigmoid[i], dGate[i]];
      dUp[i] = dy * gate * sigmoid;
      dGate[i] = dy * kept.up[i] * sigmoid * (1 + gate * (1 - sigmoid));
    }
    sink.linear(`${name}.mlp.gate_proj`, kept.normed2, dGate, rows);
    sink.linear(`${name}.mlp.up_proj`, kept.normed2, dUp, rows);
    let dNormed = through(null, dGate, `${name}.mlp.gate_proj`, inner, width);
    through(dNormed, dUp, `${name}.mlp.up_proj`, inner, width);
    throughNorm(d, dNormed, kept.middle, kept.inverse2, `${name}.post_attention_layernorm`);

    sink.linear(`${name}.self_attn.o_proj`, kept.attended, d, rows);
    const dAttended = through(null, d, `${name}.self_attn.o_proj`, width, heads * head);
    const { dq, dk, dv } = attendBackward(dAttended, kept, state.starts, sizes, kernels, scratch);
    rotate(dq, state.places, heads, head, ...core.rope, -1);
    rotate(dk, state.places, groups, head, ...core.rope, -1);
    sink.linear(`${name}.self_attn.q_proj`, kept.normed, dq, rows);
    sink.linear(`${name}.self_attn.k_proj`, kept.normed, dk, rows);
    sink.linear(`${name}.self_attn.v_proj`, kept.normed, dv, rows);
    if (layer === 0 && !sink.embedding) return;
    dNormed = through(null, dq, `${name}.self_attn.q_proj`, heads * head, width);
    through(dNormed, dk, `${name}.self_attn.k_proj`, groups * head, width);
    through(dNormed, dv, `${name}.self_attn.v_proj`, groups * head, width);
    throughNorm(d, dNormed, kept.input, kept.inverse, `${name}.input_layernorm`);
  }
  sink.embedding?.(state.ids, d);
}

/** dx += gradient through y = x * inverse * weight, where inverse = 1 / rms(x); dw likewise, if there is one.
 * @param {Float32Array} dx @param {Float32Array} dy @param {Float32Array} x @param {Float32Array} inverse
 * @param {Float32Array} weight @param {number} width @param {Float32Array} [dw] */
function rmsNormBackward(dx, dy, x, inverse, weight, width, dw) {
  for (let r = 0, at = 0; r < inverse.length; r++, at += width) {
    const scale = inverse[r];
    let dot = 0;
    for (let i = 0; i < width; i++) dot += dy[at + i] * weight[i] * x[at + i];
    const pull = (dot * scale * scale * scale) / width;
    for (let i = 0; i < width; i++) dx[at + i] += dy[at + i] * weight[i] * scale - pull * x[at + i];
    if (dw) for (let i = 0; i < width; i++) dw[i] += dy[at + i] * x[at + i] * scale;
  }
}
