"""A running average of the weights, which is better than the weights.

Late in training the weights circle around a good point; their exponential moving
average (EMA) sits near its middle. Diffusion models are sampled from it.
"""

import copy

import torch
from torch import nn


def ema_decay(step: int, decay: float) -> float:
    """How much of the average is kept at the update after ``step`` = 0, 1, 2, …

    min(decay, (1 + step) / (10 + step)): low at first, so that a short run does not
    end with an average of where it began.
    """
    return min(decay, (1 + step) / (10 + step))


class EMA:
    """The averaged copy of a model; ``ema.model`` is a plain module in eval mode.

    Frozen parameters never move, so the copy shares them with the model. Buffers
    (a batch norm's statistics, tables) are copied as they are. ``decay`` None turns
    averaging off: ``ema.model`` is then the model itself.
    """

    def __init__(self, model: nn.Module, decay: float | None):
        self.source, self.decay, self.model = model, decay, model
        if decay is None:
            return
        frozen = {id(p): p for p in model.parameters() if not p.requires_grad}
        self.model = copy.deepcopy(model, frozen).requires_grad_(False).eval()
        pairs = list(zip(self.model.parameters(), model.parameters(), strict=True))
        self._average = [mine for mine, theirs in pairs if mine is not theirs]
        self._weights = [theirs for mine, theirs in pairs if mine is not theirs]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """average ← d · average + (1 - d) · weights, with d = ema_decay(step)."""
        if self.decay is None:
            return
        # One call for all tensors: hundreds of small kernels would cost more than
        # the arithmetic.
        keep = ema_decay(step, self.decay)
        torch._foreach_lerp_(self._average, self._weights, 1 - keep)
        for mine, theirs in zip(
            self.model.buffers(), self.source.buffers(), strict=True
        ):
            mine.copy_(theirs)

    def state_dict(self) -> dict:
        return {} if self.decay is None else self.model.state_dict()

    def load_state_dict(self, state: dict) -> None:
        # A run that went without an average so far begins it from its weights.
        if self.decay is not None:
            self.model.load_state_dict(state or self.source.state_dict())
