"""The judge's first reader: a small network that finds and names what is in a picture.

Residual blocks down to a grid of 8 x 8, where a cell has seen the whole picture, and
up again to 16 x 16, where each cell answers for the thing whose middle it holds. One
network judges pictures of every size: they are brought to 64 px first (`to_sight`).
Group norm, which knows no batch, so that it judges as it was trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.evaluate import detector_decode as decoding
from mmlearn.evaluate.detector_decode import SIGHT, Answers
from mmlearn.evaluate.reading import Reading
from mmlearn.nn.resblock import GroupNorm, zero

HEADS = ("heat", "noun", "colour", "style", "background")


@dataclass(frozen=True)
class DetectorConfig:
    """widths: channels on the grids of 32, 16, 8; blocks: of each, and of the way up.

    nouns: the words a cell can say, in the order of its answers.
    """

    widths: tuple[int, int, int]
    blocks: tuple[int, int, int, int]
    hidden: int = 160  # channels between the last map and the answers
    groups: int = 8
    nouns: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("widths", "blocks", "nouns"):  # lists, when read from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.widths) != 3 or len(self.blocks) != 4:
            raise ValueError(
                "a detector has three widths and four numbers of blocks, "
                f"not {self.widths} and {self.blocks}"
            )
        if any(width % self.groups for width in self.widths):
            raise ValueError(
                f"widths {self.widths} should be multiples of the {self.groups} groups"
            )

    @classmethod
    def from_size(cls, size: str) -> "DetectorConfig":
        """The config of a size: smoke, laptop or gpu."""
        if size not in SIZES:
            raise ValueError(
                f"a detector has one of the sizes {', '.join(SIZES)}, not {size!r}"
            )
        return cls(**SIZES[size], nouns=decoding.nouns())


SIZES = {
    "smoke": {"widths": (16, 32, 32), "blocks": (1, 1, 1, 1), "hidden": 64},
    "laptop": {"widths": (32, 80, 160), "blocks": (1, 2, 2, 1)},
    "gpu": {"widths": (64, 128, 192), "blocks": (2, 3, 3, 2), "hidden": 256},
}


def to_sight(images: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) of any size to (n, 3, 64, 64).

    Bilinear with antialiasing: smaller ones are interpolated, larger ones averaged
    over the pixels that fall together. Pictures of 64 px stay as they are.
    """
    if images.shape[-2:] == (SIGHT, SIGHT):
        return images
    size, options = (SIGHT, SIGHT), {"mode": "bilinear", "antialias": True}
    return F.interpolate(images.float(), size, **options, align_corners=False)


