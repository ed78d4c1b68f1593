"""What is wrong with a detector's answers ("Objects as points", section 3).

The heat map's loss is focal: thousands of cells hold no middle, and those the network
is sure of count for little. All other answers are asked of the cells that answer for a
thing, and of no others.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate import detector_decode as decoding
from mmlearn.evaluate.detector_decode import GRID, IGNORE, Answers, Targets


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts."""

    heat: float = 1.0
    boxes: float = 2.0
    noun: float = 1.0
    colour: float = 0.5
    style: float = 0.5
    background: float = 0.3


def detector_loss(
    answers: Answers, targets: Targets, weights: Weights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all parts, and the parts by name."""
    weights = weights or Weights()
    picture, columns, rows = decoding.answering(targets)
    there = targets.there == 1
    things = max(1, int(there.sum()))

    def at_cells(maps: Tensor) -> Tensor:
        return maps[picture, :, rows, columns].flatten(0, 1)

    def named(logits: Tensor, labels: Tensor) -> Tensor:
        labels = labels[there][:, None].expand(-1, 4).flatten()
        total = F.cross_entropy(
            at_cells(logits), labels, reduction="sum", ignore_index=IGNORE
        )
        return total / (labels != IGNORE).sum().clamp(1)

    numbers = decoding.box_numbers(targets.boxes[there], columns, rows)
    parts = {
        "heat": focal(answers.heat, targets) / things,
        "boxes": F.smooth_l1_loss(
            at_cells(answers.boxes), numbers.flatten(0, 1), beta=0.1, reduction="sum"
        )
        / (16 * things),
        "noun": named(answers.noun, targets.noun),
        "colour": named(answers.colour, targets.colour),
        "style": named(answers.style, targets.style),
        "background": F.cross_entropy(answers.background, targets.background),
    }
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    return total, parts


def focal(logits: Tensor, targets: Targets) -> Tensor:
    """The penalty-reduced focal loss (equation 1, α = 2, β = 4), summed.

    Each thing counts once, though up to four cells answer for it. Within the box of
    what is neither there nor not, nothing is asked.
    """
    heat = decoding.heat_map(targets)
    share = logits.sigmoid()
    right = -((1 - share) ** 2) * F.logsigmoid(logits)
    wrong = -((1 - heat) ** 4) * share**2 * F.logsigmoid(-logits)
    asked = torch.where(heat == 1, right * _once(targets, heat), wrong)
    return (asked * ~unclear(targets)).sum()


def _once(targets: Targets, heat: Tensor) -> Tensor:
    """For each cell that answers, one over the number of those of the same thing."""
    weights = torch.zeros_like(heat)
    picture, columns, rows = decoding.answering(targets)
    # Cells that stand twice are counted twice: their quarters add up.
    quarter = torch.full_like(rows, 0.25, dtype=weights.dtype)
    return weights.index_put((picture, rows, columns), quarter, accumulate=True)


def unclear(targets: Targets) -> Tensor:
    """(n, 16, 16): the cells within boxes of what is neither there nor not."""
    place = (torch.arange(GRID, device=targets.boxes.device) + 0.5) / GRID
    left, top, right, bottom = targets.boxes[..., None].unbind(dim=2)
    across = (left <= place) & (place <= right)
    down = (top <= place) & (place <= bottom)
    boxes = down[..., :, None] & across[..., None, :]
    return (boxes & (targets.there == IGNORE)[..., None, None]).any(dim=1)
