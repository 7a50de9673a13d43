"""How has each matrix changed? The size and rank of delta-W, and intruder dimensions at equal sizes of the change."""

import numpy as np
from transformers import PreTrainedModel

from engine.measure import effective_rank, energy_rank
from engine.measure.subspaces import intruders_between
from lessons.claims.trials.questions import base

SIZES = (0.1, 0.2, 0.4)  # |delta-W| / |W| at which intruders are counted: a larger change has more of them


def weights_and_changes(model: PreTrainedModel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of every linear layer but the head: its name, and W and delta-W, both (out, in)."""
    found = {}
    before = dict(base().named_parameters())
    for name, module in model.named_modules():
        name = name.removeprefix("base_model.model.")
        if f"{name}.weight" not in before or before[f"{name}.weight"].ndim != 2 or "layers" not in name:
            continue
        weight = before[f"{name}.weight"].detach()
        adapted = hasattr(module, "get_delta_weight")
        change = module.get_delta_weight("default") if adapted else module.weight - weight
        found[name] = (weight.numpy(), change.detach().numpy())
    return found


def changes(model: PreTrainedModel) -> dict[str, float | list[float]]:
    """Means over all matrices. relative: size of delta-W beside W. effective_rank and rank_90: of delta-W (see
    `engine.measure`). intruders: for each of `SIZES`, of the ten largest directions of W + c delta-W those that W did
    not have, with c such that the change has that size."""
    rows, counts = [], []
    for weight, change in weights_and_changes(model).values():
        values = np.linalg.svd(change, compute_uv=False)
        size, left = float(np.linalg.norm(weight)), np.linalg.svd(weight, full_matrices=False)[0]
        scaled = change * (size / max(float(np.linalg.norm(change)), 1e-12))
        counts.append([float(intruders_between(left, weight + share * scaled).count) for share in SIZES])
        rows.append(
            {
                "relative": float(np.linalg.norm(change)) / size,
                "effective_rank": effective_rank(values),
                "rank_90": float(energy_rank(values)),
            }
        )
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**means, "intruders": np.mean(counts, axis=0).tolist()}