class Block(nn.Module):
    """Norm, SiLU, convolution, twice, added to what came in (He et al. 2016)."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm1, self.norm2 = GroupNorm(groups, width), GroupNorm(groups, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = zero(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Detector(nn.Module):
    """Pictures (n, 3, 64, 64) in [-1, 1] to `Answers`.

    `scale` and `shift` calibrate: each head's logits are divided by its temperature,
    fitted on scenes that were not trained on, and the heat map's are shifted besides.
    Training sees the raw logits.
    """

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.config = c = config
        fine, middle, coarse = c.widths
        self.parts = len(c.nouns), len(decoding.TINTS), len(decoding.STYLES)

        def blocks(width: int, number: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, c.groups) for _ in range(number)))

        self.first = nn.Conv2d(3, fine, 5, stride=2, padding=2)
        self.fine = blocks(fine, c.blocks[0])
        self.down1 = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle = blocks(middle, c.blocks[1])
        self.down2 = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = blocks(coarse, c.blocks[2])
        self.up = nn.Conv2d(coarse, middle, 1)
        self.together = blocks(middle, c.blocks[3])
        self.norm = GroupNorm(c.groups, middle)
        self.heat = nn.Conv2d(middle, 1, 3, padding=1)
        self.boxes = nn.Sequential(
            nn.Conv2d(middle, middle, 3, padding=1), nn.SiLU(), nn.Conv2d(middle, 4, 1)
        )
        self.names = nn.Sequential(
            nn.Conv2d(middle, c.hidden, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(c.hidden, sum(self.parts), 1),
        )
        self.place_norm = GroupNorm(c.groups, coarse)
        self.place = nn.Linear(2 * coarse, len(decoding.PLACES))
        # One cell in a hundred holds a middle: start so (RetinaNet, Lin et al. 2017).
        nn.init.constant_(self.heat.bias, -4.6)
        self.register_buffer("scale", torch.ones(len(HEADS)))
        self.register_buffer("shift", torch.zeros(1))

    def forward(self, images: Tensor) -> Answers:
        x = images.contiguous(memory_format=torch.channels_last)
        x = self.middle(self.down1(self.fine(self.first(x))))
        deep = self.coarse(self.down2(x))
        x = x + F.interpolate(self.up(deep), scale_factor=2, mode="nearest")
        x = F.silu(self.norm(self.together(x)))
        deep = F.silu(self.place_norm(deep)).flatten(2)
        summary = torch.cat([deep.mean(dim=2), deep.amax(dim=2)], dim=1)
        boxes = self.boxes(x).float()
        # An untrained net says: in the cell's middle, and 24 of 64 pixels wide.
        usual = torch.tensor([0.0, 0.0, 1.8, 1.8], device=x.device)
        return Answers(
            self.heat(x)[:, 0].float(),
            boxes + usual[:, None, None],
            *(part.float() for part in self.names(x).split(self.parts, dim=1)),
            self.place(summary).float(),
        )

    def calibrated(self, answers: Answers) -> Answers:
        """The answers with the fitted temperatures."""
        scale = dict(zip(HEADS, self.scale.tolist(), strict=True))
        logits = {name: getattr(answers, name) / scale[name] for name in HEADS}
        logits["heat"] = logits["heat"] + self.shift
        return Answers(boxes=answers.boxes, **logits)

    @torch.no_grad()
    def read(self, images: Tensor, at_once: int = 128) -> list[Reading]:
        """Readings of pictures (n, 3, h, w) in [-1, 1]; words of signs are not read."""
        self.eval()
        readings = []
        for part in images.split(at_once):
            part = to_sight(part.to(self.shift.device).float())
            readings += decoding.decode(self.calibrated(self(part)))
        return readings

    @classmethod
    def from_size(cls, size: str, *, seed: int = 0) -> "Detector":
        """An untrained detector; its weights depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(DetectorConfig.from_size(size))
        return model.to(memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str = "cpu") -> "Detector":
        """A trained detector: a shipped size or a saved directory.

        Raises WeightsError for anything missing, damaged, or of another model, and for
        a detector that names other things than this world has.
        """
        directory = weights.find(source, "judge")
        config = weights.config_of(DetectorConfig, directory, "detector")
        check_nouns(config.nouns, directory)
        state = weights.load_state(directory)
        model = weights.filled(lambda: cls(config), state, directory)
        return model.to(device, memory_format=torch.channels_last)

    def save_pretrained(
        self, directory: str | Path, card: dict | None = None, **options
    ) -> Path:
        """Save weights and config, for `from_pretrained`; options: half, overwrite."""
        return weights.save(
            directory, self.state_dict(), asdict(self.config), card, **options
        )


def check_nouns(nouns: Sequence[str], source: str | Path) -> None:
    """WeightsError unless a saved detector's nouns are this world's, in its order."""
    if tuple(nouns) != decoding.nouns():
        other = sorted(set(nouns) ^ set(decoding.nouns()))
        what = f"such as {other[0]!r}" if other else "in another order"
        raise weights.WeightsError(
            f"{source} names other things than this world has ({what}): train a judge "
            "anew with python -m mmlearn train judge"
        )
