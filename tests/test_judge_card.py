"""The judge's card: truth that is known, counts done by hand, refusals in words."""

import json

import pytest
import torch

from mmlearn import world
from mmlearn.evaluate import (
    Reading,
    Verdict,
    judge_bench,
    judge_card,
    judge_eyes,
    judge_seen,
    table,
)
from mmlearn.evaluate.clauses import CATEGORIES, NOTHING_ELSE, check, clauses
from mmlearn.evaluate.judge_agreement import compared
from mmlearn.evaluate.judge_bench import DAMAGE_SEED, Plan
from mmlearn.evaluate.judge_damage import (
    DAMAGES,
    MALFORMED,
    _reading,
    can_be_malformed,
    damaged,
)
from mmlearn.evaluate.judge_trials import (
    OTHER,
    OWN,
    ROWS,
    TURNS,
    TWIN,
    Answer,
    Trial,
    answers,
    asking,
    scenes,
    scored,
    trials,
    twins,
)
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE
from mmlearn.evaluate.reading import SOMETHING
from mmlearn.train.malform import BROKEN, FINE, GONE

N = 4 * len(TURNS)  # every kind of scene, twice from both splits
PLAN = Plan(N, (32,), (32,), 3, 26)
DRAWN = scenes(N)
NOTHING = Reading()


def learnt() -> dict:
    """The perfect reading of every picture that the tiny plan shows, by its bytes."""
    own = [scene for _, scene in DRAWN]
    known = dict(zip(world.draw(own, 32), map(Reading.of, own), strict=True))
    for damage in DAMAGES:
        spoilt = [s for _, s in scenes(PLAN.spoilt, DAMAGE_SEED)]
        chosen = [s for s in spoilt if can_be_malformed(s) or damage not in MALFORMED]
        known |= dict(damaged(s, damage, DAMAGE_SEED + i) for i, s in enumerate(chosen))
    for entry in judge_eyes.stand_ins(PLAN.eyes):
        how = entry["how"]
        scene = world.Scene.from_dict(how["scene"])
        known |= dict([damaged(scene, how["damage"], how["seed"], how["px"])])
    return {image.numpy().tobytes(): truth for image, truth in known.items()}


KNOWN = learnt()


def read(images) -> list[Reading]:
    """A reader that knows these pictures by heart; nothing where there is no truth."""
    return [KNOWN[image.numpy().tobytes()] or NOTHING for image in images]


def seeing_nothing(images, records=None) -> list[Reading]:
    return [NOTHING] * len(images)


def nodding(images, which, records):
    """Two readers that say yes to every clause of every record."""
    said = []
    for picture, record in zip(which, records, strict=True):
        claims = tuple(clauses(record))
        said.append(Verdict(picture, claims, (True,) * len(claims), True))
    return said, said


PERFECT = asking(read, lambda images, records: read(images))
BLIND = asking(seeing_nothing, seeing_nothing)


# What the truth is, and how it is counted.


def test_every_minimal_pair_makes_a_clause_of_the_own_record_or_its_own_false():
    changed = 0
    for i, (_, scene) in enumerate(DRAWN):
        truth = Reading.of(scene)
        assert all(check(clause, truth) is True for clause in clauses(scene))
        for fact, record in twins(scene, i):
            wrong = [c for c in clauses(record) if check(c, truth) is False]
            assert wrong, f"{fact} of scene {i}"
            changed += 1
    assert changed > 2 * N


def test_every_picture_is_judged_by_its_own_record_its_twins_and_anothers():
    asked = trials(DRAWN)
    for i, (split, scene) in enumerate(DRAWN):
        mine = [trial for trial in asked if trial.picture == i]
        kinds = [trial.asked for trial in mine]
        assert kinds == [OWN, *[TWIN] * len(twins(scene, i)), OTHER]
        assert mine[0].record == scene != mine[-1].record
        assert mine[-1].record.kind == scene.kind
        assert {trial.split for trial in mine} == {split}
        assert {trial.truth for trial in mine} == {Reading.of(scene)}


