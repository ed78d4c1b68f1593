"""What captions claim, and whether perfect and doubtful readings bear it out."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from mmlearn import world
from mmlearn.evaluate import Found, Reading, check, clauses, nothing_else, places
from mmlearn.evaluate.clauses import CATEGORIES, bears
from mmlearn.evaluate.reading import SOMETHING
from mmlearn.world import layout

# The category whose clause must fail where a fact of world.FACTS was changed.
BROKEN = {"noun": "existence", "order": "relation"}
arranged = world.arrange


def scenes(split: str, n: int = 300) -> list:
    artists = (*world.TRAIN_ARTISTS, "openmoji")
    grammar = world.Grammar(split=split, artists=artists, name_style=0.5)
    return [world.compose(grammar, 404, index) for index in range(n)]


@pytest.fixture(scope="module")
def records() -> dict:
    return {split: scenes(split) for split in world.SPLITS}


def verdicts(record, reading) -> dict:
    return {clause: check(clause, reading) for clause in clauses(record)}


def painted(reading: Reading, **changes) -> Reading:
    """The reading with some nouns' colours changed: painted(r, dog="red")."""
    found = [
        replace(thing, colour=changes.get(thing.noun, thing.colour))
        for thing in reading.found
    ]
    return replace(reading, found=tuple(found))


@pytest.mark.parametrize("split", world.SPLITS)
def test_every_clause_of_a_caption_holds_on_its_own_scene(records, split):
    asked = Counter()
    for record in records[split]:
        found = verdicts(record, Reading.of(record))
        assert set(found.values()) == {True}, (record, found)
        assert check(nothing_else(record), Reading.of(record)) is True
        asked.update(clause.category for clause in found)
    assert set(asked) == set(CATEGORIES)
    assert {record.kind for record in records[split]} == set(world.KINDS)


def test_a_twin_fails_the_clause_of_the_fact_that_was_changed(records):
    asked = Counter()
    for record in (r for split in world.SPLITS for r in records[split]):
        for fact in world.facts(record):
            try:
                other = world.twin(record, fact, seed=7)
            except world.WorldError:  # nothing else would be seen well there
                continue
            told = record.replace(says=other.says)
            assert set(verdicts(told, Reading.of(record)).values()) == {True}
            found = verdicts(told, Reading.of(other)).items()
            failed = {clause.category for clause, answer in found if answer is False}
            assert BROKEN.get(fact, fact) in failed, (fact, world.caption(told), other)
            asked[fact] += 1
    assert set(asked) == set(world.FACTS) and min(asked.values()) >= 20, asked


def test_what_a_caption_leaves_unsaid_is_not_claimed(records):
    silent = 0
    for record in records["test"]:
        categories = [clause.category for clause in clauses(record)]
        assert ("background" in categories) == ("background" in record.says)
        styled = "style" in record.says and record.artist in world.STYLES
        assert ("style" in categories) == styled
        assert ("count" in categories) == (record.kind in ("count", "row"))
        if "background" not in record.says:
            other = Reading.of(world.twin(record, "background"))
            silent += set(verdicts(record, other).values()) == {True}
    assert silent >= 20


def test_clauses_say_what_the_caption_says():
    scene = arranged("red cube", "fox", relation="above", background="snow")
    assert [str(clause) for clause in clauses(scene)] == [
        "a cube is there",
        "a fox is there",
        "a cube is red",
        "the cube is above the fox",
        "the background: snow",
    ]
    many = arranged("purple egg", count=3, says=())
    assert [clause.text for clause in clauses(many)] == [
        "an egg is there",
        "exactly three eggs",
        "every egg is purple",
    ]


def test_each_relation_is_drawn_so_that_only_it_holds():
    nouns = [("pencil", "noto"), ("cube", None)]
    for seed in range(60):
        for relation in world.RELATIONS:
            draw = random.Random(seed).uniform
            boxes = layout.related(relation, nouns, draw)
            a, b = (
                Found(noun, box, artist=artist)
                for (noun, artist), box in zip(nouns, boxes, strict=True)
            )
            held = [name for name in world.RELATIONS if places.HOLDS[name](a, b)]
            assert held == [relation]


def test_between_on_top_of_and_above_there_is_one_line():
    below = Found("square", (0.3, 0.55, 0.7, 0.95), "red")
    _, top, _, bottom = places.visible(below)
    said = {}
    for step in range(-24, 25):  # halves of a 64th, on the picture's own scale
        gap = step / 128 + 1e-9
        foot = top - gap + (below.box[3] - bottom)
        upper = replace(below, box=(0.3, foot - 0.4, 0.7, foot))
        assert places.visible(upper)[3] == pytest.approx(top - gap)
        holds = [n for n in ("on top of", "above") if places.HOLDS[n](upper, below)]
        assert len(holds) <= 1
        said[step / 2] = holds
    assert [gap for gap, holds in said.items() if holds == ["on top of"]] == [
        step / 2 for step in range(-12, 3)
    ]
    assert all(said[step / 2] == ["above"] for step in range(3, 25))


