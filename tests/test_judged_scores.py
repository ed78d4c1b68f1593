"""Tables of verdicts: intervals over prompts, the judge's errors removed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlearn import world
from mmlearn.evaluate import (
    Clause,
    Reading,
    Verdict,
    bootstrap,
    corrected,
    corrected_interval,
    judge_readings,
    read_all,
    table,
)
from mmlearn.evaluate.clauses import CATEGORIES
from mmlearn.evaluate.judged import ALL_CLAUSES, NOTHING_ELSE, WHOLE


def verdict(prompt, nothing_else=True, **answers) -> Verdict:
    claims = tuple(Clause(category, category) for category in answers)
    return Verdict(prompt, claims, tuple(answers.values()), nothing_else)


def by_category(rows) -> dict:
    return {row["category"]: row for row in rows}


def test_a_prompt_is_right_only_if_all_its_clauses_are():
    verdicts = [
        verdict("a", colour=True, count=True, nothing_else=False),
        verdict("b", colour=True, count=False),
        verdict("c", colour=None, count=True),
        verdict("d", colour=None, count=False),
    ]
    rows = by_category(table(verdicts))
    assert list(rows) == ["count", "colour", ALL_CLAUSES, WHOLE, NOTHING_ELSE]

    def counts(name):
        return [rows[name][key] for key in ("right", "wrong", "abstained", "n")]

    assert counts("colour") == [2, 0, 2, 4]
    assert counts(ALL_CLAUSES) == [4, 2, 2, 8]
    assert counts(WHOLE) == [1, 2, 1, 4]
    assert counts(NOTHING_ELSE) == [3, 1, 0, 4]
    assert rows[ALL_CLAUSES]["share"] == 0.5 and rows[WHOLE]["share"] == 0.25
    strict = by_category(table(verdicts, strict=True))
    assert strict[WHOLE]["right"] == 0 and strict[ALL_CLAUSES]["n"] == 12


def test_a_tables_intervals_draw_prompts_with_all_their_clauses():
    verdicts = [verdict(i, count=i % 3 > 0) for i in range(12)]
    verdicts += [verdict(i, count=i % 2 > 0) for i in (1, 2, 3) for _ in range(9)]
    (row, *_) = table(verdicts)
    right = [int(i % 3 > 0) + 9 * (i in (1, 3)) for i in range(12)]
    of = [1 + 9 * (i in (1, 2, 3)) for i in range(12)]
    assert (row["right"], row["n"], row["prompts"]) == (sum(right), sum(of), 12)
    assert (row["low"], row["high"]) == pytest.approx(bootstrap(right, of=of), abs=1e-4)


def test_a_perfect_reader_of_real_scenes_is_right_everywhere():
    records = world.scenes(60, seed=8, size=16, name_style=0.5).records
    verdicts = judge_readings(records, [Reading.of(r) for r in records])
    rows = table(verdicts)
    assert {row["share"] for row in rows} == {1.0}
    assert {row["category"] for row in rows} == {*CATEGORIES, ALL_CLAUSES, WHOLE} | {
        NOTHING_ELSE
    }
    assert all(row["low"] < 1 for row in rows)  # 60 of 60 is not certainty


def simulated(lot, prompts: int, pictures: int, spread: float, true: float):
    """(right, asked) of each prompt; prompts differ, pictures of one are alike."""
    rates = lot.beta(true * spread, (1 - true) * spread, prompts)
    return [(int(lot.binomial(pictures, rate)), pictures) for rate in rates]


def test_intervals_over_prompts_cover_the_truth_and_those_over_pictures_do_not():
    lot, covered = np.random.default_rng(1), {"prompts": 0, "pictures": 0}
    for _ in range(200):
        tallies = simulated(lot, 50, 8, 1.0, 0.6)
        right, of = zip(*tallies, strict=True)
        low, high = bootstrap(right, draws=400, of=of)
        covered["prompts"] += low <= 0.6 <= high
        pictures = [float(i < k) for k, n in tallies for i in range(n)]
        low, high = bootstrap(pictures, draws=200)
        covered["pictures"] += low <= 0.6 <= high
    assert 0.88 <= covered["prompts"] / 200 <= 0.99, covered
    assert covered["pictures"] / 200 < 0.75, covered


def test_a_prompt_with_more_pictures_weighs_as_much_as_it_has():
    assert bootstrap([3, 0], of=[3, 1])[1] == 1.0
    low, high = bootstrap([30.0] * 40 + [0.0] * 40, of=[30] * 40 + [1] * 40)
    assert 0.94 < low < 30 / 31 < high < 0.99
    for bad in ([1], [1, 0]):
        with pytest.raises(ValueError, match="one number above 0 in `of`"):
            bootstrap([1, 0], of=bad)


def test_rogan_gladen_recovers_the_true_share_and_the_naive_share_does_not():
    lot = np.random.default_rng(0)
    for true, se, sp in ((0.3, 0.9, 0.8), (0.8, 0.85, 0.95), (0.05, 0.99, 0.9)):
        holds = lot.random(40_000) < true
        said = np.where(holds, lot.random(40_000) < se, lot.random(40_000) >= sp)
        assert abs(corrected(said.mean(), se, sp) - true) < 0.015
        assert abs(said.mean() - true) > 0.05
    assert corrected(0.37, 1, 1) == pytest.approx(0.37)
    assert corrected(0.02, 0.9, 0.9) == 0 and corrected(0.98, 0.9, 0.9) == 1


def test_the_corrected_interval_covers_the_truth():
    lot, true, se, sp = np.random.default_rng(3), 0.5, 0.85, 0.9
    covered = {"corrected": 0, "card taken for exact": 0, "naive": 0}
    for _ in range(200):
        holds = simulated(lot, 150, 4, 6.0, true)
        said = [
            (int(lot.binomial(k, se) + lot.binomial(n - k, 1 - sp)), n)
            for k, n in holds
        ]
        card = (int(lot.binomial(60, se)), 60), (int(lot.binomial(60, sp)), 60)
        low, high = corrected_interval(said, *card, draws=500)
        covered["corrected"] += low <= true <= high
        right, of = zip(*said, strict=True)
        ends = bootstrap(right, draws=500, of=of)
        covered["naive"] += ends[0] <= true <= ends[1]
        rates = [k / n for k, n in card]
        low, high = (corrected(end, *rates) for end in ends)
        covered["card taken for exact"] += low <= true <= high
    assert 0.9 <= covered["corrected"] / 200 <= 0.995, covered
    assert covered["card taken for exact"] / 200 < 0.88, covered
    assert covered["naive"] / 200 < 0.85, covered


def test_a_card_without_a_mistake_is_not_taken_for_infallible():
    said = [(3, 4)] * 10 + [(1, 4)] * 10
    few = corrected_interval(said, (10, 10), (10, 10))
    many = corrected_interval(said, (5000, 5000), (5000, 5000))
    plain = bootstrap([k for k, _ in said], of=[n for _, n in said])
    assert many == pytest.approx(plain, abs=0.01)
    assert few[1] - few[0] > 1.1 * (many[1] - many[0])
    low, high = corrected_interval([(4, 4)] * 20, (90, 100), (90, 100))
    assert 0.6 < low < 1 and high == 1


def test_a_judge_that_hardly_tells_right_from_wrong_leaves_the_share_open():
    low, high = corrected_interval([(2, 4)] * 10 + [(1, 4)] * 10, (6, 10), (5, 10))
    assert (low, high) == (0, 1)


def test_the_table_takes_the_cards_errors_out():
    verdicts = [
        verdict(i, colour=i % 10 < 6, count=True, style=True) for i in range(200)
    ]
    card = {
        "colour": {"sensitivity": (90, 100), "specificity": (80, 100)},
        "count": {"sensitivity": (50, 100), "specificity": (50, 100)},
    }
    rows = by_category(table(verdicts, card))
    colour = rows["colour"]
    assert colour["share"] == 0.6
    assert colour["corrected"] == pytest.approx(0.4 / 0.7, abs=1e-4)
    assert colour["corrected_low"] < 0.48 < 0.66 < colour["corrected_high"]
    for unknown in ("count", "style", WHOLE):  # guessing, or not on the card
        assert rows[unknown]["corrected"] is None


# Many pictures, and readers that err.

BENCH = world.scenes(40, seed=6, size=16, name_style=0.3).records


def blind(images):
    """A reader that sees one red fox on a meadow in every picture."""
    return [Reading.of(world.arrange("fox", background="meadow"))] * len(images)


def test_pictures_of_one_prompt_are_one_witness():
    records = [BENCH[0]] * 4 + [BENCH[1]] * 4
    readings = [Reading.of(BENCH[0])] * 8
    alone = by_category(table(judge_readings(records, readings)))[WHOLE]
    joined = judge_readings(records, readings, ["a"] * 4 + ["b"] * 4)
    joined = by_category(table(joined))[WHOLE]
    assert (alone["n"], alone["prompts"]) == (8, 8)
    assert (joined["n"], joined["prompts"]) == (8, 2)
    assert joined["share"] == alone["share"] == 0.5
    assert joined["high"] - joined["low"] > alone["high"] - alone["low"]


def test_a_reader_that_errs_is_corrected_by_its_own_card():
    """Half the pictures have another's colour; the reader misses one colour in six."""
    lot = np.random.default_rng(2)
    records = world.scenes(300, seed=3, size=16, kinds=["single"], things=[]).records
    twins = [world.twin(record, "colour") for record in records]

    def misread(record):
        reading = Reading.of(record)
        if lot.random() < 1 / 6:
            colour = str(lot.choice(list(world.COLOURS)))
            found = (replace(reading.found[0], colour=colour),)
            reading = replace(reading, found=found)
        return reading

    def right(pictures):
        verdicts = judge_readings(records, [misread(r) for r in pictures])
        row = by_category(table(verdicts))["colour"]
        return row["right"], row["n"]

    hits, asked = right(records)
    passed, _ = right(twins)
    counts = {"sensitivity": (hits, asked), "specificity": (asked - passed, asked)}
    mixed = [
        t if lot.random() < 0.3 else r for r, t in zip(records, twins, strict=True)
    ]
    truth = np.mean([m is r for m, r in zip(mixed, records, strict=True)])
    verdicts = judge_readings(records, [misread(r) for r in mixed])
    row = by_category(table(verdicts, {"colour": counts}))["colour"]
    assert abs(row["corrected"] - truth) < 0.05 < truth - row["share"]
    assert row["corrected_low"] < truth < row["corrected_high"]


