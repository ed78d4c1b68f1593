"""Make data/prompts/world_bench.json:  python -m mmlearn.evaluate.make_prompts

A pure function of `SEED`. In each category that a program can judge ten prompts are
seen and ten held out; what a category asks is DrawBench's idea, brought into this
world. Free-text prompts, for human raters only, are written here by hand.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import count
from pathlib import Path

from mmlearn import world
from mmlearn.evaluate.clauses import clauses
from mmlearn.evaluate.prompts import CATEGORIES, Prompt, held_out_rules
from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_file
from mmlearn.world.grammar import Lot
from mmlearn.world.scene import RELATIONS, Scene
from mmlearn.world.words import article

SEED = 20_220_523  # the day DrawBench appeared; of these prompts and of no training
SPLITS = {"seen": "test", "held_out": "held_out"}
MOST_SCENES = 20_000  # looked through for a recipe, before it is given up

# What one does not expect to find there, and what would not carry that.
MISPLACED = {
    "sea": ("bus", "taxi", "bicycle", "cactus", "cow", "tractor", "camel", "chair"),
    "meadow": ("whale", "dolphin", "shark", "crab", "ship", "anchor", "penguin"),
    "snow": ("camel", "cactus", "palm tree", "flamingo", "lobster", "sailboat", "frog"),
    "beach": ("penguin", "snowman", "steam train", "cow", "pig", "bathtub", "pumpkin"),
    "night": ("sun", "rooster", "sunflower", "butterfly", "umbrella", "kite"),
}
HEAVY = ("elephant", "bus", "whale", "castle", "house", "truck", "ship", "tractor")
HEAVY += ("steam train", "fire engine", "cow", "bear", "dinosaur", "giraffe")
FRAGILE = ("egg", "balloon", "mushroom", "cupcake", "light bulb", "snail", "banana")
FRAGILE += ("butterfly", "tulip", "umbrella", "ladybug", "candle", "kite", "spider")

# Words that training captions never hold, each for one noun of this world only.
RARE = {
    **{"eggplant": "aubergine", "truck": "lorry", "bucket": "pail", "snake": "serpent"},
    **{"spider": "arachnid", "bicycle": "velocipede", "violin": "fiddle"},
    **{
        "bus": "omnibus",
        "car": "automobile",
        "backpack": "rucksack",
        "hot dog": "frankfurter",
    },
    **{"umbrella": "brolly", "rooster": "cockerel", "steam train": "locomotive"},
    **{"ladybug": "ladybird", "ghost": "spectre", "alien": "extraterrestrial"},
    **{"robot": "automaton", "crown": "diadem", "elephant": "pachyderm"},
    **{"mushroom": "toadstool", "television": "telly", "airplane": "aeroplane"},
    **{"helicopter": "whirlybird", "book": "tome", "sunflower": "helianthus"},
    **{"pig": "hog", "butterfly": "lepidopteran", "pine tree": "conifer"},
    **{"ant": "emmet", "avocado": "alligator pear", "pineapple": "ananas"},
    **{"bear": "bruin", "cat": "grimalkin", "top hat": "stovepipe hat"},
    **{"dress": "frock", "police car": "squad car", "hedgehog": "hedgepig"},
    **{"camel": "dromedary", "rabbit": "coney", "dinosaur": "sauropod"},
}

BY_HAND = {
    "conflicting": (
        "a campfire burning quietly at the bottom of a lake",
        "a snowman warming its hands at a lit stove",
        "a fish that climbs a ladder to get out of the rain",
        "a left shoe taking its owner for a walk on a leash",
        "a lighthouse that shines darkness over a bright noon sea",
    ),
    "descriptions": (
        "a tool with a long handle and a head of bristles, for moving dust about",
        "a small animal that carries its house and leaves a silver trail behind it",
        "a frame with taut strings that is held under the chin and stroked with a bow",
        "a bag worn on both shoulders, so that both hands stay free",
        "a tall thing on a rock that turns a light at night, so that ships keep away",
    ),
    "gary marcus": (
        "a table with no plates on it beside a table with too many",
        "a child carrying a man who is carrying a ladder",
        "three boxes, of which only the middle one is open",
        "a bird that is larger than the tree it sits in",
        "everything on the shelf is round except what is blue",
    ),
    "reddit": (
        "a lighthouse keeper teaching seagulls to read the morning paper",
        "my grandmother's kitchen, but everything in it is knitted from grey wool",
        "two snails in a serious argument over a move at chess, oil painting",
        "a repair shop for broken clouds, run by a patient octopus, gouache",
        "a town built on a sleeping giant's hat, seen from a balloon at dawn",
    ),
}

TINTABLE = tuple(
    name for name in world.Grammar().things if world.concepts()[name].tintable
)
# A thing painted black or white leaves no drawing, also once colours are exchanged.
PAINTS = tuple(colour for colour in world.COLOURS if colour not in ("black", "white"))
PLAIN = {"name_style": 0.0, "name_background": 0.5}
BARE = {"name_style": 0.0, "name_background": 0.0}


@dataclass(frozen=True)
class Part:
    """Some scenes of a category: how many of each split, and of which kind."""

    n: int
    words: dict  # of the grammar
    rule: str | None = None  # the rule that keeps a held-out one out; None: any
    wanted: Callable[[Scene], bool] = lambda record: True


def _colours(record: Scene) -> int:
    return sum(item.colour is not None for item in record.items)


def _all_coloured(record: Scene) -> bool:
    return _colours(record) == len(record.items)


def _misplaced(record: Scene) -> bool:
    return record.items[0].noun in MISPLACED[record.background]


def _overburdened(record: Scene) -> bool:
    return record.items[0].noun in HEAVY and record.items[1].noun in FRAGILE


def _kinds(*kinds: str, **words) -> dict:
    return {"kinds": kinds} | words


PARTS = {
    "colors": [
        Part(
            5,
            _kinds(kind, things=TINTABLE, tinted=1.0) | PLAIN,
            "colour",
            _all_coloured,
        )
        for kind in ("single", "pair")
    ],
    "conflicting": [
        *(
            Part(
                1,
                _kinds("single", things=nouns, shapes=(), backgrounds=(place,))
                | {"tinted": 0.5, "name_style": 0.5, "name_background": 1.0},
                wanted=_misplaced,
            )
            for place, nouns in MISPLACED.items()
        ),
        Part(
            5,
            _kinds("relation", things=HEAVY + FRAGILE, shapes=(), tinted=0.0)
            | {"relations": ("on top of",)}
            | PLAIN,
            "order",
            _overburdened,
        ),
    ],
    "counting": [Part(5, _kinds(kind) | PLAIN, "count") for kind in ("count", "row")],
    "dalle": [
        Part(
            10,
            _kinds("sizes", tinted=0.6, name_style=0.5, name_background=0.3),
            wanted=lambda record: _colours(record) + ("style" in record.says) >= 2,
        )
    ],
    "descriptions": [
        Part(
            10,
            _kinds("relation", "sizes", "pair", tinted=0.4)
            | {"name_style": 0.6, "name_background": 1.0},
            wanted=lambda record: len(clauses(record)) >= 6,
        )
    ],
    "misspellings": [
        Part(
            10,
            _kinds("single", "pair", "relation", "count", "sizes"),
            wanted=lambda record: any(
                len(word) > 4 for item in record.items for word in item.noun.split()
            ),
        )
    ],
    "positional": [
        Part(2, _kinds("relation", relations=(relation,)) | PLAIN, "order")
        for relation in RELATIONS
    ],
    "rare words": [
        Part(
            10,
            _kinds("single", "pair", "relation", things=tuple(RARE)),
            wanted=lambda record: any(item.noun in RARE for item in record.items),
        )
    ],
    "text": [Part(10, _kinds("sign") | PLAIN, "word")],
}


def _scenes(part: Part, category: str, split: str, taken: set) -> Iterator[Scene]:
    """The first scenes of a split that a part wants and that name nothing taken yet.

    A held-out scene must tell what is held out, and nothing may be that is not told.
    """
    grammar = world.Grammar(split=SPLITS[split], **part.words)
    found = 0
    for index in range(MOST_SCENES):
        if found == part.n:
            return
        record = world.compose(grammar, SEED + CATEGORIES.index(category), index)
        rules = world.held_out(record)
        if rules and part.rule not in (None, *rules):
            continue
        if rules != held_out_rules(record) or not part.wanted(record):
            continue
        # Two prompts about the same things would be nearly one.
        names = {item.noun for item in record.items if item.is_thing}
        names |= {item.words for item in record.items if item.words}
        names = names or {tuple(sorted(item.noun for item in record.items))}
        if not names & taken:
            taken |= names
            found += 1
            yield record
    raise ValueError(f"{MOST_SCENES} scenes hold too few of {category}: {part.words}")


def _reversals(category: str) -> Iterator[tuple[str, Scene]]:
    """Ten pairs of the same words, roles or colours exchanged: one seen, one not."""
    taken = set()
    for fact, rule, words in (
        ("order", "order", _kinds("relation", shapes=(), tinted=0.0)),
        (
            "binding",
            "colour",
            _kinds("pair", things=TINTABLE, colours=PAINTS, tinted=1.0),
        ),
    ):

        def seen_when_exchanged(record: Scene, fact=fact, rule=rule) -> bool:
            if fact not in world.facts(record) or world.held_out(record) != (rule,):
                return False
            try:
                return not world.held_out(world.twin(record, fact))
            except world.WorldError:  # it would not be seen well on this background
                return False

        part = Part(5, words | BARE, rule, seen_when_exchanged)
        for record in _scenes(part, category, "held_out", taken):
            yield "seen", world.twin(record, fact)
            yield "held_out", record


def _records(category: str) -> Iterator[tuple[str, Scene]]:
    """(split, record) of every prompt of a category that a program can judge."""
    if category == "gary marcus":
        yield from _reversals(category)
        return
    for split in SPLITS:
        taken = set()
        for part in PARTS.get(category, ()):
            for record in _scenes(part, category, split, taken):
                yield split, record


def _vocabulary() -> set[str]:
    words = {*world.COLOURS, *world.SHAPES, *(f"{shape}s" for shape in world.SHAPES)}
    for name in world.everyday():
        words |= set(f"{name} {world.concepts()[name].plural or ''}".split())
    return words


def _slips(word: str, known: set[str]) -> list[str]:
    """A word with neighbours exchanged, a letter doubled or (if long) one lost.

    The first letter stays; what comes out is no word of the world, and is nearest to
    the word it was.
    """
    found = []
    for at in range(1, len(word) - 1):
        a, b = word[at], word[at + 1]
        slips = (b + a, a + a + b, b) if len(word) > 6 else (b + a, a + a + b)
        found += [word[:at] + slip + word[at + 2 :] for slip in slips]
    return [
        other
        for other in dict.fromkeys(found)
        if other not in known and get_close_matches(other, known, n=1) == [word]
    ]


def misspell(text: str, lot: Lot) -> str:
    """One or two nouns or colours of five letters or more, with one slip each."""
    known, words = _vocabulary(), text.split()
    able = [i for i, word in enumerate(words) if word in known and len(word) > 4]
    for _ in range(1 + (len(able) > 1 and lot.chance(0.5))):
        able.remove(i := lot.pick(able))
        words[i] = lot.pick(_slips(words[i], known))
    return " ".join(words)


def rare(record: Scene) -> str:
    """The record's caption with a rare word for each noun that has one."""
    text = world.caption(record)
    for item in record.items:
        if word := RARE.get(item.noun):
            painted = f"{item.colour} " if item.colour else ""
            before, after = article(painted + item.noun), article(painted + word)
            text = re.sub(rf"\b{before}\b", after, text)
    return text


def prompts() -> list[Prompt]:
    """All of them, by category; the same on every machine."""
    found, lot = [], Lot(SEED)
    for category in CATEGORIES:
        number = count(1)
        name = category.replace(" ", "-")
        for split, record in _records(category):
            text = world.caption(record)
            if category == "misspellings":
                text = misspell(text, lot)
            elif category == "rare words":
                text = rare(record)
            label = f"{name}-{next(number):02}"
            found.append(Prompt(label, category, text, split, record))
        for text in BY_HAND.get(category, ()):
            found.append(Prompt(f"{name}-{next(number):02}", category, text))
    return found


def as_json(found: list[Prompt]) -> str:
    """A list with one prompt a line."""
    lines = [json.dumps(prompt.to_dict(), ensure_ascii=False) for prompt in found]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def write(path: Path | None = None) -> Path:
    """Write the file, whole or not at all. Returns its path."""
    path = path or data_path("prompts", "world_bench.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(as_json(prompts()).encode())
    return path


if __name__ == "__main__":
    print(write())
