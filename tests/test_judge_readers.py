"""The judge's readers: what they are taught, what they are shown, what they say."""

import dataclasses
import itertools
import json
from random import Random

import pytest
import torch

from mmlearn import world
from mmlearn.evaluate import detector_decode as decoding
from mmlearn.evaluate import judge as judge_function
from mmlearn.evaluate import sign_reader
from mmlearn.evaluate.clauses import clauses
from mmlearn.evaluate.detector import Detector, DetectorConfig, to_sight
from mmlearn.evaluate.detector_decode import IGNORE, decode, encode, nouns, perfect
from mmlearn.evaluate.judge import Judge, agreed, disagreements, load_judge
from mmlearn.evaluate.judged import Verdict
from mmlearn.evaluate.matcher import match
from mmlearn.evaluate.reading import SOMETHING, Reading
from mmlearn.train import degrade, malform
from mmlearn.train.calibrate import fit_middles, fit_temperature
from mmlearn.train.detector_loss import detector_loss
from mmlearn.train.recipes import judge as recipe
from mmlearn.weights import WeightsError

SEED = 60_000_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def compose(n: int, **words) -> list:
    return [world.compose(world.Grammar(**words), SEED, i) for i in range(n)]


def facts(reading: Reading) -> list:
    """What a reading says, without doubts, order and words."""
    return sorted(
        (f.noun, str(f.colour), str(f.artist), *(round(64 * x, 3) for x in f.box))
        for f in reading.found
    )


def things() -> dict:
    return {"things": world.everyday()}


@pytest.mark.parametrize("kind", world.KINDS)
def test_decoding_what_was_encoded_gives_the_scene(kind):
    scenes = compose(60, kinds=[kind], **things())
    scenes += compose(20, kinds=[kind], split="held_out", **things())
    scenes += [recipe.twin(scene, i) for i, scene in enumerate(scenes)]
    for scene, reading in zip(scenes, decode(perfect(encode(scenes))), strict=True):
        assert facts(reading) == facts(Reading.of(scene))
        assert reading.background == scene.background
        assert all(found.confidence > 0.99 for found in reading.found)


def test_five_small_things_are_five():
    scenes = compose(50, kinds=["count"], counts=[5]) + compose(
        50, kinds=["row"], counts=[4], things=[]
    )
    for scene, reading in zip(scenes, decode(perfect(encode(scenes))), strict=True):
        assert facts(reading) == facts(Reading.of(scene))


def test_a_wrong_answer_is_a_wrong_reading():
    scenes = compose(20, kinds=["single"], **things())
    targets = encode(scenes)
    targets.noun[:, 0] = (targets.noun[:, 0] + 1) % len(world.everyday())
    for scene, reading in zip(scenes, decode(perfect(targets)), strict=True):
        assert facts(reading) != facts(Reading.of(scene))


def test_an_answer_between_two_nouns_lists_both_and_is_sure_of_neither():
    answers = perfect(encode(compose(1, kinds=["single"], shapes=[], **things())))
    named = answers.noun.argmax(dim=1).max()
    other = (named + 1) % len(world.everyday())
    answers.noun[:, other] = answers.noun[:, named]
    found = decode(answers)[0].found
    assert {f.noun for f in found} == {nouns()[named], nouns()[other]}
    assert all(0.4 < f.confidence <= 0.51 for f in found)


def test_a_perfect_answer_has_the_least_loss():
    targets = encode(compose(16))
    best, parts = detector_loss(perfect(targets), targets)
    assert best < 0.1 and set(parts) == {
        f.name for f in dataclasses.fields(targets)
    } - {"there"} | {"heat"}
    worse, _ = detector_loss(perfect(encode(compose(17)[1:])), targets)
    assert worse > 1


def test_pictures_of_every_size_are_brought_to_one():
    scenes = compose(12)
    seen = {size: to_sight(world.draw(scenes, size)) for size in (32, 64, 96, 128)}
    assert torch.equal(seen[64], world.draw(scenes, 64))
    for size, images in seen.items():
        assert images.shape == (12, 3, 64, 64)
        assert (images - seen[64]).abs().mean() < 0.09, size