IMAGES = torch.zeros(2, 3, 16, 16)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: corrected(0.5, 0.5, 0.5), "no better than guessing"),
        (lambda: corrected(1.5, 0.9, 0.9), "the share must lie from 0 to 1"),
        (lambda: corrected(0.5, 90, 0.9), "sensitivity must lie"),
        (lambda: corrected_interval([(1, 2)], (5, 4), (4, 4)), "5 of 4 is no rate"),
        (lambda: corrected_interval([(1, 2)], (0, 4), (4, 4)), "guessing"),
        (lambda: table([]), "at least one verdict"),
        (lambda: judge_readings(BENCH, []), "40 records and 40 prompts for 0"),
        (lambda: read_all(blind, IMAGES[0]), "(n, 3, h, w), not (3, 16, 16)"),
        (lambda: read_all(blind, IMAGES + 2), "from 2 to 2"),
        (lambda: read_all(blind, IMAGES / 0), "from nan to nan"),
        (lambda: read_all(blind, IMAGES.int()), "floats in [-1, 1], not torch.int32"),
        (lambda: read_all(lambda x: [], IMAGES), "2 were wanted, 0 came"),
        (lambda: read_all(lambda x: ["fox"] * 2, IMAGES), "one Reading a picture"),
    ],
)
def test_bad_input_gets_one_sentence(make, says):
    with pytest.raises(ValueError) as problem:
        make()
    assert says in str(problem.value) and "\n" not in str(problem.value)
