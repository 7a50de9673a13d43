/**
 * How do gradients become steps? AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW computes it.
 */

/** Two moments of a parameter. @typedef {{m: Float32Array, v: Float32Array}} Moments */
/** Parameters or their gradients, by name. @typedef {Map<string, Float32Array>} Tensors */

export const BETAS = /** @type {const} */ ([0.9, 0.999]);
export const EPSILON = 1e-8;

/**
 * One step, in place.
 * @param {Tensors} parameters @param {Tensors} gradients @param {Map<string, Moments>} moments
 * @param {number} step from 1
 * @param {number} rate
 * @param {number} decay of the weights; norms are left out, as the Trainer does
 */
export function adamw(parameters, gradients, moments, step, rate, decay) {
  const [b1, b2] = BETAS;
  const size = rate / (1 - b1 ** step);
  const root = Math.sqrt(1 - b2 ** step);
  for (const [name, values] of parameters) {
    const gradient = /** @type {Float32Array} */ (gradients.get(name));
    const { m, v } = /** @type {Moments} */ (moments.get(name));
    const keep = name.includes("norm") ? 1 : 1 - rate * decay;
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i];
      m[i] += (1 - b1) * (g - m[i]);
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      values[i] = values[i] * keep - (size * m[i]) / (Math.sqrt(v[i]) / root + EPSILON);
    }
  }
}

/**
 * Scales gradients down to a norm of `most` together, as torch.nn.utils.clip_grad_norm_; gives their norm before.
 * @param {Tensors} gradients @param {number} most 0 leaves them as they are
 */
export function clip(gradients, most) {
  let squares = 0;
  for (const values of gradients.values()) for (let i = 0; i < values.length; i++) squares += values[i] * values[i];
  const norm = Math.sqrt(squares);
  const factor = most / (norm + 1e-6);
  if (most && factor < 1)
    for (const values of gradients.values()) for (let i = 0; i < values.length; i++) values[i] *= factor;
  return norm;
}
