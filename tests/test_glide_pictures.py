"""GLIDE draws: what a picture depends on, guidance, both stages, every sampler."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import FAST, PROMPTS, made, tiny

from mmlearn.diffusion import fast27
from mmlearn.glide import GLIDE, TextUNet, as_8_bit, generator_of
from mmlearn.glide.sampling import bounded


@pytest.fixture(scope="module")
def glide():
    return tiny()


@pytest.fixture(scope="module")
def base(glide):
    return glide.base


def test_pictures_depend_on_prompt_seed_and_place_alone():
    # Not a GLIDE that predicts ε: its first x0 is ε divided by as little as 5e-5, which
    # shows that sums are rounded otherwise where other numbers of pictures are drawn.
    glide = tiny(predicts="x0")
    pictures = glide.generate(PROMPTS, **FAST)
    assert pictures.shape == (3, 3, 32, 32) and pictures.abs().max() <= 1
    assert torch.equal(glide.generate(PROMPTS, **FAST), pictures)
    # A small pixel may round to the next grey value: no more than that, and seldom.
    near = {"atol": 1 / 127, "rtol": 0}
    others = glide.generate(["a fox", PROMPTS[1]], **FAST)
    torch.testing.assert_close(others[1], pictures[1], **near)
    assert (others[0] - pictures[0]).abs().max() > 1e-2
    one_by_one = glide.generate(PROMPTS, batch=1, **FAST)
    torch.testing.assert_close(one_by_one, pictures, **near)
    assert (one_by_one - pictures).abs().mean() < 1e-3
    assert (glide.generate(PROMPTS, seed=1, **FAST) - pictures).abs().max() > 1e-2
    same = glide.generate(["a red star"] * 2, **FAST)
    assert (same[0] - same[1]).abs().max() > 1e-2


def test_neither_the_global_generator_nor_the_mode_changes(glide):
    before = torch.get_rng_state()
    glide.train()
    glide.generate(["a red star"], **FAST)
    assert torch.equal(torch.get_rng_state(), before) and glide.training
    glide.eval()


def test_captions_are_read_once_and_both_halves_are_one_batch(glide, monkeypatch):
    read, seen = [], []
    read_captions, look = TextUNet.read, TextUNet.see

    def reading(stage, tokens):
        read.append(tokens)
        return read_captions(stage, tokens)

    def looking(stage, x, *pictures):
        seen.append(len(x))
        return look(stage, x, *pictures)

    monkeypatch.setattr(TextUNet, "read", reading)
    monkeypatch.setattr(TextUNet, "see", looking)
    prompts = ["a red star", "two cubes", "a red star"]
    glide.generate(prompts, guidance=3.0, upsample=False, steps=4, progress=False)
    assert [len(tokens) for tokens in read] == [3]  # two captions, and the empty one
    assert seen == [6] * 4
    glide.generate(prompts, guidance=1.0, upsample=False, steps=4, progress=False)
    assert [len(tokens) for tokens in read] == [3, 2] and seen[4:] == [3] * 4


@torch.no_grad()
def test_guidance_goes_from_the_empty_caption_towards_the_prompt(glide, base):
    steps = []
    options = {"steps": 2, "upsample": False, "progress": False}
    glide.generate(["a red star"], callback=lambda *x: steps.append(x), **options)
    (number, t, x, x0), times = steps[0], torch.tensor([999])
    assert (number, t, steps[1][1]) == (0, 999, 499)
    assert torch.equal(
        x, torch.randn(1, 3, 16, 16, generator=generator_of(0, 0, "base"))
    )
    told, free = (
        base(x, times, glide.tokenize([p]))[:, :3] for p in ("a red star", "")
    )
    alpha, sigma = base.schedule.level(999, x)
    wanted = (x - sigma * (free + 3 * (told - free))) / alpha
    assert (wanted.clamp(-1, 1) - x0).abs().max() < 1e-5 / alpha  # alpha is 5e-5 here
    # At a later step, where nothing is clamped away.
    number, t, x, x0 = steps[1]
    told, free = (
        base(x, torch.tensor([t]), glide.tokenize([p]))[:, :3]
        for p in ("a red star", "")
    )
    alpha, sigma = base.schedule.level(t, x)
    wanted = (x - sigma * (free + 3 * (told - free))) / alpha
    assert (wanted.clamp(-1, 1) - x0).abs().max() < 1e-4
    assert (wanted.abs() < 1).float().mean() > 0.1


def test_a_negative_prompt_takes_the_empty_ones_place(glide):
    options = {"upsample": False, "steps": 2, "progress": False}
    plain = glide.generate(["a red star"], **options)
    assert torch.equal(glide.generate(["a red star"], negative="", **options), plain)
    away = glide.generate(["a red star"], negative=["a fox"], **options)
    assert (away - plain).abs().max() > 1e-2
    off = {**options, "guidance": 1.0}
    same = glide.generate(["a red star"], negative="a fox", **off)
    assert torch.equal(same, glide.generate(["a red star"], **off))


def test_the_upsampler_enlarges_the_rounded_small_picture(glide, monkeypatch):
    seen, draws = [], []
    look = TextUNet.see

    def looking(stage, x, low_res, known):
        inputs = look(stage, x, low_res, known)
        if stage.config.upsamples:
            seen.append((x, low_res, inputs))
        return inputs

    monkeypatch.setattr(TextUNet, "see", looking)
    stages = {"upsampler": {"callback": lambda *x: draws.append(x)}}
    pictures = glide.generate(["a red star"], steps=2, progress=False, stages=stages)
    small = glide.generate(["a red star"], steps=2, progress=False, upsample=False)
    assert small.shape == (1, 3, 16, 16) and pictures.shape == (1, 3, 32, 32)
    x, low_res, inputs = seen[0]
    grey = low_res * 127.5 + 127.5
    assert (grey - grey.round()).abs().max() < 1e-4
    assert 0 < (low_res - small).abs().max() < 1.001 / 255
    enlarged = F.interpolate(low_res, (32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(inputs, torch.cat([x, enlarged], dim=1))
    assert [t for _, t, _, _ in draws] == fast27()[::-1]
    start = torch.randn(1, 3, 32, 32, generator=generator_of(0, 0, "upsampler"))
    assert torch.equal(x, 0.997 * start)


def test_eight_bits_are_256_grey_values():
    x = torch.linspace(-1, 1, 100_001)
    assert len(as_8_bit(x).unique()) == 256
    assert (as_8_bit(x) - x).abs().max() < 1.01 / 255
    assert as_8_bit(torch.tensor([-3.0, 3.0])).tolist() == [-1, 1]


def test_every_sampler_draws(glide):
    for sampler in ("ddpm", "ddim", "dpmpp_2m"):
        options = {"sampler": sampler, "steps": 3, "progress": False}
        stages = {"upsampler": {"sampler": sampler, "steps": 2, "guidance": 2.0}}
        assert glide.generate(["a fox"], stages=stages, **options).isfinite().all()


def test_a_variance_beyond_its_bounds_is_brought_back_and_the_picture_is_not():
    told = torch.linspace(-9, 9, 6 * 16).view(1, 6, 4, 4)
    found = bounded(told)
    assert torch.equal(found[:, :3], told[:, :3])
    assert torch.equal(found[:, 3:], told[:, 3:].clamp(-1, 1))


def test_few_steps_with_noise_do_not_explode(glide, monkeypatch):
    # What a network says of its variance was right for a thousand steps.
    look = TextUNet.guess

    def far_beyond(stage, *given):
        picture, _ = look(stage, *given).split(3, dim=1)
        return torch.cat([picture.clamp(-1, 1), torch.full_like(picture, 8)], dim=1)

    monkeypatch.setattr(TextUNet, "guess", far_beyond)
    seen = []
    options = {"steps": 5, "sampler": "ddpm", "upsample": False, "progress": False}
    glide.generate(
        ["a red star"], **options, callback=lambda *step: seen.append(step[2])
    )
    assert max(x.std() for x in seen) < 1.5  # 4.8 if it were left alone


def test_an_upsampler_on_top_takes_eight_steps_unless_asked_for_others():
    glide = tiny(predicts="x0")
    config = dataclasses.replace(glide.upsampler.config, on_top=True)
    on_top = GLIDE(glide.base, made(config), glide.tokenizer)
    for model, asked, wanted in (
        (glide, {}, 27),
        (on_top, {}, 8),
        (on_top, {"steps": 3}, 3),
    ):
        seen = []
        see = {
            "upsampler": asked | {"callback": lambda *step, to=seen: to.append(step)}
        }
        model.generate(["a red star"], steps=2, stages=see, progress=False)
        assert len(seen) == wanted