def test_a_clause_that_several_records_repeat_is_asked_once_of_a_picture():
    fox = world.arrange("fox", "owl", says=())
    own = Trial(0, fox, Reading.of(fox))
    elsewhere = Trial(1, fox, Reading.of(fox))
    said = Verdict(0, tuple(clauses(fox)), (True,) * len(clauses(fox)), True)
    once = answers([own], [said])
    assert [a.category for a in once[-2:]] == [NOTHING_ELSE, WHOLE]
    again = answers([own, own], [said] * 2)
    assert len(again) == len(once) + 1  # whole prompts are records, and count each
    assert len(answers([own, elsewhere], [said] * 2)) == 2 * len(once)


def test_counts_of_four_answers_are_those_done_by_hand():
    fox = world.arrange("fox")
    asked = [Trial(i, fox, Reading.of(fox)) for i in range(3)]
    found = [
        Answer(asked[0], "colour", None, True, True),
        Answer(asked[0], "colour", None, True, None),
        Answer(asked[1], "colour", None, False, True),
        Answer(asked[2], "colour", None, False, None),
    ]
    colour, every = scored(found, px=64)
    assert colour["category"] == "colour" and every["category"] == ALL_CLAUSES
    for row in (colour, every):
        assert row["px"] == 64 and row["pictures"] == 3
        assert (row["true"], row["said true"], row["sensitivity"]) == (2, 1, 0.5)
        assert (row["false"], row["not said true"], row["specificity"]) == (2, 1, 0.5)
        assert (row["open of true"], row["open of false"]) == (1, 1)
        assert (row["accuracy"], row["of answered"]) == (0.25, 0.5)
    (only, _) = scored(found[:1])
    assert (only["sensitivity"], only["specificity"]) == (1, None)
    assert 0 < only["sensitivity low"] < 1  # one of one is not certainty


def test_a_reader_is_asked_once_a_picture_and_its_second_once_a_list_of_nouns():
    shown = {"first": 0, "second": []}

    def first(images):
        shown["first"] += len(images)
        return read(images)

    def second(images, records):
        shown["second"].append(len(records))
        return read(images)

    own = [scene for _, scene in DRAWN[:2]]
    images, which = world.draw(own, 32), [0, 0, 1, 1]
    records = [own[0], own[0], own[0], own[1]]
    one, other = asking(first, second, at_once=2)(images, which, records)
    assert shown == {"first": 2, "second": [2, 1]}
    assert [v.prompt for v in one] == [v.prompt for v in other] == which
    assert one[0].whole is True and one[3].whole is True


# Readers whose errors are known.


def test_a_perfect_reader_errs_in_no_category():
    rows = judge_bench.card(PERFECT, PLAN)
    for wrong in (TWIN, OTHER):
        every = [r for r in rows if (r["scenes"], r["wrong"]) == ("both", wrong)]
        assert [row["category"] for row in every] == list(ROWS)
        assert all(row["true"] for row in every)
    for row in rows:
        assert row["sensitivity"] in (1, None) and row["specificity"] in (1, None)
        assert row["accuracy"] == 1 and row["open of true"] == 0
    twin = [r for r in rows if (r["scenes"], r["wrong"]) == ("both", TWIN)]
    assert {r["category"] for r in twin if r["specificity"]} >= {*CATEGORIES, WHOLE}


def test_saying_yes_to_everything_has_no_specificity():
    rows = judge_bench.card(nodding, PLAN)
    assert {row["sensitivity"] for row in rows if row["true"]} == {1}
    assert {row["specificity"] for row in rows if row["false"]} == {0}


def test_seeing_nothing_has_no_sensitivity():
    rows = [r for r in judge_bench.card(BLIND, PLAN) if r["true"]]
    for row in rows:
        # Of a picture without anything, nothing else is there.
        assert row["sensitivity"] == (row["category"] == NOTHING_ELSE)
    assert {row["specificity"] for row in rows if row["category"] == WHOLE} == {1}


