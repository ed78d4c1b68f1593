"""GLIDE fills holes: what it is told, what it leaves alone, what it refuses."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import BASE, FAST, PROMPTS, hole, made, noise, tiny

from mmlearn.glide import PADDING, TextUNet, known_part


@pytest.fixture(scope="module")
def glide():
    return tiny()


@pytest.fixture(scope="module")
def filler(glide):
    return glide.for_inpainting()


def test_a_widened_model_draws_what_it_drew(glide, filler):
    assert filler.base.config.unet.channels_in == 7
    assert filler.upsampler.config.unet.channels_in == 10
    assert torch.equal(
        filler.generate(PROMPTS, **FAST), glide.generate(PROMPTS, **FAST)
    )
    x, t, tokens = noise(1, 3, 32, 32), torch.tensor([300]), glide.tokenize(["a fox"])
    small = noise(1, 3, 16, 16, seed=1)
    known = known_part(noise(1, 3, 32, 32, seed=2), hole()[None, None])
    with torch.no_grad():
        guess = glide.upsampler(x, t, tokens, small)
        assert (filler.upsampler(x, t, tokens, small, known) - guess).abs().max() < 1e-6
    assert filler.base.unet.first.weight is not glide.base.unet.first.weight
    assert not filler.base.unet.first.weight[:, 3:].any()


def test_after_training_it_sees_what_is_known(filler):
    stage = dataclasses.replace(BASE, inpaints=True)
    stage = made(stage).eval()
    x, t, tokens = noise(1, 3, 16, 16), torch.tensor([300]), torch.full((1, 8), PADDING)
    images, mask = noise(1, 3, 16, 16, seed=2), hole()[None, None, ::2, ::2]
    with torch.no_grad():
        blind = stage(x, t, tokens)
        nothing = known_part(images, torch.ones_like(mask))
        assert torch.equal(stage(x, t, tokens, None, nothing), blind)
        known = known_part(images, mask)
        assert (stage(x, t, tokens, None, known) - blind).abs().max() > 1e-3
        behind = torch.where(mask == 1, images + 1, images)  # cannot be seen
        assert torch.equal(known_part(behind, mask), known)


def test_outside_the_hole_nothing_changes_at_any_step(filler):
    images = noise(2, 3, 32, 32).clamp(-1, 1)
    mask, steps = hole(), []
    stages = {"upsampler": {"steps": 3, "callback": lambda *x: steps.append(x)}}
    options = {"steps": 3, "progress": False, "stages": stages}
    painted = filler.inpaint(images, mask, ["a red star", "a fox"], **options)
    outside = (mask == 0).expand_as(images)
    assert torch.equal(painted[outside], images[outside])
    assert (painted - images)[~outside].abs().mean() > 0.05
    assert len(steps) == 3
    for _, _, _, x0 in steps:
        assert torch.equal(x0[outside], images[outside])
    each = mask.expand(2, 1, 32, 32).bool()
    again = filler.inpaint(images, each, ["a red star", "a fox"], **options)
    assert torch.equal(again, painted)


def test_the_base_knows_only_small_pixels_that_are_known_whole(filler, monkeypatch):
    seen, look = [], TextUNet.see

    def looking(stage, x, low_res, known):
        seen.append(known)
        return look(stage, x, low_res, known)

    monkeypatch.setattr(TextUNet, "see", looking)
    images = noise(1, 3, 32, 32).clamp(-1, 1)
    filler.inpaint(images, hole(), ["a fox"], guidance=1.0, **FAST)
    keep = seen[0][0, 3]
    for y in range(16):
        for x in range(16):
            covered = hole()[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            assert keep[y, x] == (0 if covered.any() else 1)
    means = F.avg_pool2d(images, 2)[0] * keep
    assert (seen[0][0, :3] - means).abs().max() < 1e-6
    assert torch.equal(seen[-1], known_part(images, hole()[None, None]))


IMAGES = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("images", "mask", "sentence"),
    [
        (torch.zeros(2, 3, 32, 32), hole(), r"each prompt, \(1, 3, 32, 32\), not \(2,"),
        (torch.zeros(1, 3, 18, 18), hole(), r"\(1, 3, 32, 32\), not \(1, 3, 18, 18\)"),
        (IMAGES + 255, hole(), r"floats in \[-1, 1\].*\[255, 255\]"),
        (IMAGES.long(), hole(), "int64"),
        (IMAGES * math.nan, hole(), "nan"),
        (IMAGES, torch.zeros(16, 16), r"\(32, 32\) for all.*not \(16, 16\)"),
        (IMAGES, torch.zeros(2, 1, 32, 32), r"\(1, 1, 32, 32\), not \(2, 1, 32, 32\)"),
        (IMAGES, hole() * 0.5, r"1 where to paint .* in \[0, 0.5\]"),
        (IMAGES, hole() * math.nan, "other values"),
        (IMAGES, "middle", "not 'middle'"),
    ],
)
def test_wrong_pictures_and_masks_are_refused(images, mask, sentence, filler):
    with pytest.raises(ValueError, match=sentence):
        filler.inpaint(images, mask, ["a fox"], **FAST)


def test_only_a_model_made_for_it_fills_holes(glide):
    with pytest.raises(ValueError, match=r"for_inpainting\(\) makes one"):
        glide.inpaint(IMAGES, hole(), ["a fox"])
