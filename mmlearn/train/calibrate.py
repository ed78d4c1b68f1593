"""Confidences that mean what they say: temperatures fitted after training.

"On calibration of modern neural networks" (Guo et al. 2017, section 4.2): dividing a
head's logits by one number changes no answer, only how sure it is. The number is
fitted on scenes that were not trained on, spoilt like those that were. The heat map
gets a shift besides, because the focal loss it was trained with is no likelihood.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate import detector_decode as decoding
from mmlearn.evaluate.detector import HEADS, Detector
from mmlearn.evaluate.detector_decode import IGNORE
from mmlearn.train.batch import to_device
from mmlearn.train.detector_loss import unclear

TEMPERATURES = torch.logspace(-0.6, 0.6, 61)  # from a quarter to four
SHIFTS = torch.linspace(-6, 6, 61)
NOTICED = 0.02  # peaks lower than this are no candidates


@torch.no_grad()
def calibrate(model: Detector, batches: Callable, spoil: Callable, number: int = 20):
    """Fit ``model.scale`` and ``model.shift`` in place, on ``number`` batches.

    batches(index) and spoil(batch, generator) are those of the recipe, of a seed that
    was not trained on.
    """
    model.eval()
    device = model.shift.device
    generator = torch.Generator(device).manual_seed(number)
    seen: dict[str, list] = {name: [] for name in HEADS}
    for index in range(number):
        images, targets = spoil(to_device(batches(index), device), generator)
        answers = model(images)
        seen["heat"].append(_middles(answers.heat, targets))
        seen["background"].append((answers.background, targets.background))
        there = targets.there == 1
        picture, columns, rows = decoding.answering(targets)
        for name in ("noun", "colour", "style"):
            labels = getattr(targets, name)[there]
            asked = labels != IGNORE
            where = picture[asked, 0], slice(None), rows[asked, 0], columns[asked, 0]
            seen[name].append((getattr(answers, name)[where], labels[asked]))
    for place, name in enumerate(HEADS):
        logits, labels = (torch.cat(part) for part in zip(*seen[name], strict=True))
        if name == "heat":
            scale, shift = fit_middles(logits, labels)
            model.shift.fill_(shift)
        else:
            scale = fit_temperature(logits, labels)
        model.scale[place] = scale


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature under which labels (k,) are likeliest, given logits (k, c)."""
    losses = [
        F.cross_entropy(logits / temperature, labels)
        for temperature in TEMPERATURES.to(logits)
    ]
    return float(TEMPERATURES[int(torch.stack(losses).argmin())])


def fit_middles(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Temperature and shift of the heat map's peaks (k,), labels being 0 or 1."""
    scaled = logits / TEMPERATURES.to(logits)[:, None, None]
    scaled = scaled + SHIFTS.to(logits)[:, None]
    losses = F.binary_cross_entropy_with_logits(
        scaled, labels.float().expand_as(scaled), reduction="none"
    ).mean(dim=2)
    best = int(losses.argmin())
    row, column = divmod(best, len(SHIFTS))
    return float(TEMPERATURES[row]), float(SHIFTS[column])


def _middles(heat: Tensor, targets) -> tuple[Tensor, Tensor]:
    """The peaks' logits, and whether each is a middle or next to one.

    Peaks within what is neither there nor not are left out.
    """
    picture, row, column = decoding.peaks(heat.sigmoid(), NOTICED)
    asked = ~unclear(targets)[picture, row, column]
    where = picture[asked], row[asked], column[asked]
    return heat[where], decoding.heat_map(targets)[where] > 0.3