def test_left_of_is_no_longer_said_of_a_diagonal_or_of_things_that_overlap():
    a = Found("square", (0.05, 0.4, 0.35, 0.7), "red")
    assert places.left_of(a, replace(a, box=(0.45, 0.5, 0.75, 0.8)))
    assert not places.left_of(a, replace(a, box=(0.36, 0.05, 0.66, 0.35)))
    assert not places.left_of(a, replace(a, box=(0.25, 0.4, 0.55, 0.7)))


def test_a_row_is_level_and_a_scattering_is_not():
    def three(boxes):
        return Reading(tuple(Found("fox", box, artist="noto") for box in boxes))

    row = world.compose(world.Grammar(kinds=("row",), counts=(3,), shapes=()), 1, 0)
    clause = next(c for c in clauses(row) if c.category == "relation")
    clause = replace(clause, nouns=("fox",))
    for seed in range(30):
        draw = random.Random(seed).uniform
        assert check(clause, three(layout.row(3, draw))) is True
        assert check(clause, three(layout.scattered(3, draw))) is False
    stairs = [(0.1 + x, 0.1 + x, 0.3 + x, 0.3 + x) for x in (0, 0.25, 0.5)]
    level = [(left, 0.4, right, 0.6) for left, _, right, _ in stairs]
    assert check(clause, three(level)) is True
    assert check(clause, three(stairs)) is False


def test_big_must_be_clearly_bigger():
    grammar = world.Grammar(kinds=("sizes",))
    record = world.compose(grammar, 3, 0)
    clause = next(c for c in clauses(record) if c.category == "size")
    big, small = Reading.of(record).found
    left, _, right, _ = small.box
    for factor, answer in ((1.0, False), (1.3, False), (1.5, True)):
        side = factor * (right - left)
        grown = replace(big, box=(0.2, 0.2, 0.2 + side, 0.2 + side))
        assert check(clause, Reading((grown, small))) is answer


def test_count_is_exact_and_unrelated_things_are_another_matter():
    record = arranged("fox", count=3)
    three = Reading.of(record)
    exists, count, *_ = clauses(record)
    extra = replace(three.found[0], noun="cube", colour="red", artist=None)
    blob = replace(extra, noun=SOMETHING, colour=None)
    for found, exactly, alone in (
        (three.found[:2], False, True),
        ((*three.found, three.found[0]), False, True),
        ((*three.found, extra), True, False),
        ((*three.found, blob), True, False),
    ):
        reading = replace(three, found=found)
        assert check(exists, reading) is True
        assert check(count, reading) is exactly
        assert check(nothing_else(record), reading) is alone
    two = Reading.of(arranged("fox", count=2))
    one = arranged("fox")
    assert "count" not in {clause.category for clause in clauses(one)}
    assert check(nothing_else(one), two) is False


def test_of_counted_things_all_must_have_the_colour_and_the_style():
    record = arranged("red egg", count=3, says=("style",))
    *_, colour, style = clauses(record)
    one, two, three = Reading.of(record).found
    single = clauses(arranged("red egg"))[1]
    for odd, answers in (
        (replace(three, colour="blue"), (False, True, True)),
        (replace(three, artist="fluent_3d"), (True, False, True)),
    ):
        reading = Reading((one, two, odd))
        checked = (check(clause, reading) for clause in (colour, style, single))
        assert tuple(checked) == answers


def test_binding_fails_where_colours_are_exchanged_or_leak():
    record = arranged("green dog", "red cube")
    reading = Reading.of(record)
    binding = next(c for c in clauses(record) if c.category == "binding")
    colours = [c for c in clauses(record) if c.category == "colour"]
    assert check(binding, reading) is True
    for change, right in (
        ({"dog": "red", "cube": "green"}, [False, False]),
        ({"dog": "red"}, [False, True]),
        ({"cube": "green"}, [True, False]),
        ({"dog": None}, [False, True]),
    ):
        other = painted(reading, **change)
        assert check(binding, other) is False
        assert [check(clause, other) for clause in colours] == right
    # A second cube of another colour takes nothing from the first.
    third = replace(reading.found[1], colour="blue")
    assert check(binding, replace(reading, found=(*reading.found, third))) is True


def test_two_things_of_one_noun_are_told_apart_by_their_colours():
    record = arranged("red cube", "blue cube", relation="left of")
    claims = clauses(record)
    assert "binding" not in {clause.category for clause in claims}
    assert set(verdicts(record, Reading.of(record)).values()) == {True}
    swapped = verdicts(record, Reading.of(world.twin(record, "order")))
    failed = [c.category for c, answer in swapped.items() if answer is False]
    assert failed == ["relation"]
    one = replace(Reading.of(record), found=Reading.of(record).found[:1])
    assert check(claims[0], one) is False  # two cubes are named