def test_pairs_are_told_apart_by_who_sees_and_by_nobody_else():
    rows = judge_bench.pairs(PERFECT, PLAN)
    assert len(rows) > 5
    for row in rows:
        assert row["told apart"] == 1 and row["yes and no"] == row["pairs"] > 0
        assert row["yes to both"] == row["own open"] == row["twin open"] == 0
    for row in judge_bench.pairs(nodding, PLAN):
        assert row["told apart"] == 0 and row["yes to both"] == row["pairs"]


def test_every_damage_has_a_truth_that_a_perfect_reader_says():
    rows = judge_bench.spoilt(PERFECT, PLAN)
    for row in rows:
        assert row["sensitivity"] in (1, None) and row["specificity"] in (1, None)
        assert (row["kind"] == "malformed") == (row["damage"] in MALFORMED)
    assert {row["damage"] for row in rows} >= {*DAMAGES} - {*MALFORMED}


def test_what_is_left_of_a_thing_says_what_it_is():
    scene = world.arrange("fox", "owl")
    whole = Reading.of(scene)
    fox, owl = whole.found
    assert _reading(scene, 1.0) == whole == _reading(scene, FINE)
    assert _reading(scene, (FINE + BROKEN) / 2) is None  # nobody knows: ask eyes
    broken, gone = _reading(scene, BROKEN), _reading(scene, GONE)
    assert [(f.noun, f.box) for f in broken.found[1:]] == [(SOMETHING, owl.box)]
    assert broken.found[0] == fox and gone.found == (fox,)


def test_witnesses_that_contradict_each_other_are_counted():
    rows = judge_bench.witnesses(PERFECT, PLAN)
    names = {"detector", "matcher", "together", "contradicted"}
    assert {row["witness"] for row in rows} == names
    assert not any(row.get("contradicted") for row in rows)
    assert {row.get("sensitivity", 1) for row in rows} <= {1, None}

    # The second reader misses everything in the first picture, and there alone.
    first = KNOWN[world.draw([DRAWN[0][1]], 32)[0].numpy().tobytes()]
    rows = judge_bench.witnesses(
        asking(read, lambda x, _: [NOTHING if r == first else r for r in read(x)]),
        PLAN,
    )
    found = {r["category"]: r for r in rows if r["witness"] == "contradicted"}
    texts = {c.text for c in clauses(DRAWN[0][1]) if c.category != "background"}
    assert found[ALL_CLAUSES]["contradicted"] == len(texts) > 0
    assert NOTHING_ELSE not in found and WHOLE not in found
    together = [r for r in rows if r["witness"] == "together"]
    every = next(r for r in together if r["category"] == ALL_CLAUSES)
    assert every["open of true"] == len(texts)


# The card, as tables take it.


@pytest.fixture
def shipped(monkeypatch) -> dict:
    """A card of a perfect reader that stands as if it had been shipped."""
    rows = judge_bench.card(PERFECT, PLAN)
    result = {"rows": rows, "commit": "abc", "checkpoints": {"judge-x": "12345678ff"}}
    monkeypatch.setattr(judge_card, "result_names", lambda: [judge_card.NAME])
    monkeypatch.setattr(judge_card, "load_result", lambda name: result)
    monkeypatch.setattr(judge_card, "stale", lambda name: [])
    return result