@pytest.mark.parametrize("change", [c for c, _ in degrade.CHANGES] + [degrade.degrade])
def test_degradations_keep_shape_and_range_and_follow_their_generator(change):
    images = world.draw(compose(12), 64)
    before = images.clone()
    a, b, c = (change(images, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(images, before)
    assert a.shape == images.shape and a.isfinite().all()
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert 0 < (a - images).abs().mean() < 0.5
    if change is degrade.degrade:
        assert a.min() >= -1 and a.max() <= 1


def malformed(n: int = 36):
    """Pairs, the first thing malformed: pictures and targets before and after."""
    scenes = compose(n, kinds=["pair"], **things())
    which = torch.zeros(n, dtype=torch.long)
    without = [recipe._replaced(scene, 0, ()) for scene in scenes]
    lot = Random(0)
    other = [recipe._replaced(s, 0, (recipe._another(s, 0, lot),)) for s in scenes]
    pictures = [world.draw(part, 64) for part in (scenes, without, other)]
    targets = encode(scenes)
    images, left = malform.malform(*pictures, targets.boxes[:, 0], generator())
    after = malform.retarget(targets, torch.arange(n), which, left)
    return pictures[0], images, targets, after, left


def test_what_is_broken_is_something_and_what_is_gone_is_nothing():
    _, _, before, after, left = malformed()
    broken, fine, none = left <= malform.BROKEN, left >= malform.FINE, left == 0
    assert (broken & ~none).sum() > 8 and fine.any() and none.any()
    something = nouns().index(SOMETHING)
    assert (after.noun[broken & (left > malform.GONE), 0] == something).all()
    assert (after.there[none, 0] == 0).all()
    assert (after.noun[~broken & ~fine, 0] == IGNORE).all()
    assert torch.equal(after.noun[fine], before.noun[fine])
    assert torch.equal(after.noun[:, 1], before.noun[:, 1])
    readings = decode(perfect(malform.retarget(before, *_all_broken(len(left)))))
    second = before.noun[:, 1].tolist()
    for reading, noun in zip(readings, second, strict=True):
        assert sorted(f.noun for f in reading.found) == sorted(
            [SOMETHING, nouns()[noun]]
        )


def _all_broken(n: int):
    return torch.arange(n), torch.zeros(n, dtype=torch.long), torch.full((n,), 0.5)


def test_malforming_changes_the_thing_and_nothing_else():
    whole, images, targets, _, left = malformed()
    inside = malform.Box(targets.boxes[:, 0], whole).inside
    # A pixel over the edge belongs to the drawing's own rounding.
    around = torch.nn.functional.max_pool2d(inside, 3, 1, 1)
    assert ((images - whole).abs() * (1 - around)).max() < 1e-5
    changed = ((images - whole).abs() * inside).mean(dim=(1, 2, 3))
    assert (changed[left <= malform.BROKEN] > 0).all()
    assert images.abs().max() <= 1.0001


def test_a_lesson_is_a_function_of_its_number_and_spoiling_of_its_generator():
    first, again = (recipe.lesson(24, SEED, 3) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets.noun, again.targets.noun)
    assert not torch.equal(first.images, recipe.lesson(24, SEED, 4).images)
    a, b = (recipe.spoil(first, generator(5))[0] for _ in range(2))
    assert torch.equal(a, b) and a.abs().max() <= 1
    assert torch.equal(first.targets.noun, again.targets.noun)  # spoiling copies


def test_lessons_hold_what_generators_are_tested_on():
    scenes = [s for i in range(4) for s in recipe.records(48, SEED, i)]
    held = [world.held_out(scene) for scene in scenes]
    assert {"thing-style", "colour"} <= {name for names in held for name in names}
    assert {s.artist for s in scenes} >= set(world.TRAIN_ARTISTS)
    assert {s.kind for s in scenes} == set(world.KINDS)


@pytest.mark.parametrize(("size", "n"), [(32, 6), (64, 20)])
def test_the_matcher_finds_every_thing_and_no_changed_noun(size, n):
    scenes = [s for s in compose(32) if _changeable(s)][:n]
    readings = match(world.draw(scenes, size), scenes)
    twins = [world.twin(scene, "noun", seed=3) for scene in scenes]
    for scene, reading in zip(scenes, readings, strict=True):
        sure = [f for f in reading.found if f.confidence >= 0.5]
        assert sorted(f.noun for f in sure) == sorted(i.noun for i in scene.items)
        for item in scene.items:
            near = [f for f in sure if f.noun == item.noun and _near(f.box, item.box)]
            assert near and near[0].colour == item.colour
        assert reading.background == scene.background
    others = match(world.draw(scenes, size), twins)
    for scene, twin, other in zip(scenes, twins, others, strict=True):
        new = {i.noun for i in twin.items} - {i.noun for i in scene.items}
        assert not [f for f in other.found if f.noun in new and f.confidence >= 0.5]


def _changeable(scene) -> bool:
    try:
        return bool(world.twin(scene, "noun", seed=3))
    except world.WorldError:
        return False


def _near(a, b, by: float = 2.01 / 64) -> bool:
    return all(abs(x - y) <= by for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("size", [32, 64])
def test_signs_are_read_and_a_misspelled_word_is_not_the_word(size):
    lot, signs = Random(1), compose(6, kinds=["sign"])
    for scene in signs:
        board, *rest = scene.items
        assert _said(scene, board, size) == board.words
        wrong = lot.choice(list(sign_reader.misspellings(board.words.split()[0])))
        words = " ".join([wrong, *board.words.split()[1:]])
        changed = scene.replace(items=(dataclasses.replace(board, words=words), *rest))
        assert _said(changed, board, size) != board.words


def _said(scene, board, size: int) -> str | None:
    """What the reader is sure to read."""
    read, sure = sign_reader.read_sign(world.draw([scene], size)[0], board.box)
    return read if sure >= 0.5 else None


def test_misspellings_are_one_letter_away_and_no_words():
    wrong = set(sign_reader.misspellings("STOP"))
    assert {"STPO", "SOP", "STOOP", "SHOPS"} & wrong == {"STPO", "SOP", "STOOP"}
    assert not wrong & set(sign_reader.ALL_WORDS) and "STOP" not in wrong


def test_a_temperature_is_found_again():
    logits = torch.randn(4000, 5, generator=generator()) * 3
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=generator())
    assert 1.7 < fit_temperature(logits, labels[:, 0]) < 2.3
    line = torch.randn(6000, generator=generator()) * 3
    share = (line / 2 + 1).sigmoid()
    truth = torch.rand(6000, generator=generator(1)) < share
    scale, shift = fit_middles(line, truth)
    assert 1.6 < scale < 2.5 and 0.7 < shift < 1.3


def test_a_smoke_training_lowers_the_loss_and_can_be_loaded(tmp_path, capsys):
    recipe.train("smoke", out=tmp_path, device="cpu", steps=9, progress=False)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    place = rows[0].split(",").index("loss")
    losses = [float(row.split(",")[place]) for row in rows[1:]]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["recipe"].startswith("python -m mmlearn train judge --size smoke")
    judge = load_judge(tmp_path / "model")
    scenes = compose(4)
    readings = judge.read(world.draw(scenes, 32))
    assert readings == load_judge(tmp_path / "model").read(world.draw(scenes, 32))
    verdicts = judge(world.draw(scenes, 32), scenes)
    assert [len(v.clauses) for v in verdicts] == [len(clauses(s)) for s in scenes]


def verdict(*answers) -> Verdict:
    claims = tuple(clauses(compose(1, kinds=["pair"])[0]))[: len(answers)]
    return Verdict(0, claims, answers, True)


def test_where_the_witnesses_contradict_each_other_the_judge_abstains():
    first, second = verdict(True, False, True), verdict(False, None, True)
    assert agreed(first, second).answers == (None, False, True)
    assert agreed(first, first) == first
    assert disagreements([first], [second])["existence"] == (1, 2)


@pytest.fixture(scope="module")
def untrained() -> Judge:
    return Judge(Detector.from_size("smoke"))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 1, 64, 64), "shape"),
        (torch.full((2, 3, 64, 64), 255.0), "[-1, 1]"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.uint8), "float"),
        (torch.zeros(2, 3, 8, 8), "16 px"),
        (torch.zeros(2, 3, 64, 32), "square"),
        (torch.zeros(3, 3, 64, 64), "one each"),
    ],
)
def test_pictures_that_cannot_be_judged_get_one_sentence(untrained, images, words):
    with pytest.raises(ValueError, match=words.replace("[", r"\[")) as problem:
        untrained(images, compose(2))
    assert "\n" not in str(problem.value)