def test_a_dog_may_have_any_colour_but_a_green_dog_only_green():
    plain, green = arranged("dog", says=()), arranged("green dog", says=())
    assert set(verdicts(plain, Reading.of(green)).values()) == {True}
    assert list(verdicts(green, Reading.of(plain)).values()) == [True, False]
    # A bell in its own colours is as yellow as one painted yellow.
    yellow, blue = arranged("yellow bell", says=()), arranged("blue bell", says=())
    own = Reading.of(arranged("bell"))
    assert list(verdicts(yellow, own).values()) == [True, True]
    assert list(verdicts(blue, own).values()) == [True, False]
    assert not bears(replace(own.found[0], colour="red"), "yellow")


def test_what_the_reader_doubts_makes_the_judge_abstain_only_where_it_matters():
    fox = Reading.of(arranged("fox", count=3)).found
    doubted = (*fox, replace(fox[0], confidence=0.3))
    reading = Reading(doubted, "white")
    exists = clauses(arranged("fox"))[0]
    assert check(exists, reading) is True
    for number, answer in ((2, False), (3, None), (4, None), (5, False)):
        count = clauses(arranged("fox", count=number))[1]
        assert check(count, reading) is answer
        assert check(count, reading, certain=0.2) is (number == 4)
    wolf = clauses(arranged("wolf"))[0]
    assert check(wolf, reading) is False
    assert check(exists, Reading(doubted[3:])) is None


def test_doubts_of_colour_style_words_and_background_are_their_own():
    record = world.arrange("red cube", words="STOP")
    sure = Reading.of(record)
    sign, cube = sure.found
    for found, category in (
        ((sign, replace(cube, colour=None)), "colour"),
        ((sign, replace(cube, colour_confidence=0.4)), "colour"),
        ((replace(sign, words=None), cube), "words"),
        ((replace(sign, words_confidence=0.4), cube), "words"),
    ):
        answers = verdicts(record, replace(sure, found=found))
        assert {c.category for c, a in answers.items() if a is None} == {category}
    unread = replace(sure, background=None)
    assert [a for a in verdicts(record, unread).values() if a is not True] == [None]
    styled = arranged("fox", says=("style",))
    unread = replace(Reading.of(styled).found[0], artist=None)
    assert list(verdicts(styled, Reading((unread,))).values()) == [True, None]


def test_doubt_turns_no_answer_into_its_opposite(records):
    lot, abstained = random.Random(5), 0
    for record in records["test"]:
        try:
            twin = world.twin(record)
        except world.WorldError:
            continue
        sure = Reading.of(twin)
        names = ("confidence", "colour_confidence", "artist_confidence")
        found = tuple(
            replace(thing, **{name: lot.random() for name in names})
            for thing in sure.found
        )
        doubtful = replace(sure, found=found, background_confidence=lot.random())
        for clause in clauses(record):
            answer = check(clause, doubtful)
            assert answer in (None, check(clause, sure))
            assert check(clause, doubtful, certain=0) is check(clause, sure)
            abstained += answer is None
    assert abstained > 100


def test_a_reader_of_nothing_but_doubts_gets_no_answer():
    foxes = Reading.of(arranged("fox", count=5)).found * 3
    doubts = Reading(tuple(replace(fox, confidence=0.1) for fox in foxes))
    exists, count, *_ = clauses(arranged("fox", count=5))
    assert check(exists, doubts) is None and check(count, doubts) is None
    # That fifteen foxes are not ninety-nine would take 2**15 cases to see.
    assert check(replace(count, value=99), doubts) is None


def test_readings_survive_json(records):
    for record in records["held_out"][:50]:
        reading = Reading.of(record, confidence=0.75)
        again = Reading.from_dict(json.loads(json.dumps(reading.to_dict())))
        assert again == reading
    assert Reading.from_dict(Reading().to_dict()) == Reading()


BOX = (0.1, 0.1, 0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Found("foxx", BOX), "no noun 'foxx': did you mean 'fox'"),
        (lambda: Found("fox", (0.5, 0.1, 0.2, 0.5)), "box of 'fox' must be"),
        (lambda: Found("fox", (0.1, 0.1, 1.2, 0.5)), "cut it off"),
        (lambda: Found("fox", (0.1, 0.1, float("nan"), 0.5)), "box of 'fox'"),
        (lambda: Found("cube", BOX, "teal"), "no colour 'teal'"),
        (lambda: Found("fox", BOX, artist="me"), "no artist 'me'"),
        (lambda: Found("fox", BOX, confidence=1.5), "confidence is a number from 0"),
        (lambda: Reading(("fox",)), "made of Found, not of str"),
        (lambda: Reading((), "moon"), "no background 'moon'"),
        (lambda: Reading.of({"file": "a.png"}), "not a dict"),
        (lambda: Reading.from_dict({"background": "sea"}), "no reading of a picture"),
        (lambda: clauses({"file": "a.png"}), "not from a dict"),
        (lambda: check(clauses(arranged("fox"))[0], Reading(), 2), "from 0 to 1"),
    ],
)
def test_bad_input_gets_one_sentence(make, says):
    with pytest.raises(ValueError) as problem:
        make()
    assert says in str(problem.value) and "\n" not in str(problem.value)
