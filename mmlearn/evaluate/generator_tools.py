"""What a model that draws is measured with: the model, a judge, its card, CLIP's eyes.

tools = load(request)     # of `generator_request.read`
"""

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from mmlearn import weights
from mmlearn.clip import CLIP
from mmlearn.evaluate import generator_bench as bench
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_table import card_of, no_card
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.judge import load_judge
from mmlearn.evaluate.nearest import Features
from mmlearn.paths import data_path


@dataclass
class Tools:
    """The model, and what it is measured with; no judge where nothing is judged.

    checkpoints: name to directory of all weights that are used.
    """

    model: Draws
    checkpoints: dict[str, Path]
    judge: bench.Judges | None = None
    features: Features | None = None
    card: bench.Card | None = None
    card_lines: str = ""

    def card_at(self, size: int) -> tuple[bench.Card | None, str]:
        """The judge's card for pictures of another size, and its lines.

        None, and the reason, where the judge is not the one that has a card.
        """
        if size == self.model.image_size or self.card is None:
            return self.card, self.card_lines
        return card_of(size)


def load(request: Request) -> Tools:
    """Load the model and, if anything is to be judged, the judge and CLIP."""
    model = request.generator.load(request.source)
    tools = Tools(model, dict([named(request.generator.name, request.source)]))
    if any(prompt.record for prompt in request.prompts):
        judge, clip = (
            weights.find(request.judge, "judge"),
            weights.find("laptop", "clip"),
        )
        tools.checkpoints |= [named("judge", judge), named("clip", clip)]
        tools.judge, tools.features = load_judge(judge), clip_features(clip)
        tools.card, tools.card_lines = card_of(model.image_size)
        if not _shipped(judge):
            reason = "this judge is not the one that is shipped"
            tools.card, tools.card_lines = None, no_card(model.image_size, reason)
    return tools


def named(kind: str, directory: Path) -> tuple[str, Path]:
    """What a result calls a checkpoint: its own name, or "own KIND" if not shipped."""
    return directory.name if _shipped(directory) else f"own {kind}", directory


def _shipped(directory: Path) -> bool:
    return directory.resolve().parent == data_path("checkpoints").resolve()


def clip_features(directory: Path) -> Features:
    """CLIP's features (n, d) of pictures (n, 3, h, w), brought to the size it reads."""
    clip = CLIP.from_pretrained(directory)
    return lambda images: clip.encode_image(as_seen(images, clip.config.image_size))


def as_seen(images: Tensor, size: int) -> Tensor:
    """Pictures (n, 3, h, w) at the size (n, 3, size, size) that a CLIP reads."""
    options = {"mode": "bilinear", "antialias": True, "align_corners": False}
    return F.interpolate(images.float(), (size, size), **options).clamp(-1, 1)
