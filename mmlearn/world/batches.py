"""Batches of scenes and of single drawings, each a pure function of seed and index."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from mmlearn.world import artwork, layout
from mmlearn.world.backgrounds import BACKGROUNDS, VARIANTS
from mmlearn.world.grammar import Grammar, Lot, clashes, compose
from mmlearn.world.phrases import PLACES, caption
from mmlearn.world.render import draw
from mmlearn.world.scene import Item, Scene
from mmlearn.world.splits import thing_style
from mmlearn.world.words import WorldError, article, known


@dataclass(frozen=True)
class Batch:
    """Pictures, what each caption says, and what is really in each picture."""

    images: torch.Tensor  # (n, 3, h, w) float32 in [-1, 1]
    captions: list[str]
    records: list  # Scene, or a dict for a reader's own pictures

    def __len__(self) -> int:
        return len(self.captions)

    def __repr__(self) -> str:
        return f"Batch({len(self)} pictures {tuple(self.images.shape[1:])})"

    def to(self, device) -> "Batch":
        """The same batch with its images on another device."""
        return replace(self, images=self.images.to(device))


def _whole(name: str, value, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise WorldError(
            f"{name} must be a whole number, at least {least}, not {value!r}"
        )
    return value


def scenes(
    n: int,
    seed: int = 0,
    size: int = 64,
    *,
    start: int = 0,
    device: str | torch.device = "cpu",
    grammar: Grammar | None = None,
    **words,
) -> Batch:
    """Scenes ``start`` to ``start + n`` of a seed, drawn at ``size`` pixels (16-1,024).

    ``words`` narrow the :class:`Grammar`: ``things=["fox", "car"]``, ``colours=…``,
    ``kinds=["single"]``, ``split="held_out"`` and so on. The scene of a (seed, index)
    is the same at every size, in every batch and on every machine.
    """
    records = [
        compose(grammar_of(grammar, **words), _whole("seed", seed, 0), index)
        for index in range(_whole("start", start, 0), start + _whole("n", n, 1))
    ]
    return Batch(draw(records, size, device), [caption(r) for r in records], records)


def different_scenes(
    n: int, seed: int = 0, size: int = 64, *, index: int = 0, device="cpu", **words
) -> Batch:
    """``n`` scenes with ``n`` different captions: batch number ``index`` of a seed.

    For contrastive training, and for galleries to search in: a caption that stood
    twice would have two right pictures. ``words`` as in :func:`scenes`.
    """
    kept, start = {}, _whole("index", index, 0) * 100 * _whole("n", n, 1)
    grammar = grammar_of(**words)
    for i in range(start, start + 100 * n):
        record = compose(grammar, _whole("seed", seed, 0), i)
        kept.setdefault(caption(record), record)
        if len(kept) == n:
            records = list(kept.values())
            return Batch(draw(records, size, device), list(kept), records)
    raise WorldError(
        f"{100 * n} scenes of this grammar have only {len(kept)} different captions, "
        f"not {n}: ask for fewer, or give it more words"
    )


def grammar_of(grammar: Grammar | None = None, **words) -> Grammar:
    """A grammar with some of its words replaced; unknown names are refused."""
    words = {k: tuple(v) if isinstance(v, list) else v for k, v in words.items()}
    return _grammar(grammar or _standard(), tuple(sorted(words.items())))


@lru_cache(1)
def _standard() -> Grammar:
    return Grammar()


@lru_cache(256)
def _grammar(grammar: Grammar, words: tuple) -> Grammar:
    for name, _ in words:
        known("part of the grammar", name, Grammar.__dataclass_fields__)
    return replace(grammar, **dict(words))


def drawings(
    n: int,
    seed: int = 0,
    size: int = 64,
    *,
    index: int = 0,
    concepts=None,
    artists=artwork.TRAIN_ARTISTS,
    backgrounds=BACKGROUNDS,
    split: str | None = None,
    may_say: tuple[str, ...] = ("background", "style"),
    device: str | torch.device = "cpu",
) -> Batch:
    """``n`` single drawings of ``n`` different concepts, each on some background.

    Made for contrastive training: no concept, hence no caption, stands twice in a
    batch, so ``n`` is at most the number of ``concepts`` (default: everyday nouns).
    ``index`` counts the batches of a seed. ``split`` leaves out
    things in a style that is held out for them ("train"), or all others ("held_out").
    Captions name the thing and, for some pictures, what else they ``may_say``.
    Any of the 837 concepts may be asked for; only everyday nouns take an article, as
    other names can be plural ("pancakes").
    """
    names = artwork.everyday() if concepts is None else tuple(concepts)
    if isinstance(concepts, str) or not names:
        raise WorldError("concepts must be a list of names with at least one in it")
    for artist in artists:
        known("artist", artist, artwork.ARTISTS)
    for name in names:
        known("concept", name, artwork.concepts())
    if split is not None:
        known("split", split, ("train", "held_out"))
    drawn_by = _drawn_by(names, tuple(artists), split)
    if _whole("n", n, 1) > len(drawn_by):
        raise WorldError(
            f"a batch of {n} different drawings needs {n} concepts, but only "
            f"{len(drawn_by)} were given: ask for fewer, or give more concepts"
        )
    lot = Lot((_whole("seed", seed, 0) << 66) + (3 << 64) + _whole("index", index, 0))
    order = list(drawn_by)
    records = []
    for i in range(n):
        # Fisher and Yates: the first n of a shuffle are n different ones.
        j = i + int(lot.random() * (len(order) - i))
        order[i], order[j] = order[j], order[i]
        scene = _drawing(order[i], drawn_by[order[i]], backgrounds, lot, index)
        says = tuple(fact for fact in scene.says if fact in may_say)
        records.append(scene.replace(says=says))
    return Batch(draw(records, size, device), [_label(r) for r in records], records)


@lru_cache(64)
def _drawn_by(names: tuple, artists: tuple, split: str | None) -> dict[str, tuple]:
    """The artists that a split allows for each name; names without any are left out."""
    wanted = {
        name: tuple(
            artist
            for artist in artists
            if split is None or thing_style(name, artist) == (split == "held_out")
        )
        for name in names
    }
    return {name: chosen for name, chosen in wanted.items() if chosen}


def _drawing(name: str, artists, backgrounds, lot: Lot, index: int) -> Scene:
    artist = lot.pick(artists)
    side = lot.between(34, 60)
    room = 31 - side / 2
    x, y = 32 + lot.between(-room, room), 32 + lot.between(-room, room)
    seen = [b for b in backgrounds if not clashes(name, artist, None, b)]
    item = Item(name, layout.box(x, y, side), artist=artist)
    says = ("background",) if lot.chance(0.5) else ()
    says += ("style",) if lot.chance(0.3) else ()
    variant = int(lot.between(0, VARIANTS))
    return Scene(
        "single",
        lot.pick(seen or backgrounds),
        (item,),
        variant=variant,
        says=says,
        phrasing=lot.random(),
        index=index,
    )


def _label(record: Scene) -> str:
    name = record.items[0].noun
    concept = artwork.concepts()[name]
    if concept.everyday:
        return caption(record)
    style = artwork.STYLES.get(record.artist) if "style" in record.says else None
    place = PLACES[record.background][0] if "background" in record.says else ""
    return f"{article(style or 'picture')} of {name} {place}".rstrip()
