"""A reading: what a detector, a matcher or a human says is in a picture.

A record is the truth and has no doubts; a reading may be wrong, and says how sure it
is. The judge compares a caption's clauses with a reading, never with pixels, so that
what is learned (the reader) and what is exact (the clauses) can be tested apart.
"""

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmlearn.world import artwork
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.scene import COLOURS, SHAPES, SIGN, Scene
from mmlearn.world.words import known

SOMETHING = "something"  # the noun of what is there but is nothing that has a name
_DOUBTS = ("confidence", "colour_confidence", "artist_confidence", "words_confidence")


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a reader found.

    box: (left, top, right, bottom) in [0, 1], the box of the whole drawing as in
    `world.Item`, its transparent margin included. colour: a shape's colour, or a
    thing's tint; None on a thing says "in its own colours", on a shape "not read".
    artist: who drew a thing; None: not read. words: of a sign, in capitals; None: not
    read. ``confidence``: that it is there and has this noun, in [0, 1]; the other
    three: that its colour, artist and words are as said.

    A reader lists what is worth a doubt. What it does not list is not there.
    """

    noun: str  # a concept, a shape, "sign", or "something" that could not be named
    box: tuple[float, float, float, float]
    colour: str | None = None
    artist: str | None = None
    words: str | None = None
    confidence: float = 1.0
    colour_confidence: float = 1.0
    artist_confidence: float = 1.0
    words_confidence: float = 1.0

    def __post_init__(self):
        if self.noun not in (*SHAPES, SIGN, SOMETHING):
            known("noun", self.noun, artwork.concepts())
        if self.colour is not None:
            known("colour", self.colour, COLOURS)
        if self.artist is not None:
            known("artist", self.artist, artwork.ARTISTS)
        for name in _DOUBTS:
            _share(name, getattr(self, name))
        box = tuple(float(side) for side in self.box)
        left, top, right, bottom = box if len(box) == 4 else (math.nan,) * 4
        if not (
            -1e-6 <= left < right <= 1 + 1e-6 and -1e-6 <= top < bottom <= 1 + 1e-6
        ):
            raise ValueError(
                f"the box of {self.noun!r} must be (left, top, right, bottom) with "
                f"0 <= left < right <= 1 and 0 <= top < bottom <= 1, not {self.box}: "
                "cut it off at the picture's edge"
            )
        object.__setattr__(self, "box", box)

    @property
    def style(self) -> str | None:
        """The words that a caption has for the artist's style, if it has any."""
        return artwork.STYLES.get(self.artist)


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a reader found in one picture, and the place it is set in."""

    found: tuple[Found, ...] = ()
    background: str | None = None  # one of BACKGROUNDS; None: not read
    background_confidence: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "found", tuple(self.found))
        if wrong := [thing for thing in self.found if not isinstance(thing, Found)]:
            raise ValueError(
                f"a reading is made of Found, not of {type(wrong[0]).__name__}"
            )
        if self.background is not None:
            known("background", self.background, BACKGROUNDS)
        _share("background_confidence", self.background_confidence)

    @classmethod
    def of(cls, record: Scene, confidence: float = 1.0) -> "Reading":
        """The perfect reading of a scene, equally sure of everything."""
        if not isinstance(record, Scene):
            raise ValueError(
                "only the record of a scene can be read perfectly, "
                f"not a {type(record).__name__}"
            )
        doubts = dict.fromkeys(_DOUBTS, confidence)
        return cls(
            tuple(
                Found(i.noun, i.box, i.colour, i.artist, i.words, **doubts)
                for i in record.items
            ),
            record.background,
            confidence,
        )

    def to_dict(self) -> dict:
        """Plain lists, strings and numbers, ready for JSON."""
        found = [
            {
                key: list(value) if key == "box" else value
                for key, value in asdict(thing).items()
                if value is not None
            }
            for thing in self.found
        ]
        return {
            "found": found,
            "background": self.background,
            "background_confidence": self.background_confidence,
        }

    @classmethod
    def from_dict(cls, reading: dict) -> "Reading":
        """The inverse of :meth:`to_dict`; raises ValueError for what is no reading."""
        try:
            things = [Found(**thing) for thing in reading["found"]]
            return cls(**{**reading, "found": tuple(things)})
        except (TypeError, KeyError) as problem:
            raise ValueError(f"this is no reading of a picture: {problem}") from None


Read = Callable[[Tensor], Sequence[Reading]]  # (n, 3, h, w) -> n readings


def read_all(read: Read, images: Tensor) -> list[Reading]:
    """What ``read`` says of ``images`` (n, 3, h, w) in [-1, 1]: n readings.

    Raises ValueError for pictures of another shape or range, and for a reader that
    does not return one reading a picture.
    """
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 4 or shape[1] != 3 or not shape[0]:
        raise ValueError(f"pictures have the shape (n, 3, h, w), not {shape}")
    if not images.dtype.is_floating_point:
        raise ValueError(f"pictures are floats in [-1, 1], not {images.dtype}")
    low, high = (float(edge) for edge in torch.aminmax(images))
    if not (-1.001 <= low and high <= 1.001):
        raise ValueError(
            f"pictures lie in [-1, 1], but these go from {low:.3g} to {high:.3g}: "
            "clamp or rescale them"
        )
    readings = list(read(images))
    if len(readings) != shape[0] or not all(isinstance(r, Reading) for r in readings):
        raise ValueError(
            f"a reader returns one Reading a picture: {shape[0]} were wanted, "
            f"{len(readings)} came"
        )
    return readings


def _share(name: str, value: float) -> None:
    if not (isinstance(value, numbers.Real) and 0 <= value <= 1):
        raise ValueError(f"{name} is a number from 0 to 1, not {value!r}")
