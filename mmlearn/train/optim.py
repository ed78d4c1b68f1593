"""The optimizer of every recipe: AdamW, and how its learning rate moves."""

import math

import torch
from torch import nn


def adamw(
    model: nn.Module,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.99),
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019) over what is trainable in ``model``.

    Only matrices and convolution kernels decay. Gains, biases and scalars (fewer
    than two dimensions) do not: pulling a gain to zero switches its layer off.
    Fused: all tensors are updated by one kernel instead of several each.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("nothing in this model is trainable: unfreeze a part of it")
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = trainable[0].device.type in ("cpu", "cuda", "mps")
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr, betas, fused=fused
    )


def schedule(step: int, steps: int, warmup: int, floor: float = 0.0) -> float:
    """The factor on the learning rate at ``step`` = 0 … ``steps`` - 1.

    A line up to 1 over the first ``warmup`` steps, while Adam's averages fill; then
    half a cosine down to ``floor`` (a part of 1), reached as the run ends.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