def test_the_card_feeds_a_table_and_is_said_in_words(shipped):
    found = judge_card.card(64)  # measured at 32 px: more pixels are no harder
    assert found == judge_card.card(32) and {*CATEGORIES, WHOLE} <= set(found)
    wanted = {"scenes": "both", "wrong": TWIN, "category": "colour"}
    (row,) = [r for r in shipped["rows"] if wanted.items() <= r.items()]
    assert found["colour"]["sensitivity"] == (row["true"], row["true"])
    assert found["colour"]["specificity"] == (row["false"], row["false"])
    own = [scene for _, scene in DRAWN]
    verdicts = PERFECT(world.draw(own, 32), range(N), own)[0]
    for row in table(verdicts, found):
        assert row["corrected"] in (row["share"], None)
    text = judge_card.card_lines(64)
    assert f"on {N} real scenes at 32 px" in text
    assert "judge-x 12345678, measured at commit abc" in text
    listed = [row["category"] for row in judge_card.card_rows(64)]
    assert listed == list(ROWS) and all(f"\n{name:<14}" in text for name in listed)


def test_what_was_not_measured_on_both_sides_corrects_nothing(shipped):
    for row in shipped["rows"]:
        if row["category"] == "size":
            row |= {"false": 0, "not said true": 0}
    assert "size" not in judge_card.card(32)
    assert "not asked" in judge_card.card_lines(32)


def test_the_largest_counts_leave_the_columns_apart(shipped):
    for row in shipped["rows"]:
        row |= {"true": 1_000_000, "false": 1_000_000}
        for name in judge_card.SHARES:
            row[name] = 1.0
    *_, whole, _, _ = judge_card.card_lines(32).splitlines()
    words = "100.0 % (100.0 to 100.0) of 1,000,000"
    assert [part.strip() for part in whole.split("  ") if part] == [WHOLE, words, words]


def refusal(make) -> str:
    with pytest.raises(ValueError) as problem:
        make()
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize("ask", [judge_card.card, judge_card.card_lines])
def test_a_card_that_does_not_speak_of_this_judge_is_refused(ask, shipped, monkeypatch):
    assert "32 px and more, not of 16" in refusal(lambda: ask(16))
    monkeypatch.setattr(judge_card, "stale", lambda name: ["judge-x"])
    assert "speaks of another judge" in refusal(lambda: ask(32))
    monkeypatch.setattr(judge_card, "stale", lambda name: [])
    shipped["checkpoints"] = {}  # an untrained judge's
    assert "speaks of another judge" in refusal(lambda: ask(32))
    monkeypatch.setattr(judge_card, "result_names", lambda: [])
    assert "no card yet" in refusal(lambda: ask(32))


# Eyes.


def test_eyes_agree_with_who_says_the_truth():
    rows = judge_bench.eyes(PERFECT, PLAN)
    assert not any("id" in row for row in rows)
    assert {row["pictures"] for row in rows} == {"spoilt", "all"}
    for row in rows:
        assert row["disagreed"] == row["open"] == 0 and row["agreed"] == row["said"]


def test_one_planted_disagreement_is_counted_and_listed():
    entries = judge_eyes.stand_ins(4)
    entry = next(e for e in entries if True in e["eyes"].values())
    text = next(text for text, said in entry["eyes"].items() if said)
    entry["eyes"][text] = False
    rows = compared(entries, PERFECT)
    (listed,) = [row for row in rows if "id" in row]
    assert (listed["id"], listed["clause"]) == (entry["id"], text)
    assert (listed["eyes"], listed["judge"]) == (False, True)
    every = next(r for r in rows if r.get("category") == ALL_CLAUSES)
    assert every["disagreed"] == 1 and every["agreed"] == every["said"] - 1
    entry["eyes"]["a unicorn is there"] = True
    assert "answers other clauses" in refusal(lambda: compared(entries, PERFECT))


def test_a_picture_is_made_again_and_a_changed_one_is_refused():
    entries = judge_eyes.spoilt_entries(4)
    images = judge_seen.pictures(entries)
    assert torch.equal(images, judge_seen.pictures(entries))
    seen = [
        e | {"seen": judge_seen.thumbnail(i)}
        for e, i in zip(entries, images, strict=True)
    ]
    assert torch.equal(images, judge_seen.pictures(seen))
    seen[1]["seen"] = judge_seen.thumbnail(-images[1])
    assert seen[1]["id"] in refusal(lambda: judge_seen.pictures(seen))
    entries[0]["how"] = entries[0]["how"] | {"px": 32}
    assert "differ in size" in refusal(lambda: judge_seen.pictures(entries))
    entries[0]["how"] = {"make": "stolen"}
    assert "not 'stolen'" in refusal(lambda: judge_seen.pictures(entries))


