"""A scene: the exact record of what is in a picture.

A record holds facts, never pixels, so it is equal on every machine, prints as JSON,
and draws at any size. Boxes are in fractions of the picture: (left, top, right,
bottom), the origin at the top left.
"""

import math
from dataclasses import asdict, dataclass, replace

from mmlearn.world import artwork
from mmlearn.world.words import WorldError, known

COLOURS = {
    "red": (222, 40, 40),
    "orange": (250, 130, 20),
    "yellow": (250, 212, 35),
    "green": (45, 160, 65),
    "blue": (40, 100, 235),
    "purple": (140, 70, 200),
    "pink": (252, 135, 190),
    "brown": (130, 80, 42),
    "black": (32, 32, 36),
    "white": (250, 250, 248),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cube")
RELATIONS = ("left of", "right of", "above", "below", "on top of")
KINDS = ("single", "count", "row", "relation", "sizes", "pair", "sign")
SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing, coloured shape or sign in a scene."""

    noun: str  # an everyday noun, a shape, or "sign"
    box: tuple[float, float, float, float]
    colour: str | None = None  # a shape's colour, or a thing's tint
    artist: str | None = None  # who drew it; none for shapes and signs
    size: str | None = None  # "big" or "small" where that was meant
    words: str | None = None  # what a sign says

    @property
    def is_thing(self) -> bool:
        """Whether an artist drew it."""
        return self.artist is not None


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in one picture, and what its caption says of it."""

    kind: str  # one of KINDS
    background: str
    items: tuple[Item, ...]
    relation: str | None = None  # items[0] <relation> items[1]
    variant: int = 0  # which of the background's pictures
    says: tuple[str, ...] = ("background",)  # "background", "style": told if present
    phrasing: float = 0.0  # picks among the phrasings of the caption, in [0, 1)
    index: int = 0

    @property
    def count(self) -> int:
        """How many things and shapes there are, signs left aside."""
        return sum(item.noun != SIGN for item in self.items)

    @property
    def artist(self) -> str | None:
        """Who drew the things; none where there are only shapes and signs."""
        return next((item.artist for item in self.items if item.artist), None)

    def replace(self, **changes) -> "Scene":
        """The same scene with other fields."""
        return replace(self, **changes)

    def to_dict(self) -> dict:
        """Plain lists, strings and numbers, ready for JSON."""
        record = asdict(self)
        record["says"] = list(self.says)
        record["items"] = [
            {k: list(v) if k == "box" else v for k, v in item.items() if v is not None}
            for item in record["items"]
        ]
        return record

    @classmethod
    def from_dict(cls, record: dict) -> "Scene":
        """The inverse of :meth:`to_dict`; raises WorldError for what cannot be."""
        try:
            items = tuple(
                Item(**{**item, "box": tuple(item["box"])}) for item in record["items"]
            )
            fields = {**record, "items": items}
            fields["says"] = tuple(fields.get("says", ("background",)))
            scene = cls(**fields)
        except (TypeError, KeyError) as problem:
            raise WorldError(f"this is no record of a scene: {problem}") from None
        return validate(scene)


def validate(scene: Scene) -> Scene:
    """The scene itself, if every word in it is known and every box lies inside."""
    from mmlearn.world.backgrounds import BACKGROUNDS

    known("kind of scene", scene.kind, KINDS)
    known("background", scene.background, BACKGROUNDS)
    if scene.relation is not None:
        known("relation", scene.relation, RELATIONS)
        if len(scene.items) != 2:
            raise WorldError(
                f"{scene.relation!r} is between two items, not {len(scene.items)}"
            )
    for item in scene.items:
        if item.noun != SIGN and item.noun not in SHAPES:
            known("noun", item.noun, artwork.concepts())
            known("artist", item.artist, artwork.ARTISTS)
        if item.colour is not None:
            known("colour", item.colour, COLOURS)
        inside = all(
            math.isfinite(side) and -1e-6 <= side <= 1 + 1e-6 for side in item.box
        )
        left, top, right, bottom = item.box if len(item.box) == 4 else (0, 0, 0, 0)
        if not (inside and left < right and top < bottom):
            raise WorldError(
                f"the box of {item.noun!r} must be (left, top, right, bottom) with "
                f"0 <= left < right <= 1 and 0 <= top < bottom <= 1, not {item.box}"
            )
    return scene
