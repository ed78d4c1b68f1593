"""The smallest text-to-image model that works: a plain U-Net and a bag of words.

    model = mm.TextToImage.from_pretrained("laptop")
    images = model.generate(["a red star at night"], seed=0)    # (1, 3, 32, 32)

A caption becomes one row of numbers: which of the known words stand in it. The U-Net
(`mmlearn.nn.UNet`) is told that row and the time, and predicts x0, the picture itself;
guidance without a classifier turns up what the words add.
A bag knows no order, so "a star left of a heart" and "a heart left of a star" would be
one picture: GLIDE's transformer is what mends that. So this model draws one coloured
shape at a time, and serves as the first page about diffusion and as its test bed.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn import diffusion, weights, world
from mmlearn.diffusion import Denoiser, Schedule, dynamic_threshold, halves
from mmlearn.nn.unet import UNet, UNetConfig
from mmlearn.progress import sampling
from mmlearn.text.prompts import check_prompts
from mmlearn.world.phrases import captions
from mmlearn.world.scene import Item, Scene

PLACES = ("white", "grey", "lavender")
# Black, white and painted places are left to the chapters: with meadows and beaches to
# learn as well, four minutes' training leaves the shapes blots.
PAINTS = tuple(c for c in world.COLOURS if c not in ("black", "white"))
GRAMMAR = world.Grammar(
    things=(), colours=PAINTS, backgrounds=PLACES, kinds=("single",)
)


@lru_cache(1)
def vocabulary() -> tuple[str, ...]:
    """Every word that a caption of `GRAMMAR` can hold, in alphabetical order."""
    box = (0.25, 0.25, 0.75, 0.75)
    said = [
        sentence
        for shape, paint, place in product(GRAMMAR.shapes, PAINTS, PLACES)
        for says in ((), ("background",))
        for sentence in captions(
            Scene("single", place, (Item(shape, box, paint),), says=says)
        )
    ]
    return tuple(sorted({word for sentence in said for word in split(sentence)}))


def split(caption: str) -> list[str]:
    """The words of a caption, in small letters and without punctuation."""
    words = (word.strip(".,;:!?\"'") for word in caption.lower().split())
    return [word for word in words if word]


@dataclass(frozen=True)
class TextToImageConfig:
    """image_size: in pixels. patch: squares of patch × patch pixels become channels of
    one place, so that the U-Net works on a grid patch times as coarse. The other
    numbers are the U-Net's; ``words`` are those it knows, in the order of its rows.

    Predicting x0 and coarse patches go together (Li & He 2025, arXiv 2511.13720): noise
    fills all 48 numbers of a patch, and pictures do not.
    """

    image_size: int = 32
    patch: int = 4
    width: int = 64
    multiples: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention_at: tuple[int, ...] = (8, 4)
    head_width: int = 64
    words: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("multiples", "attention_at", "words"):  # lists, when from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_size(cls, size: str) -> "TextToImageConfig":
        """The config of a size: smoke, laptop or gpu. ValueError for any other."""
        if size not in SIZES:
            raise ValueError(
                f"a text-to-image model has one of the sizes {', '.join(SIZES)}, "
                f"not {size!r}"
            )
        return cls(**SIZES[size], words=vocabulary())

    @property
    def unet(self) -> UNetConfig:
        """The U-Net's numbers, on the coarser grid."""
        channels = 3 * self.patch**2
        return UNetConfig(
            image_size=self.image_size // self.patch,
            width=self.width,
            multiples=self.multiples,
            blocks=self.blocks,
            attention_at=self.attention_at,
            head_width=self.head_width,
            channels_in=channels,
            channels_out=channels,
            vector_width=len(self.words),
            groups=8,
        )


SIZES = {
    "smoke": {"width": 16, "head_width": 16},
    "laptop": {},
    "gpu": {"width": 128, "blocks": 2},
}


class TextToImage(nn.Module):
    """x_t (n, 3, s, s), t (n,) and a bag of words (n, words) to x0 (n, 3, s, s)."""

    def __init__(self, config: TextToImageConfig):
        super().__init__()
        self.config, self.schedule = config, Schedule.cosine()
        self.unet = UNet(config.unet)
        self.rows = {word: row for row, word in enumerate(config.words)}

    @property
    def image_size(self) -> int:
        """The side of its pictures, in pixels."""
        return self.config.image_size

    def bag(self, captions: Sequence[str]) -> Tensor:
        """Which words stand in each caption: (n, words) of 0 and 1.

        The row of an empty caption is all 0. Words that it does not know are left out,
        with a warning that names them.
        """
        bag, unknown = torch.zeros(len(captions), len(self.rows)), []
        for row, caption in zip(bag, captions, strict=True):
            for word in split(caption):
                if word in self.rows:
                    row[self.rows[word]] = 1
                else:
                    unknown.append(word)
        if unknown:
            names = ", ".join(repr(word) for word in dict.fromkeys(unknown))
            warnings.warn(f"unknown to this model, and left out: {names}", stacklevel=2)
        return bag.to(self.unet.first.weight.device)

    def forward(self, x: Tensor, t: Tensor, bag: Tensor) -> Tensor:
        """The predicted x0, of the shape of x."""
        patches = F.pixel_unshuffle(x, self.config.patch)  # (n, 3 p², s / p, s / p)
        return F.pixel_shuffle(self.unet(patches, t, vector=bag), self.config.patch)

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[str],
        *,
        negative: str | Sequence[str] | None = None,
        steps: int = 20,
        guidance: float = 2.0,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        callback: Callable | None = None,
        progress: bool = True,
    ) -> Tensor:
        """Pictures (n, 3, s, s) in [-1, 1], one for each of n prompts.

        An empty prompt asks for nothing in particular. negative: what to steer away
        from, for all or for each; guidance: 0 ignores the prompt, 1 is off. sampler:
        "ddpm", "ddim" or "dpmpp_2m". callback(step, t, x_t, x0) sees every step.
        The same arguments give the same pictures. Raises ValueError for prompts that
        are not a list of strings, and for numbers out of range.
        """
        prompts, negative = check_prompts(prompts, negative)
        walk = diffusion.sampler(sampler)
        bag = halves(self.bag(prompts), self.bag(negative), guidance)
        self.eval()
        denoise = Denoiser(
            lambda x, t: self(x, t, bag),
            self.schedule,
            "x0",
            guidance=guidance,
            threshold=dynamic_threshold,
        )
        generator, side = torch.Generator().manual_seed(seed), self.image_size
        x = torch.randn(len(prompts), 3, side, side, generator=generator)
        with sampling(steps, progress) as line:

            def see(*step):
                line.update()
                return callback and callback(*step)

            options = {"generator": generator, "callback": see}
            x = walk(denoise, x.to(bag.device), self.schedule, steps, **options)
        return x.clamp(-1, 1)

    @classmethod
    def from_size(cls, size: str, *, seed: int = 0) -> "TextToImage":
        """An untrained model; its weights depend on the seed alone."""
        config = TextToImageConfig.from_size(size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(config)
        return model.to(memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(
        cls, source: str | Path = "laptop", *, device: str = "cpu"
    ) -> "TextToImage":
        """A trained model: a shipped size or a saved directory.

        Raises WeightsError for anything missing, damaged, or of another model.
        """
        directory = weights.find(source, "text-to-image")
        what = "text-to-image model"
        config = weights.config_of(TextToImageConfig, directory, what)
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
