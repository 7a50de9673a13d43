"""How does pretraining learn so much in an hour? Muon (Jordan et al. 2024): momentum with all directions made equal.

`torch.optim.Muon` does the same in bfloat16 and a matrix at a time. This one computes in the type that the processor
is fast at (many CPUs multiply bfloat16 several times more slowly than float32) and treats all matrices of one shape
as one batch, which halves its time for matrices as small as these.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalized(update: Tensor, steps: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values near 1, directions kept.

    update: (n, out, in). Quintic Newton-Schulz iteration with Jordan's coefficients, which take singular values
    to about 0.7 to 1.2 in five steps rather than exactly to 1. dtype: what is computed in; bfloat16 suffices.
    """
    tall = update.shape[1] > update.shape[2]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = x.to(dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * (gram @ gram)) @ x
    return (x.mT if tall else x).to(update.dtype)


class Muon(torch.optim.Optimizer):
    """For weight matrices only; embeddings, norms and the rest want AdamW.

    lr: scaled by 0.2 sqrt(max(out, in)), so that a step is as large as AdamW's (Liu et al. 2025).
    weight_decay: decoupled, times lr. dtype: of the orthogonalisation.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": same} for same in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for matrix in group["params"]:
                self.state[matrix]["momentum"] = torch.zeros_like(matrix)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            matrices, lr = group["params"], group["lr"]
            averages = [self.state[matrix]["momentum"] for matrix in matrices]
            gradients = [matrix.grad for matrix in matrices]
            torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
            nesterov = torch._foreach_lerp(gradients, averages, group["momentum"])
            updates = orthogonalized(torch.stack(nesterov), dtype=self.dtype)
            torch._foreach_mul_(matrices, 1 - lr * group["weight_decay"])
            torch._foreach_add_(matrices, list(updates.unbind()), alpha=-lr * 0.2 * math.sqrt(max(updates.shape[1:])))
