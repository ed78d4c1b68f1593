"""Stand-ins for an autoencoder, a U-Net and a text tower, for 05_stable_diffusion.

They are quick and sure: each wrong way of using them gives numbers of its own.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.check.hints import random

MIX = 2.5 * random(4, 3, seed=11)  # what each latent channel makes of the colours
LEVELS = torch.tensor([3.0, -1.0, 0.5, 2.0])  # the means of the four channels


def encode(images: Tensor) -> Tensor:
    """As an encoder: pictures (n, 3, h, w) to latents (n, 4, h/2, w/2), not scaled."""
    small = F.avg_pool2d(images, 2)
    return torch.einsum("lc,nchw->nlhw", MIX, small) + LEVELS[:, None, None]


def decode(latents: Tensor) -> Tensor:
    """As a decoder: latents (n, 4, h, w), not scaled, to pictures (n, 3, 2 h, 2 w)."""
    colours = torch.einsum("lc,nlhw->nchw", MIX, (latents / 5).sin())
    return F.interpolate(colours / 5, scale_factor=2)


def read(texts: Sequence[str]) -> Tensor:
    """As a text tower: n texts to the states (n, 3, 6) of their words.

    Raises AssertionError for what is no list of texts.
    """
    if not isinstance(texts, list | tuple) or not all(
        isinstance(x, str) for x in texts
    ):
        raise AssertionError(f"read takes a list of texts, not {texts!r}")
    seeds = [sum(ord(x) * (i + 1) for i, x in enumerate(text)) for text in texts]
    return torch.stack([random(3, 6, seed=seed) for seed in seeds])


class Network:
    """As a U-Net that reads words; what it says of a row depends on that row alone.

    x (n, c, h, w), t (n,): those that belong together. texts: lists of n texts, of
    which each picture may be told its own, and the empty one. calls: how many rows it
    was given, each time.
    """

    def __init__(self, x: Tensor, t: Tensor, *texts: Sequence[str]):
        self.x, self.t, self.calls = x, t, []
        self.words = [read([*some]) for some in texts]
        self.words.append(read([""] * len(x)))

    def __call__(self, x: Tensor, t: Tensor, words: Tensor) -> Tensor:
        rows = len(x), len(t), len(words)
        self.calls.append(rows)
        if len(set(rows)) > 1:
            raise AssertionError(
                "the network was given {} pictures, {} times and words of {} texts; "
                "it needs as many of each".format(*rows)
            )
        if hint := self.mixed(x, t, words):
            raise AssertionError(hint)
        return self.says(x, t, words)

    def says(self, x: Tensor, t: Tensor, words: Tensor) -> Tensor:
        """Its answer (n, c, h, w), without a look at whose rows these are."""
        heard = words.flatten(1).cumsum(dim=1).sin().sum(dim=1) + t / 300
        return (x * x.square().add(1).log() + heard[:, None, None, None]).sin() + x / 3

    def mixed(self, x: Tensor, t: Tensor, words: Tensor) -> str | None:
        """The first row whose picture, time and words are not one picture's own."""
        owner = owners(x, self.x)
        others = {"time": owners(t, self.t), "words": owners(words, *self.words)}
        for row in range(len(x)):
            for what, other in others.items():
                if not owner[row].any() or not other[row].any():
                    continue
                if not (owner[row] & other[row]).any():
                    i, j = owner[row].int().argmax(), other[row].int().argmax()
                    return (
                        f"row {row} of your batch has picture {i} and the {what} of "
                        f"picture {j}: each needs its own time and its own words"
                    )
        return None


def owners(mine: Tensor, *wholes: Tensor) -> Tensor:
    """(rows, n), True where a row of mine is that of the n in one of the wholes."""
    found = torch.zeros(len(mine), len(wholes[0]), dtype=torch.bool)
    for whole in wholes:
        if mine.shape[1:] == whole.shape[1:]:
            a, b = mine.reshape(len(mine), 1, -1), whole.reshape(len(whole), -1)
            found |= (a == b).all(dim=2)
    return found


def parted(x: Tensor, heads: int) -> Tensor:
    """x (n, t, heads · d) as (n, heads, t, d)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dim: int = 3
) -> tuple[Tensor, Tensor]:
    """Heads (n, heads, t, d) put together (n, t, heads · d), and the shares.

    The softmax runs over `dim` of the fits (n, heads, t, keys).
    """
    shares = (q @ k.transpose(2, 3) * scale).softmax(dim)
    return (shares @ v).transpose(1, 2).flatten(2), shares
