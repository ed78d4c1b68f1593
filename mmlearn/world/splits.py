"""What training never shows: combinations held out so that they can be asked for later.

Every rule is a pure function of names. A scene of the split "train" or "test" holds
none of these combinations; one of the split "held_out" holds at least one.
"""

import hashlib
from functools import lru_cache

from mmlearn.world.artwork import TRAIN_ARTISTS
from mmlearn.world.scene import COLOURS, SHAPES, SIGN, Scene

SPLITS = ("train", "test", "held_out")

WORDS = (
    *("CAT", "DOG", "SUN", "SEA", "HI", "HELLO", "YES", "NO", "GO", "STOP", "EXIT"),
    *("OPEN", "HOME", "CAFE", "PARK", "TAXI", "BUS", "ZOO", "FARM", "BEACH", "LOVE"),
    *("PEACE", "HAPPY", "MUSIC", "BOOKS", "TEA", "CAKE", "PIZZA", "FRESH", "SALE"),
    *("LEFT", "RIGHT", "NORTH", "SOUTH", "WELCOME", "THANKS", "QUIET", "PLAY", "STAR"),
    *("HOT", "COLD", "NEW", "OLD", "BIG", "SLOW", "FAST"),
)
HELD_OUT_WORDS = ("EAST", "WEST", "SHOP", "HOTEL", "MILK", "RAIN", "LUCK", "DEEP")


@lru_cache(None)
def _share(*names) -> float:
    """A number in [0, 1) that depends on the names alone."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@lru_cache(None)
def thing_style(noun: str, artist: str) -> bool:
    """Whether this noun is held out in this style: one style of three nouns in ten."""
    chosen = int(_share("which style", noun) * len(TRAIN_ARTISTS))
    return _share("thing-style", noun) < 0.3 and artist == TRAIN_ARTISTS[chosen]


@lru_cache(None)
def colour_noun(colour: str, noun: str) -> bool:
    """Whether this colour of this shape, or tint of this thing, is held out.

    Each shape misses one colour of the ten, no two of the first seven the same one.
    """
    if noun in SHAPES:
        return (list(COLOURS).index(colour) + 3 * SHAPES.index(noun)) % len(
            COLOURS
        ) == 0
    return _share("colour-thing", colour, noun) < 0.1


@lru_cache(None)
def count(noun: str, number: int) -> bool:
    """Whether this many (two or more) of this noun are held out: one in ten."""
    return number > 1 and _share("count", noun, number) < 0.1


@lru_cache(None)
def ordered_pair(first: str, relation: str, second: str) -> bool:
    """Whether these two nouns are held out in this order.

    "A right of B" is "B left of A", and "A below B" is "B above A". One unordered
    pair in five misses one of its two orders; the other order stays in training.
    """
    if relation in ("right of", "below"):
        first, second = second, first
    axis = {"left of": "across", "right of": "across"}.get(relation, "up")
    low, high = sorted((first, second))
    missing = (
        (low, high) if _share("which order", axis, low, high) < 0.5 else (high, low)
    )
    return (
        low != high
        and _share("order", axis, low, high) < 0.2
        and (first, second) == missing
    )


def held_out(scene: Scene) -> tuple[str, ...]:
    """The names of the rules that keep a scene out of training; none for most."""
    found = []
    for item in scene.items[:2]:
        if item.noun == SIGN:
            if any(word in HELD_OUT_WORDS for word in item.words.split()):
                found.append("word")
            continue
        if item.artist and thing_style(item.noun, item.artist):
            found.append("thing-style")
        if item.colour and colour_noun(item.colour, item.noun):
            found.append("colour")
    first = scene.items[0]
    if scene.kind in ("count", "row") and count(first.noun, len(scene.items)):
        found.append("count")
    if scene.relation and ordered_pair(first.noun, scene.relation, scene.items[1].noun):
        found.append("order")
    return tuple(dict.fromkeys(found))
