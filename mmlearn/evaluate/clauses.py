"""What a caption claims, clause by clause, and whether a reading bears it out.

    for clause in clauses(record):
        check(clause, reading)       # True, False, or None: the reader is unsure

A clause is what the caption says, no more: the background only where it is named, the
style likewise. How clauses read colours: a shape always has one. A thing has one where
it is painted ("a green dog"); "a dog" is a dog of any colour. A thing in its artist's
own colours has a colour only if painting it that would hardly change it: any bell
counts as yellow, no dog as brown (see `bears`).
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from mmlearn.evaluate import places
from mmlearn.evaluate.reading import SOMETHING, Found, Reading
from mmlearn.world.artwork import STYLES, TRAIN_ARTISTS
from mmlearn.world.phrases import NUMBERS, name_of
from mmlearn.world.scene import COLOURS, SHAPES, SIGN, Scene
from mmlearn.world.sprite_row import original
from mmlearn.world.words import article

CATEGORIES = (
    *("existence", "count", "colour", "binding", "relation", "size", "style"),
    *("background", "words"),
)
NOTHING_ELSE = "nothing else"  # no caption says it; reported beside the categories
# In RGB; half of the 84 by which a thing must stand apart from its background.
ALIKE = 42
MOST_WORLDS = 4096  # a reader with more doubts than this is unsure


@dataclass(frozen=True, slots=True)
class Clause:
    """One claim: its category, in words, and what it is about.

    nouns and colours go together, a colour being None where none is named. value: the
    number, relation, style, background or words that are claimed.
    """

    category: str
    text: str
    nouns: tuple[str, ...] = ()
    colours: tuple[str | None, ...] = ()
    value: str | int | None = None

    def __str__(self) -> str:
        return self.text


def clauses(record: Scene) -> list[Clause]:
    """What the caption of a scene claims, one clause each, in a fixed order.

    existence: of each noun, and as often as the caption names it. count: exactly so
    many ("three foxes", "one fox"; "a fox" counts nothing). colour: one for each thing
    that has one; of counted things all must have it. binding: two things of different
    nouns and colours, each bearing its own; where the colours are exchanged the
    colour clauses fail too. relation: the record's; "in a row"; "under" a sign.
    size: the big one is bigger than the small one. style: all things named are drawn
    so. words: what a sign says.
    Raises ValueError for what is no record of a scene.
    """
    if not isinstance(record, Scene):
        raise ValueError(
            "a caption's clauses are known only from the record of a scene, "
            f"not from a {type(record).__name__}"
        )
    if not record.items:
        raise ValueError("a record without items claims nothing: it has no caption")
    return list(_claims(record))


def _claims(record: Scene) -> Iterator[Clause]:
    items = record.items
    first, last = items[0], items[-1]
    counted = record.kind in ("count", "row")
    distinct = (first,) if counted else items
    plain = replace(first, colour=None)
    many = "" if first.noun == SIGN else name_of(plain, plural=True)
    for noun, times in Counter(item.noun for item in distinct).items():
        text = f"{article(noun)} is there" if times == 1 else f"two {many} are there"
        yield Clause("existence", text, (noun,), value=times)
    if counted:
        number = record.count
        text = f"exactly {NUMBERS[number]} {many if number > 1 else first.noun}"
        yield Clause("count", text, (first.noun,), value=number)
    for item in distinct:
        if item.colour:
            which = "every" if counted else "a"
            text = f"{which} {item.noun} is {item.colour}"
            value = "all" if counted else "some"
            yield Clause("colour", text, (item.noun,), (item.colour,), value)
    nouns = tuple(item.noun for item in items)
    colours = tuple(item.colour for item in items)
    if len(items) == 2 and not counted:
        if None not in colours and len(set(colours)) == len(set(nouns)) == 2:
            text = " and ".join(f"{c} {n}" for c, n in zip(colours, nouns, strict=True))
            yield Clause("binding", f"{text}, not exchanged", nouns, colours)
        if record.relation:
            # Things of one noun are told apart by their colours; others need none.
            told = colours if first.noun == last.noun else (None, None)
            yield _relation(record.relation, nouns, told)
        elif first.noun == SIGN:
            yield _relation("under", nouns[::-1], (None, None))
        if record.kind == "sizes":
            order = sorted(items, key=lambda item: item.size != "big")
            text = "the {} is bigger than the {}".format(*(i.noun for i in order))
            yield Clause("size", text, tuple(item.noun for item in order))
    if record.kind == "row":
        text = f"the {many} stand in a row"
        yield Clause("relation", text, (first.noun,), value="in a row")
    drawn = tuple(dict.fromkeys(item.noun for item in items if item.is_thing))
    style = STYLES.get(record.artist) if "style" in record.says else None
    if style:
        text = f"the {' and the '.join(drawn)}: drawn as {article(style)}"
        yield Clause("style", text, drawn, value=style)
    if "background" in record.says:
        text = f"the background: {record.background}"
        yield Clause("background", text, value=record.background)
    if first.noun == SIGN:
        text = f'the sign says "{first.words}"'
        yield Clause("words", text, (SIGN,), value=first.words)


def _relation(relation: str, nouns: tuple, colours: tuple) -> Clause:
    named = [f"{c} {n}" if c else n for c, n in zip(colours, nouns, strict=True)]
    text = f"the {named[0]} is {relation} the {named[1]}"
    return Clause("relation", text, nouns, colours, relation)


def nothing_else(record: Scene) -> Clause:
    """That nothing is there but what the record holds; no caption claims it.

    One thing too many of a counted noun is the count's mistake, not this one's.
    """
    counted = record.items[0].noun if record.kind in ("count", "row") else None
    nouns = tuple(item.noun for item in record.items)
    return Clause(NOTHING_ELSE, "nothing else is there", nouns, value=counted)


def check(clause: Clause, reading: Reading, certain: float = 0.5) -> bool | None:
    """Whether a reading bears a clause out; None where the reader is too unsure.

    What the reader is less than ``certain`` of may be otherwise: a thing may be there
    or not, a colour, style or words may be those claimed or others. Where the clause
    holds in every such case the answer is True, where it fails in every one False,
    and else None: the judge abstains. A sign's words, a shape's colour, a thing's
    artist or a background that was not read is unsure.
    """
    if not 0 <= certain <= 1:
        raise ValueError(f"certain is a share from 0 to 1, not {certain!r}")
    if clause.category == "background":
        unsure = reading.background_confidence < certain or reading.background is None
        return None if unsure else reading.background == clause.value
    choices = [
        _cases(thing, clause, certain)
        for thing in reading.found
        if thing.noun in clause.nouns or clause.category == NOTHING_ELSE
    ]
    if math.prod(map(len, choices)) > MOST_WORLDS:
        return None
    answers = set()
    for case in itertools.product(*choices):
        there = [thing for thing in case if thing is not None]
        answers.add(_HOLDS[clause.category](clause, there))
        if len(answers) == 2:
            return None
    return answers.pop()


def _cases(thing: Found, clause: Clause, certain: float) -> list[Found | None]:
    """What a thing may be, as far as it matters to the clause; None: not there."""
    cases = [thing]
    asked = set(clause.colours) - {None}
    unread = thing.colour is None and thing.noun in SHAPES
    if asked and (thing.colour_confidence < certain or unread):
        other = next(colour for colour in COLOURS if colour not in asked)
        cases = [replace(thing, colour=c) for c in (*sorted(asked), other)]
    if clause.category == "style":
        if thing.artist_confidence < certain or thing.artist is None:
            same = next(a for a, style in STYLES.items() if style == clause.value)
            cases = [replace(thing, artist=artist) for artist in (same, None)]
    if clause.category == "words":
        if thing.words_confidence < certain or thing.words is None:
            cases = [replace(thing, words=words) for words in (clause.value, None)]
    return cases if thing.confidence >= certain else [*cases, None]


def bears(thing: Found, colour: str) -> bool:
    """Whether a thing has a colour: it is painted so, or its own colours look so."""
    if thing.colour is not None or thing.noun in (*SHAPES, SIGN, SOMETHING):
        return thing.colour == colour
    artists = (thing.artist,) if thing.artist else TRAIN_ARTISTS
    return any(_already(thing.noun, artist, colour) for artist in artists)


@lru_cache(None)
def _already(noun: str, artist: str, colour: str) -> bool:
    """Whether painting a drawing changes it by less than `ALIKE` in the mean."""
    own, painted = (
        original(noun, artist, paint, None, 64).astype(float)
        for paint in (None, colour)
    )
    seen = own[..., 3] > 128
    apart = ((own - painted)[seen][:, :3] ** 2).sum(axis=1) ** 0.5
    return bool(apart.mean() < ALIKE)


def _of(things: Sequence[Found], noun: str, colour: str | None = None) -> list[Found]:
    return [t for t in things if t.noun == noun and (not colour or bears(t, colour))]


def _two(clause: Clause, things: Sequence[Found]) -> Iterator[tuple[Found, Found]]:
    """Every two things that can be the clause's first and second.

    A thing may be both, but no relation holds between a thing and itself.
    """
    colours = clause.colours or (None, None)
    groups = [_of(things, *who) for who in zip(clause.nouns, colours, strict=True)]
    return itertools.product(*groups)


def _exists(clause: Clause, things: Sequence[Found]) -> bool:
    return len(things) >= clause.value


def _count(clause: Clause, things: Sequence[Found]) -> bool:
    return len(things) == clause.value


def _colour(clause: Clause, things: Sequence[Found]) -> bool:
    alike = len(_of(things, clause.nouns[0], clause.colours[0]))
    return alike > 0 and (clause.value == "some" or alike == len(things))


def _related(clause: Clause, things: Sequence[Found]) -> bool:
    if clause.value == "in a row":
        return places.in_a_row(things)
    return any(places.HOLDS[clause.value](a, b) for a, b in _two(clause, things))


def _style(clause: Clause, things: Sequence[Found]) -> bool:
    return bool(things) and all(thing.style == clause.value for thing in things)


def _words(clause: Clause, things: Sequence[Found]) -> bool:
    asked = clause.value.upper().split()
    return any((thing.words or "").upper().split() == asked for thing in things)


def _nothing_else(clause: Clause, things: Sequence[Found]) -> bool:
    there = Counter(t.noun for t in things if t.noun != clause.value)
    return not there - Counter(clause.nouns)


_HOLDS = {
    "existence": _exists,
    "count": _count,
    "colour": _colour,
    "binding": lambda clause, things: any(_two(clause, things)),
    "relation": _related,
    "size": lambda clause, things: any(
        places.bigger(a, b) for a, b in _two(clause, things)
    ),
    "style": _style,
    "words": _words,
    NOTHING_ELSE: _nothing_else,
}
