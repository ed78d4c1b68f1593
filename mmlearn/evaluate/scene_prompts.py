"""What a model of scenes is asked to draw: scenes of its grammar that it never saw.

    scene_prompts(GRAMMAR)        # 24 seen and 12 held-out prompts of each kind

The caption of a scene is the prompt, its record what a picture of it must hold. All
scenes come from a seed that no training uses.
"""

from collections.abc import Iterator
from dataclasses import replace

from mmlearn import world
from mmlearn.evaluate.prompts import Prompt, held_out_rules
from mmlearn.world.grammar import Grammar, compose
from mmlearn.world.scene import Scene
from mmlearn.world.splits import thing_style

SEED = 43_000_000
CATEGORY = {"count": "counting", "row": "counting", "relation": "positional"}
MOST = 100  # scenes that may be tried for each prompt


def scene_prompts(
    grammar: Grammar, seen: int = 24, held: int = 12, seed: int = SEED
) -> list[Prompt]:
    """``seen`` and ``held`` prompts for each kind of scene; a pure function of these.

    Seen: new scenes of combinations that training showed; held out: of a combination
    that it never did, and the prompt says so. A single thing shows best whether it is
    drawn in a colour or a style it never had, so of these there are twice as many.
    Numbers come equally often, and half of all twos are shapes of two colours, which
    have something to bind. No prompt stands twice. Raises ValueError where a grammar
    has not so many.
    """
    prompts, said = [], set()
    for kind in grammar.kinds:
        for split, n in (("seen", seen), ("held_out", held)):
            n *= 1 + (kind == "single" and split == "held_out")
            for i in range(n):
                record = _record(_narrowed(grammar, kind, split, i), i, seed, said)
                said.add(text := world.caption(record))
                name, category = f"{kind}-{split}-{i}", CATEGORY.get(kind, "colors")
                prompts.append(Prompt(name, category, text, split, record))
    return prompts


def _narrowed(grammar: Grammar, kind: str, split: str, i: int) -> Grammar:
    """The grammar of a kind's prompt number i: so many things, or shapes alone."""
    words = {"kinds": (kind,), "split": "test" if split == "seen" else split}
    if kind in ("count", "row"):
        words["counts"] = (grammar.counts[i % len(grammar.counts)],)
    elif kind == "relation":
        words["relations"] = (grammar.relations[i % len(grammar.relations)],)
    if len(grammar.shapes) > 1 and (i // 4) % 2 and kind in ("pair", "relation"):
        words["things"] = ()
    return replace(grammar, **words)


def _record(grammar: Grammar, i: int, seed: int, said: set[str]) -> Scene:
    """The first fit scene from place i · MOST on, which says what is held out in it."""
    for record in told(grammar, i * MOST, seed):
        shapes = not grammar.things
        if world.caption(record) not in said and (not shapes or _binds(record)):
            return record
    raise ValueError(
        f"this grammar has too few {grammar.split!r} scenes of the kind "
        f"{grammar.kinds[0]!r}: ask for fewer, or give it more words"
    )


def told(grammar: Grammar, start: int, seed: int = SEED) -> Iterator[Scene]:
    """`MOST` scenes from number ``start`` on whose captions tell what is held out.

    A style that is held out for a thing is named; of the splits "train" and "test",
    all scenes are told as they are.
    """
    for index in range(start, start + MOST):
        record = compose(grammar, seed, index)
        things = [item for item in record.items if item.artist]
        if any(thing_style(item.noun, item.artist) for item in things):
            record = record.replace(says=tuple(dict.fromkeys((*record.says, "style"))))
        if grammar.split != "held_out" or held_out_rules(record):
            yield record


def _binds(record: Scene) -> bool:
    """Whether two things differ in noun and colour, so that these may be exchanged."""
    return all(
        len({getattr(item, name) for item in record.items}) == 2
        for name in ("noun", "colour")
    )
