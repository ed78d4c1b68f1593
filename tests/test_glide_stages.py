"""Two stages or one: costs are counted right, and the table can come out otherwise."""

import pytest
import torch

from mmlearn.evaluate import glide_stages as staged
from mmlearn.evaluate.generator_bench import Settings
from mmlearn.evaluate.judged import judge_readings
from mmlearn.evaluate.reading import Reading
from mmlearn.evaluate.scene_prompts import scene_prompts
from mmlearn.glide import GLIDE
from mmlearn.glide.grammar import GRAMMAR
from mmlearn.train.recipes.glide_one_stage import one_stage

PROMPTS = scene_prompts(GRAMMAR, 2, 1)
HOW = Settings(samples=1, steps=1, guidance=1.0, sampler="ddim")


@pytest.fixture(scope="module")
def models():
    return GLIDE.from_size("smoke"), one_stage("smoke", 0)


def by_saturation(images, records, prompts=None):
    """A judge to whom real scenes, which have colours, are right and grey is wrong."""
    vivid = (images.amax(1) - images.amin(1)).mean(dim=(1, 2)) > 0.02
    other = [records[i - 1] for i in range(len(records))]
    pairs = zip(vivid.tolist(), records, other, strict=True)
    readings = [Reading.of(own if right else wrong) for right, own, wrong in pairs]
    return judge_readings(records, readings, prompts)


def test_each_way_is_a_row_with_its_costs(models):
    trained = {"two stages": 3e12, "one stage": 2e12, "base, enlarged": 1e12}
    claim = staged.stages(*models, PROMPTS, by_saturation, HOW, trained=trained)
    rows = {row["pictures"]: row for row in claim.rows}
    assert list(rows) == ["real scenes", "two stages", "one stage", "base, enlarged"]
    assert rows["real scenes"]["share"] == 1
    assert rows["real scenes"][staged.COLOUR] == 0
    model, control = models
    own = sum(p.numel() for p in model.parameters()) / 1e6
    other = sum(p.numel() for p in control.parameters()) / 1e6
    assert rows["two stages"]["million parameters"] == round(own, 2)
    assert rows["one stage"]["million parameters"] == round(other, 2)
    assert rows["base, enlarged"]["million parameters"] < round(own, 2)
    assert rows["two stages"]["multiplications"] == 3
    assert claim.images.shape[:2] == (len(PROMPTS), 4)


def test_multiplications_grow_with_the_picture_and_the_number_of_pictures(models):
    model, control = models
    small, large = (staged.multiplications(m.base) for m in (model, control))
    assert large > 2 * small > 0
    assert staged.spent(model, {"base": 10}) == 10 * small
    both = staged.spent(model, {"base": 10, "upsampler": 5})
    assert both == 10 * small + 5 * staged.multiplications(model.upsampler)


def test_the_mean_colour_error_is_of_means_and_of_nothing_else():
    real = torch.zeros(2, 3, 4, 4)
    moved = real.clone()
    moved[0] += 0.5  # a quarter of the way from black to white
    moved[1, :, :2], moved[1, :, 2:] = 0.5, -0.5  # other pixels, the same mean
    assert staged.mean_colour(moved, real) == pytest.approx([0.25, 0.0])


def test_without_the_control_one_sentence_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="train glide-one-stage"):
        staged.measure(None, None)
