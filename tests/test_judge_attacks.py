"""The attacks on the judge: each is what it says it is, and is counted rightly."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmlearn import world
from mmlearn.evaluate import attack_gradients, attack_places, attack_scenes
from mmlearn.evaluate.attack_bench import attacks, attempt
from mmlearn.evaluate.attack_drawing import art, paste, places, single
from mmlearn.evaluate.attack_things import lookalike, puzzle
from mmlearn.evaluate.attack_wall import easiest, wall
from mmlearn.evaluate.attacks import ATTACKS, SEES
from mmlearn.evaluate.clauses import NOTHING_ELSE, clauses
from mmlearn.evaluate.detector import Detector
from mmlearn.evaluate.judge import Judge
from mmlearn.evaluate.judged import Verdict
from mmlearn.world.splits import HELD_OUT_WORDS, WORDS

BY_NAME = {attack.name: attack for attack in ATTACKS}


class Sayer(Judge):
    """A judge that has one answer to everything."""

    said = None

    def witnesses(self, images, records):
        assert len(images) == len(records)
        said = []
        for i, record in enumerate(records):
            asked = tuple(clauses(record))
            said.append(Verdict(i, asked, (self.said,) * len(asked), self.said))
        return said, said


class Yes(Sayer):
    said = True


class No(Sayer):
    said = False


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.from_size("smoke")


def levels(images: torch.Tensor) -> torch.Tensor:
    """The pictures' 255ths."""
    return (images + 1) * 127.5


def there(images: torch.Tensor, records) -> torch.Tensor:
    """Where something stands before its background: (n, 64, 64), 0 or 1."""
    return ((images - places(records)).abs().amax(dim=1) > 0.1).float()


def pieces(mask: torch.Tensor) -> int:
    """How many parts of a mask (64, 64) are apart from each other."""
    label = mask * torch.arange(1, mask.numel() + 1).reshape(mask.shape)
    for _ in range(400):
        label = F.max_pool2d(label[None], 3, 1, 1)[0] * mask
    return len(label.unique()) - 1


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_pictures_that_can_be_saved_and_a_clause_to_ask(attack, detector):
    images, records = attack.pictures(2, 3, detector, steps=2)
    assert images.shape == (2, 3, 64, 64) and images.abs().max() <= 1
    assert (levels(images) - levels(images).round()).abs().max() < 1e-3
    assert torch.equal(images, attack.pictures(2, 3, detector, steps=2)[0])
    assert not torch.equal(images, attack.pictures(2, 4, detector, steps=2)[0])
    for record in records:
        asked = {clause.category for clause in clauses(record)}
        assert attack.category in asked | {NOTHING_ELSE}
    assert not torch.equal(images, world.draw(records, 64))  # they are not the scenes


def test_every_attack_has_a_name_of_its_own_and_says_what_a_person_sees():
    assert len(BY_NAME) == len(ATTACKS) >= 20 and set(SEES) == set(BY_NAME)
    assert all(seen.endswith(".") for seen in SEES.values())


def test_a_puzzle_has_the_things_pixels_and_not_its_order():
    item = world.arrange("fox").items[0]
    drawing = art(item)
    mixed = puzzle(drawing.copy(), item, Random(0))
    assert not np.array_equal(mixed, drawing)
    first, second = (x.reshape(-1, 4)[np.lexsort(x.reshape(-1, 4).T)]
                     for x in (mixed, drawing))  # fmt: skip
    assert np.array_equal(first, second)


@pytest.mark.parametrize("bound", [2, 8])
def test_a_perturbation_stays_within_its_bound_and_lowers_the_loss(detector, bound):
    images, records = lookalike(3, 0)
    near = attack_gradients.steer(detector, images, records, torch.tensor(bound), 6)
    moved = (levels(near).round() - levels(images).round()).abs()
    assert moved.max() == bound

    def wrong(pictures) -> float:
        targets = attack_gradients.encode(records)
        with torch.no_grad():
            return float(attack_gradients.detector_loss(detector(pictures), targets)[0])

    assert wrong(near) < wrong(images)
    still = attack_gradients.steer(detector, images, records, torch.tensor(0), 6)
    assert torch.equal(levels(still).round(), levels(images).round())


def test_what_is_stuck_on_leaves_the_rest_of_the_picture_as_it_was(detector):
    images, records = attack_gradients.stuck_on(18)(detector, 3, 0, 2)
    for image, record, found in zip(images, records, single(3, 0), strict=True):
        before = world.draw([attack_gradients.central(found)], 64)[0]
        left, top, right, bottom = (round(64 * s) for s in record.items[0].box)
        changed = (image - before).abs().amax(dim=0) > 1e-6
        assert changed[top:bottom, left:right].any()
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_a_lookalike_is_the_same_scene_but_for_the_noun_asked():
    images, records = lookalike(4, 0)
    for record, drawn in zip(records, single(4, 0), strict=True):
        noun = drawn.items[0].noun
        assert record.items[0].noun != noun
        item = replace(record.items[0], noun=noun)
        assert record.replace(items=(item,)) == drawn
    assert torch.equal(images, world.draw(single(4, 0), 64))