def test_records_that_are_no_scenes_get_one_sentence(untrained):
    images = torch.zeros(2, 3, 64, 64)
    for records in ([{}, {}], ["a fox", "a dog"]):
        with pytest.raises(ValueError, match="the records of scenes") as problem:
            untrained(images, records)
        assert "\n" not in str(problem.value)


def test_an_unknown_judge_and_another_worlds_judge_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no judge checkpoint 'huge'"):
        judge_function(torch.zeros(1, 3, 64, 64), compose(1), name="huge")
    config = DetectorConfig.from_size("smoke")
    other = Detector(dataclasses.replace(config, nouns=("yeti", *config.nouns[1:])))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="other things than this world"):
        load_judge(tmp_path / "other")
    with pytest.raises(ValueError, match="smoke, laptop, gpu"):
        recipe.train("huge", out=tmp_path)


def test_the_grid_has_room_for_all_that_a_scene_holds():
    scenes = compose(400, **things())
    assert decoding.MOST == max(len(scene.items) for scene in scenes)
    for scene in scenes + [recipe.twin(s, i) for i, s in enumerate(scenes)]:
        middles = [
            [int((box[i] + box[i + 2]) / 2 * decoding.GRID) for i in (0, 1)]
            for box in (item.box for item in scene.items)
        ]
        for a, b in itertools.combinations(middles, 2):
            assert max(abs(x - y) for x, y in zip(a, b, strict=True)) >= 3