def test_a_generators_pictures_are_asked_of_it_alone_and_with_its_settings():
    records = [scene for _, scene in DRAWN[:4]]
    asked = []

    def generate(model):
        def draw(prompts, *, progress, **options):
            asked.append((model, *prompts, options))
            return world.draw([records[len(asked) - 1]], 32)

        return draw

    entries = judge_eyes.generated_entries("painter", records, seed=5, steps=9)
    images = judge_seen.pictures(entries, generate)
    assert torch.equal(images, world.draw(records, 32))
    assert asked == [
        ("painter", world.caption(record), {"seed": 5 + i, "steps": 9})
        for i, record in enumerate(records)
    ]
    assert entries[0]["record"] == records[0].to_dict()
    assert entries[3]["record"] == records[0].to_dict()  # another's, of every fourth
    assert "no generator 'nobody'" in refusal(
        lambda: judge_eyes.of_a_generator("nobody", 1)
    )


def test_answers_are_merged_and_wrong_ones_are_refused(tmp_path):
    folder, kept = tmp_path / "sheets", tmp_path / "eyes.json"
    truth = judge_eyes.stand_ins(3)
    judge_eyes.write_sheets(judge_eyes.spoilt_entries(3), folder)
    assert (folder / "sheet_01.png").is_file()
    assert "questions already" in refusal(lambda: judge_eyes.write_sheets([], folder))
    asked = json.loads((folder / "questions.json").read_text())
    assert not any("how" in question or "seen" in question for question in asked)

    def answered(change=lambda questions: None):
        said = [
            q | {"clauses": dict(e["eyes"]), "nothing_else": e["nothing_else"]}
            for q, e in zip(asked, truth, strict=True)
        ]
        change(said)
        (folder / "questions.json").write_text(json.dumps(said))
        return judge_eyes.merge(folder, kept)

    says = refusal(lambda: answered(lambda said: said[1].update(nothing_else="?")))
    assert says.startswith("picture 2 has the answer '?'")
    says = refusal(lambda: answered(lambda said: said[2].update(clauses={})))
    assert says == "picture 3 answers other clauses than were asked"
    assert not kept.exists()
    entries = judge_seen.load_eyes(answered())
    assert [e["eyes"] for e in entries] == [e["eyes"] for e in truth]
    assert judge_seen.pictures(entries).shape == (3, 3, 64, 64)
    judge_seen.save_eyes(entries[:1], kept)  # an id stands once
    assert len(judge_seen.load_eyes(kept)) == 3
    kept.write_text(json.dumps([entries[0] | {"nothing_else": 1}]))
    assert "holds 1" in refusal(lambda: judge_seen.load_eyes(kept))
    kept.unlink()
    assert "no answers of eyes yet" in refusal(lambda: judge_seen.load_eyes(kept))


# The command's side.


def test_a_claim_is_measured_at_smoke_size_and_another_size_is_refused():
    found = judge_bench.measure("card", "smoke", None, [])
    assert found["about"].startswith("How often the judge is right")
    assert "checkpoints" not in found and found["seeds"] == [judge_bench.SEED]
    assert {row["px"] for row in found["rows"]} == {64}
    assert "not 'huge'" in refusal(
        lambda: judge_bench.measure("card", "huge", None, [])
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: trials(DRAWN[:1]), "give two scenes or more, not 1"),
        (lambda: damaged(DRAWN[0][1], "fire", 0), "no damage 'fire'"),
    ],
)
def test_bad_input_gets_one_sentence(make, says):
    assert says in refusal(make)
