"""The grammar: which scenes there are, and how one is drawn by lot.

``compose(grammar, seed, index)`` is a pure function: the same scene for the same
three, on every machine. Only ``random.random`` of Python's own generator is used,
whose sequence is guaranteed not to change.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from random import Random

from mmlearn.world import artwork, layout, splits
from mmlearn.world.backgrounds import BACKGROUNDS, VARIANTS, main_colours
from mmlearn.world.scene import COLOURS, KINDS, RELATIONS, SHAPES, SIGN, Item, Scene
from mmlearn.world.sprite_row import original
from mmlearn.world.words import WorldError, known

MOST_TRIES = 400


@dataclass(frozen=True)
class Grammar:
    """The words that scenes are made of. Empty tuples leave that part out.

    ``things`` are everyday nouns (by default those that every artist drew clearly).
    ``split`` is "train" or "test" (no held-out combination, other scenes) or
    "held_out" (at least one).
    """

    things: tuple[str, ...] | None = None
    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = tuple(COLOURS)
    backgrounds: tuple[str, ...] = BACKGROUNDS
    artists: tuple[str, ...] = artwork.TRAIN_ARTISTS
    kinds: tuple[str, ...] = KINDS
    relations: tuple[str, ...] = RELATIONS
    counts: tuple[int, ...] = (1, 2, 3, 4, 5)
    tinted: float = 0.15  # how often a thing that takes a tint gets one
    name_background: float = 0.8  # how often the caption names the background
    name_style: float = 0.3  # how often it names the style
    split: str = "train"

    def __post_init__(self):
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        if self.things is None:
            clear = (n for n in artwork.everyday() if artwork.concepts()[n].clear)
            object.__setattr__(self, "things", tuple(clear))
        for kind, chosen, all_of_them in (
            ("everyday noun", self.things, artwork.everyday()),
            ("shape", self.shapes, SHAPES),
            ("colour", self.colours, COLOURS),
            ("background", self.backgrounds, BACKGROUNDS),
            ("artist", self.artists, artwork.ARTISTS),
            ("kind of scene", self.kinds, KINDS),
            ("relation", self.relations, RELATIONS),
            ("split", (self.split,), splits.SPLITS),
        ):
            if isinstance(chosen, str):
                raise WorldError(
                    f"a list of {kind}s was expected, not {chosen!r} alone"
                )
            for word in chosen:
                known(kind, word, all_of_them)
        if not set(self.counts) <= {1, 2, 3, 4, 5}:
            raise WorldError(f"counts are 1 to 5, not {self.counts}")
        if not (self.things or self.shapes) or not (self.kinds and self.backgrounds):
            raise WorldError("a grammar needs a noun, a kind of scene and a background")
        if (self.things and not self.artists) or (self.shapes and not self.colours):
            raise WorldError("things need an artist and shapes need a colour")


class Lot:
    """Draws by lot from one scene's own generator."""

    def __init__(self, key: int):
        self.random = Random(key).random

    def pick(self, words):
        """One of the words, each as likely."""
        return words[int(self.random() * len(words))]

    def between(self, low: float, high: float) -> float:
        """A number from ``low`` up to ``high``, each as likely."""
        return low + (high - low) * self.random()

    def chance(self, share: float) -> bool:
        """True as often as ``share`` says."""
        return self.random() < share


def compose(grammar: Grammar, seed: int, index: int) -> Scene:
    """The scene number ``index`` of a seed.

    A draw that the split does not allow, or in which a thing would be lost against
    its background, is drawn again from the same generator.
    """
    # Splits draw from different streams, so "test" never repeats a scene of "train".
    stream = splits.SPLITS.index(grammar.split)
    lot = Lot((seed << 66) + (stream << 64) + index)
    for _ in range(MOST_TRIES):
        scene = _draw(grammar, lot, index)
        if scene is None or any(
            clashes(item.noun, item.artist, item.colour, scene.background)
            for item in scene.items[:2]
        ):
            continue
        if bool(splits.held_out(scene)) == (grammar.split == "held_out"):
            return scene
    raise WorldError(
        f"no {grammar.split!r} scene was found in {MOST_TRIES} draws: this grammar "
        "allows (nearly) none; give it more nouns, colours, kinds or backgrounds"
    )


