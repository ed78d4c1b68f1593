"""Every picture a scene can be made of, at every pixel size it was ever needed.

Scaling a drawing is the slow part of drawing a scene, so each drawing is scaled once
per pixel size and kept in one long row of packed pixels on the device.
"""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from mmlearn.world import artwork, shapes
from mmlearn.world.scene import COLOURS, SIGN, Item

# Beyond this the row starts afresh (a few hundred pictures of 1,024 pixels).
MOST_PIXELS = 100_000_000


def tint(rgba: np.ndarray, colour: str) -> np.ndarray:
    """Paint a drawing another colour and keep its light and shade.

    Each pixel's lightness, relative to the drawing's, scales the colour: darker
    than usual goes towards black, lighter towards white.
    """
    rgb, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3:] / 255
    light = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    solid = alpha[..., 0] > 0.5
    usual = np.median(light[solid])
    ratio = (light / max(float(usual), 1.0))[..., None]
    target = np.array(COLOURS[colour], np.float32)
    lighter = np.clip((ratio - 1) / (255 / max(float(usual), 1.0) - 1 + 1e-6), 0, 1)
    painted = np.where(
        ratio < 1, target * ratio, target + (255 - target) * lighter * 0.6
    )
    return np.concatenate([painted.round().astype(np.uint8), rgba[..., 3:]], axis=-1)


@lru_cache(4096)
def original(
    noun: str, artist: str | None, colour: str | None, words: str | None, least: int
):
    """The picture of an item, at least ``least`` pixels wide where one was shipped."""
    if noun == SIGN:
        return shapes.sign(words)
    if artist is None:  # one concept, "star", is called as a shape is
        return shapes.shape(noun, colour)
    part = "everyday" if artwork.concepts()[noun].everyday else "more"
    sizes = artwork.sizes_of(artist, part)
    size = next((s for s in sizes if s >= least), sizes[-1])
    picture = artwork.sprite(noun, artist, size)
    return tint(picture, colour) if colour else picture


@lru_cache(4096)
def extent(
    noun: str, artist: str | None, colour: str | None = None
) -> tuple[float, ...]:
    """The visible part of a drawing's box: (left, top, right, bottom) in [0, 1]."""
    alpha = original(noun, artist, colour or "red", None, 64)[..., 3] > 64
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    height, width = alpha.shape
    return (
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )


@lru_cache(4096)
def contact(noun: str, artist: str | None, share: float = 0.1) -> tuple[float, float]:
    """Where a drawing stands, and where another can stand on it, from left to right.

    The centres of the lowest and of the highest tenth of what is visible, in [0, 1].
    """
    alpha = original(noun, artist, "red" if artist is None else None, None, 64)[..., 3]
    rows = np.flatnonzero((alpha > 64).any(1))
    few = max(1, round(share * len(rows)))
    low, high = (alpha[edge] > 64 for edge in (rows[-few:], rows[:few]))
    foot, head = (
        (np.nonzero(part)[1].mean() + 0.5) / len(alpha) for part in (low, high)
    )
    return float(foot), float(head)


def scaled(picture: np.ndarray, width: int, height: int) -> torch.Tensor:
    """Scale RGBA to ``(height * width,)`` int32, premultiplied bytes.

    By Pillow, in whole numbers and always on the CPU, so that a drawing has the same
    bytes on every device.
    """
    premultiplied = Image.fromarray(picture).convert("RGBa")
    small = premultiplied.resize((width, height), Image.BILINEAR, reducing_gap=3.0)
    return torch.from_numpy(np.array(small).view(np.int32).reshape(-1))


class SpriteRow:
    """All scaled pictures on one device, one after another in one row of pixels."""

    def __init__(self, device: torch.device):
        self.device = device
        self.clear()

    def clear(self):
        """Forget everything."""
        self.start: dict[tuple, int] = {}
        self.used = 0
        self.pixels = torch.zeros(1 << 20, dtype=torch.int32, device=self.device)

    def place(self, item: Item, width: int, height: int) -> int:
        """Where the item's picture at this size begins in the row."""
        key = (item.noun, item.artist, item.colour, item.words, width, height)
        start = self.start.get(key)
        return self.add(key) if start is None else start

    def add(self, key: tuple) -> int:
        """Scale a picture and append it, doubling the row when it is full."""
        *what, width, height = key
        # The next larger master, so that scaling always goes down where it can.
        least = max(width, height)
        picture = scaled(
            original(*what, least=64 if least <= 64 else 128 if least <= 128 else 256),
            width,
            height,
        )
        need = self.used + picture.numel()
        if need > self.pixels.numel():
            grown = torch.zeros(
                max(2 * self.pixels.numel(), need),
                dtype=torch.int32,
                device=self.device,
            )
            grown[: self.used] = self.pixels[: self.used]
            self.pixels = grown
        self.pixels[self.used : need] = picture.to(self.device)
        self.start[key], self.used = self.used, need
        return self.start[key]


@lru_cache(8)
def sprite_row(device: torch.device) -> SpriteRow:
    """The one row of a device."""
    return SpriteRow(device)
