"""Put a scene together by hand: what the widget of the first notebook calls."""

from mmlearn.world import artwork, layout
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.grammar import Lot
from mmlearn.world.scene import COLOURS, RELATIONS, SHAPES, SIGN, Item, Scene
from mmlearn.world.shapes import check_words
from mmlearn.world.words import WorldError, known


def arrange(
    *nouns: str,
    relation: str | None = None,
    count: int = 1,
    background: str = "white",
    artist: str = "noto",
    words: str | None = None,
    says: tuple[str, ...] = ("background",),
    seed: int = 0,
) -> Scene:
    """A scene of one or two nouns: ``arrange("fox", "red cube", relation="left of")``.

    A noun is an everyday noun, a shape with its colour ("red cube"), or a tinted thing
    ("green dog"). ``count`` repeats a single noun; ``words`` puts it under a sign.
    Raises :class:`WorldError` for a word the world does not have.
    """
    lot = Lot(seed)
    known("background", background, BACKGROUNDS)
    parts = [_parse(noun, artist) for noun in nouns]
    if len(parts) > 2 or not (parts or words):
        raise WorldError(
            f"a scene has one or two nouns, or a sign, not {len(parts)} nouns"
        )
    if count != 1 and (len(parts) != 1 or words or count not in range(1, 6)):
        raise WorldError(
            f"only a single noun without a sign is counted, 1 to 5, not {count}"
        )
    if words and len(parts) == 2:
        raise WorldError("one noun fits under a sign, not two")
    kind, places = "single", [(noun, drawn_by) for noun, _, drawn_by in parts]
    if words:
        kind, words = "sign", check_words(words)
        boxes = layout.signposted(len(words.split()), bool(parts), lot.between)
    elif len(parts) == 2 and relation:
        kind = "relation"
        boxes = layout.related(
            known("relation", relation, RELATIONS), places, lot.between
        )
    elif len(parts) == 2:
        kind, boxes = "pair", layout.beside(lot.between)
    elif relation:
        raise WorldError(f"{relation!r} needs two nouns, not one")
    elif count > 1:
        kind, parts = "count", parts * count
        boxes = layout.scattered(count, lot.between)
    else:
        boxes = layout.single(lot.between)
    spots = boxes[len(boxes) - len(parts) :]
    items = tuple(
        Item(noun, spot, colour, drawn_by)
        for (noun, colour, drawn_by), spot in zip(parts, spots, strict=True)
    )
    if words:
        items = (Item(SIGN, boxes[0], words=words), *items)
    relation = relation if kind == "relation" else None
    return Scene(kind, background, items, relation, says=tuple(says))


def _parse(text: str, artist: str) -> tuple[str, str | None, str | None]:
    """ "red cube" -> ("cube", "red", None); "green dog" -> ("dog", "green", artist)."""
    known("artist", artist, artwork.ARTISTS)
    if text in artwork.everyday():
        return text, None, artist
    colour, _, noun = text.partition(" ")
    if noun in SHAPES:
        return noun, known("colour", colour, COLOURS), None
    if colour in COLOURS and noun in artwork.everyday():
        if not artwork.concepts()[noun].tintable:
            raise WorldError(
                f"a {noun} cannot be painted {colour}: its drawing is too dark or busy"
            )
        return noun, colour, artist
    if text in SHAPES:
        raise WorldError(f"a {text} needs a colour, such as 'red {text}'")
    known("noun", text, [*artwork.everyday(), *(f"red {shape}" for shape in SHAPES)])
    return text, None, artist
