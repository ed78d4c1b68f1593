"""Minimal pairs: the same scene with one fact changed.

A model that reads a caption must tell the two apart; one that only counts words
cannot. Everything that the fact does not touch stays as it was, to the pixel.
"""

from dataclasses import replace

from mmlearn.world import artwork, layout
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.grammar import Lot, clashes
from mmlearn.world.scene import COLOURS, RELATIONS, SHAPES, SIGN, Item, Scene
from mmlearn.world.splits import WORDS
from mmlearn.world.words import WorldError

FACTS = (
    *("noun", "colour", "count", "background", "style"),
    *("order", "binding", "relation", "size", "words"),
)


def facts(scene: Scene) -> tuple[str, ...]:
    """Which facts of a scene can be changed, in the order of ``FACTS``."""
    first, last = scene.items[0], scene.items[-1]
    coloured = [item.colour for item in scene.items[:2]]
    two = len(scene.items) == 2 and SIGN not in (first.noun, last.noun)
    possible = {
        "noun": last.noun != SIGN,
        "colour": last.colour is not None,
        "count": scene.kind == "count",
        "background": True,
        "style": scene.artist is not None,
        "order": scene.relation is not None,
        "relation": scene.relation not in (None, "on top of"),
        "binding": two
        and None not in coloured
        and coloured[0] != coloured[1]
        and first.noun != last.noun,
        "size": scene.kind == "sizes",
        "words": first.noun == SIGN,
    }
    return tuple(fact for fact in FACTS if possible[fact])


def twin(scene: Scene, fact: str | None = None, seed: int = 0) -> Scene:
    """The scene with exactly one fact changed; ``fact`` is one of ``facts(scene)``.

    Without ``fact`` one is picked by lot. Raises :class:`WorldError` for a fact that
    this scene does not have, or that cannot be changed and still be seen.
    """
    lot = Lot((seed << 66) + scene.index)
    possible = facts(scene)
    fact = lot.pick(possible) if fact is None else fact
    if fact not in possible:
        raise WorldError(
            f"this scene has no {fact!r} to change; it has {', '.join(possible)}"
        )
    for _ in range(60):
        other = _CHANGES[fact](scene, lot) if fact in _CHANGES else _swap(scene, fact)
        if not any(
            clashes(item.noun, item.artist, item.colour, other.background)
            for item in other.items
        ):
            return other
    raise WorldError(f"no other {fact!r} can be seen well in this scene")


def _other(lot: Lot, words, *taken):
    return lot.pick([word for word in words if word not in taken])


def _last(scene: Scene, **changes) -> Scene:
    """Change the last item, or every item where they are many of one kind."""
    alike = scene.kind in ("count", "row")
    items = [
        replace(item, **changes) if alike or i == len(scene.items) - 1 else item
        for i, item in enumerate(scene.items)
    ]
    return scene.replace(items=tuple(items))


def _noun(scene: Scene, lot: Lot) -> Scene:
    item, taken = scene.items[-1], {i.noun for i in scene.items}
    if item.noun in SHAPES:
        return _last(scene, noun=_other(lot, SHAPES, *taken))
    concepts = artwork.concepts()
    same = [
        n for n in artwork.everyday() if item.colour is None or concepts[n].tintable
    ]
    return _last(scene, noun=_other(lot, same, *taken))


def _colour(scene: Scene, lot: Lot) -> Scene:
    item, taken = scene.items[-1], {i.colour for i in scene.items}
    colours = (
        COLOURS
        if item.noun in SHAPES
        else [c for c in COLOURS if c not in ("black", "white")]
    )
    return _last(scene, colour=_other(lot, colours, *taken))


def _count(scene: Scene, lot: Lot) -> Scene:
    """One more, or one fewer: the picture is laid out anew, all else is kept."""
    number = len(scene.items)
    other = lot.pick([n for n in (number - 1, number + 1) if 1 <= n <= 5])
    boxes = layout.scattered(other, lot.between)
    return scene.replace(items=tuple(replace(scene.items[0], box=box) for box in boxes))


def _background(scene: Scene, lot: Lot) -> Scene:
    says = tuple(dict.fromkeys(("background", *scene.says)))
    return scene.replace(
        background=_other(lot, BACKGROUNDS, scene.background), says=says
    )


def _style(scene: Scene, lot: Lot) -> Scene:
    styles = [a for a in artwork.TRAIN_ARTISTS if a != scene.artist]
    artist = lot.pick(styles)
    items = tuple(replace(i, artist=artist) if i.artist else i for i in scene.items)
    return scene.replace(items=items, says=tuple(dict.fromkeys((*scene.says, "style"))))


def _relation(scene: Scene, lot: Lot) -> Scene:
    """Another relation between the same two, which are moved to where it holds."""
    choices = [r for r in RELATIONS if r != scene.relation]
    relation = lot.pick(choices)
    nouns = [(item.noun, item.artist) for item in scene.items]
    boxes = layout.related(relation, nouns, lot.between)
    items = tuple(replace(i, box=b) for i, b in zip(scene.items, boxes, strict=True))
    return scene.replace(relation=relation, items=items)


def _words(scene: Scene, lot: Lot) -> Scene:
    sign = scene.items[0]
    lines = sign.words.split()
    lines[0] = _other(lot, WORDS, *lines)
    return scene.replace(items=(replace(sign, words=" ".join(lines)), *scene.items[1:]))


_CHANGES = {
    "noun": _noun,
    "colour": _colour,
    "count": _count,
    "background": _background,
    "style": _style,
    "relation": _relation,
    "words": _words,
}


def _swap(scene: Scene, fact: str) -> Scene:
    """Two items exchange places (order), colours (binding) or sizes."""
    a, b = scene.items
    if fact == "order":
        if scene.relation == "on top of":
            boxes = layout.restacked((b, a))
            return scene.replace(
                items=(replace(b, box=boxes[0]), replace(a, box=boxes[1]))
            )
        # "B left of A" where A was left of B: A and B trade places and roles.
        return scene.replace(items=(replace(b, box=a.box), replace(a, box=b.box)))
    if fact == "binding":
        return scene.replace(
            items=(replace(a, colour=b.colour), replace(b, colour=a.colour))
        )
    return scene.replace(
        items=(
            replace(a, size=b.size, box=_resized(a, b)),
            replace(b, size=a.size, box=_resized(b, a)),
        )
    )


def _resized(item: Item, like: Item):
    """The item's box about its own centre, with the other's side."""
    side = (like.box[2] - like.box[0]) * 64
    x, y = (item.box[0] + item.box[2]) * 32, (item.box[1] + item.box[3]) * 32
    return layout.box(x, y, side)