def test_shapes_whose_boxes_touch_do_not_touch_and_hovering_things_neither():
    images, records = attack_scenes.by_the_box(6, 0)
    assert [pieces(mask) for mask in there(images, records)] == [2] * 6
    images, records = attack_scenes.hovering(6, 0)
    for mask in there(images, records):
        rows = mask.any(dim=1).nonzero()[:, 0]
        assert len(rows) < rows[-1] - rows[0] + 1  # a row of background between


@pytest.mark.parametrize("name", ["one more, tiny", "peeking in"])
def test_one_more_stands_where_nothing_of_the_record_does(name):
    images, records = BY_NAME[name].pictures(4, 0)
    for mask, record in zip(there(images, records), records, strict=True):
        assert mask.sum() > 0
        for item in record.items:
            left, top, right, bottom = (round(64 * side) for side in item.box)
            mask[top:bottom, left:right] = 0
        assert mask.sum() > 12


def test_half_a_picture_is_the_place_asked_for_and_half_is_not():
    images, records = attack_places.two_places(4, 0)
    asked = world.draw(records, 64)
    assert torch.equal(images[..., :32], asked[..., :32])
    assert all((images[..., 32:] != asked[..., 32:]).flatten(1).any(dim=1))


@pytest.mark.parametrize(
    ("change", "letters"), [(attack_places.two_letters, 2), (attack_places.a_digit, 1)]
)
def test_a_misspelt_word_is_another_by_so_many_letters(change, letters):
    _, records = attack_places.misspelt(change)(12, 0)
    for i, record in enumerate(records):
        word = record.items[0].words.split()[0]
        wrong = change(word, Random(i))
        assert len(wrong) == len(word) and wrong not in WORDS + HELD_OUT_WORDS
        assert sum(a != b for a, b in zip(word, wrong, strict=True)) == letters


def test_what_is_pasted_over_the_edge_is_cut_off():
    image, drawing = torch.full((3, 64, 64), -1.0), torch.ones(4, 8, 8)
    paste(image, drawing, -5, 60)
    assert (image == 1).sum() == 3 * 3 * 4 and (image[:, 60:, :3] == 1).all()


def test_answers_to_everything_fool_or_are_fooled_as_they_should(detector):
    for judge, kind in ((Yes(detector), "wrong yes"), (No(detector), "wrong no")):
        rows = attacks(judge, "smoke", [0])
        assert {row["attack"] for row in rows} == set(BY_NAME)
        assert [row["kind"] for row in rows] == sorted(
            (row["kind"] for row in rows), key=["wrong yes", "wrong no"].index
        )
        for row in rows:
            assert row["fooled"] == (row["n"] if row["kind"] == kind else 0)
            assert row["detector"] == row["fooled"] and row["abstained"] == 0
            assert row["low"] <= row["share"] <= row["high"]
    chosen = [BY_NAME["a puzzle"], BY_NAME["upside down"]]
    for row in attacks(Sayer(detector), "smoke", [0], chosen):
        assert row["fooled"] == 0 and row["abstained"] == row["n"]


def test_pictures_are_shared_among_the_seeds(detector):
    outcome = attempt(Yes(detector), BY_NAME["a puzzle"], "smoke", [5, 6])
    alone = [BY_NAME["a puzzle"].pictures(1, seed)[0] for seed in (5, 6)]
    assert torch.equal(outcome.images, torch.cat(alone))


def test_the_page_shows_ten_attacks_of_different_sorts(detector, tmp_path):
    chosen = [
        BY_NAME[n] for n in ("a puzzle", "left and right", "half and half", "tilted")
    ]
    rows = attacks(Yes(detector), "smoke", [0], chosen)
    path = wall(Yes(detector), rows, tmp_path / "page.png", "smoke", [0])
    with Image.open(path) as page:
        assert page.width == 1240 and page.height > 3 * 128
    assert path.stat().st_size < 1_500_000
    every = attacks(Yes(detector), "smoke", [0], [a for a in ATTACKS if not a.person])
    shown = [row["category"] for row in easiest(every)]
    assert len(shown) == 6 and max(shown.count(sort) for sort in shown) == 2
    with pytest.raises(ValueError, match="nothing to show"):
        wall(Sayer(detector), attacks(Sayer(detector), "smoke", [0], chosen), path)


def test_bad_requests_get_one_sentence(detector):
    with pytest.raises(ValueError, match="smoke, laptop, gpu, not 'huge'"):
        attacks(Yes(detector), "huge", [0])
    with pytest.raises(ValueError, match="at least one"):
        attacks(Yes(detector), "smoke", [])
    with pytest.raises(ValueError, match="give it a detector"):
        BY_NAME["denied by 8/255"].pictures(2, 0)