def _draw(grammar: Grammar, lot: Lot, index: int) -> Scene | None:
    """One draw; None where what was drawn cannot be put together."""
    kind = lot.pick(grammar.kinds)
    artist = lot.pick(grammar.artists) if grammar.artists else None
    relation, words = None, None
    if kind == "single":
        nouns = [_noun(grammar, lot, artist)]
        boxes = layout.single(lot.between)
    elif kind in ("count", "row"):
        nouns = _many(grammar, lot, kind, artist)
        if not nouns:
            return None
        place = layout.scattered if kind == "count" else layout.row
        boxes = place(len(nouns), lot.between)
    elif kind == "sign":
        words = _words(grammar, lot)
        # Below a sign of two lines there is no room for a thing one could tell.
        under = " " not in words and lot.chance(0.75)
        nouns = [_noun(grammar, lot, artist)] if under else []
        boxes = layout.signposted(len(words.split()), bool(nouns), lot.between)
        sign = Item(SIGN, boxes[0], words=words)
    else:
        small = kind == "sizes"
        nouns = [_noun(grammar, lot, artist), _noun(grammar, lot, artist, small)]
        alike = (
            nouns[0] == nouns[1] if kind == "relation" else nouns[0][0] == nouns[1][0]
        )
        if alike and not (kind == "pair" and nouns[0][1] != nouns[1][1]):
            return None
        if kind == "relation":
            relation = lot.pick(grammar.relations)
            places = [(noun, drawn_by) for noun, _, drawn_by in nouns]
            boxes = layout.related(relation, places, lot.between)
        else:
            boxes = (layout.unlike if kind == "sizes" else layout.beside)(lot.between)
    sizes = ("big", "small") if kind == "sizes" else (None,) * len(boxes)
    spots = boxes[1:] if kind == "sign" else boxes
    items = [
        Item(noun, spot, colour, drawn_by, size)
        for (noun, colour, drawn_by), spot, size in zip(
            nouns, spots, sizes, strict=False
        )
    ]
    if kind == "sign":
        items.insert(0, sign)
    styled = lot.chance(grammar.name_style) and nouns and all(noun[2] for noun in nouns)
    says = ("background",) if lot.chance(grammar.name_background) else ()
    return Scene(
        kind,
        lot.pick(grammar.backgrounds),
        tuple(items),
        relation,
        variant=int(lot.between(0, VARIANTS)),
        says=says + ("style",) if styled else says,
        phrasing=lot.random(),
        index=index,
    )


def _many(grammar: Grammar, lot: Lot, kind: str, artist: str | None) -> list[tuple]:
    """Several times one noun; an empty list where the draw cannot be put together."""
    least, most = (1, 5) if kind == "count" else (2, 4)
    allowed = [n for n in grammar.counts if least <= n <= most]
    if not allowed:
        return []
    number = lot.pick(allowed)
    noun = _noun(grammar, lot, artist, small=number > (3 if kind == "count" else 2))
    # Four things in a row are too small to tell apart; four shapes are not.
    return [] if kind == "row" and number == 4 and noun[2] else [noun] * number


def _noun(grammar: Grammar, lot: Lot, artist: str | None, small: bool = False) -> tuple:
    """(noun, colour, artist): a coloured shape, a thing, or a tinted thing.

    What is drawn ``small`` is a shape or a plain thing in its own colours, as long as
    the grammar has one: a small kangaroo is a brown smudge.
    """
    things = (_plain(grammar.things) or grammar.things) if small else grammar.things
    if grammar.shapes and (not things or lot.chance(0.35)):
        return lot.pick(grammar.shapes), lot.pick(grammar.colours), None
    thing = lot.pick(things)
    takes_tint = artwork.concepts()[thing].tintable and _tints(grammar.colours)
    if takes_tint and not small and lot.chance(grammar.tinted):
        return thing, lot.pick(_tints(grammar.colours)), artist
    return thing, None, artist


@lru_cache(None)
def _plain(things: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(thing for thing in things if artwork.concepts()[thing].plain)


def _words(grammar: Grammar, lot: Lot) -> str:
    """One word, or two; a held-out word only where held-out scenes are wanted."""
    first = lot.pick(splits.WORDS)
    if grammar.split == "held_out" and lot.chance(0.5):
        first = lot.pick(splits.HELD_OUT_WORDS)
    second = lot.pick([word for word in splits.WORDS if word != first])
    return f"{first} {second}" if lot.chance(0.25) else first


@lru_cache(None)
def _tints(colours: tuple[str, ...]) -> tuple[str, ...]:
    """The colours that a thing is painted in; black and white leave no drawing."""
    return tuple(colour for colour in colours if colour not in ("black", "white"))


@lru_cache(None)
def clashes(noun: str, artist: str | None, colour: str | None, background: str) -> bool:
    """Whether an item would be hard to see before a background.

    It is where, for any main colour of the background, fewer than half of its
    visible pixels stand apart from that colour by more than 84 in RGB.
    """
    if noun == SIGN:
        return False
    picture = original(noun, artist, colour, None, 64)
    step = max(1, picture.shape[0] // 32)
    picture = picture[::step, ::step].astype(float)
    body = picture[picture[..., 3] > 128][:, :3]
    for main in main_colours(background):
        apart = ((body - main) ** 2).sum(1) ** 0.5
        if (apart > 84).mean() < 0.5:
            return True
    return False
