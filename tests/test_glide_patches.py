"""GLIDE in patches, predicting ε, x0 or v: what changes, and what may not."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import BASE, UPSAMPLER, hole, made, noise

from mmlearn.glide import (
    PADDING,
    Sampling,
    StageConfig,
    TextUNet,
    draw,
    generator_of,
    known_part,
    widened,
)

# Patches of 4 × 4 on the grids of the tiny ones, so of larger pictures.
PATCHED = dataclasses.replace(BASE, image_size=64, patch=4, predicts="x0")
PATCHED_UP = dataclasses.replace(UPSAMPLER, image_size=128, patch=4, predicts="x0")


def inputs(config: StageConfig, n: int = 2) -> tuple[torch.Tensor, ...]:
    """x_t, t and tokens; for an upsampler the small pictures also."""
    side, tokens = config.image_size, torch.full((n, config.context), PADDING)
    tokens[:, :3] = torch.arange(3 * n).view(n, 3) + 300
    given = noise(n, 3, side, side), torch.arange(n) * 300 + 7, tokens
    small = noise(n, 3, side // 2, side // 2, seed=1)
    return (*given, small) if config.upsamples else given


@torch.no_grad()
def test_in_patches_of_one_the_unet_sees_the_pictures_themselves():
    """As it was when a config had neither of the two fields, and is in the paper."""
    for old in (BASE, UPSAMPLER, dataclasses.replace(UPSAMPLER, inpaints=True)):
        saved = dataclasses.asdict(old)
        assert (saved.pop("patch"), saved.pop("predicts")) == (1, "eps")
        stage = made(StageConfig(**saved))
        x, t, tokens, *small = inputs(old)
        known = noise(2, 4, 32, 32, seed=2) if old.inpaints else None
        seen = [x] if known is None else [x, known]
        seen += [F.interpolate(y, (32, 32), mode="bilinear") for y in small]
        vector, text_kv = stage.read(tokens)
        wanted = stage.unet(torch.cat(seen, 1), t, vector=vector, text_kv=text_kv)
        assert wanted.shape == (2, 6, *x.shape[2:])
        assert torch.equal(stage(x, t, tokens, *(small or [None]), known), wanted)


@pytest.mark.parametrize("config", [PATCHED, PATCHED_UP], ids=["base", "upsampler"])
def test_patches_become_channels_of_a_coarser_grid_and_lose_nothing(config):
    for inpaints in (False, True):
        c = dataclasses.replace(config, inpaints=inpaints)
        pictures = 3 + 4 * inpaints + 3 * c.upsamples
        assert c.unet.image_size == c.image_size // 4
        assert (c.unet.channels_in, c.unet.channels_out) == (16 * pictures, 6 * 16)
    stage, (x, *rest) = made(config), inputs(config)
    assert stage(x, *rest).shape == (2, 6, *x.shape[2:])
    # Where the net says what it sees, and of its sureness the same plus one.
    stage.unet.forward = lambda x, t, **text: torch.cat([x[:, :48], x[:, :48] + 1], 1)
    told = stage(x, *rest)
    assert torch.equal(told[:, :3], x) and torch.equal(told[:, 3:], x + 1)


def test_sides_that_patches_do_not_divide_are_refused():
    for size, patch in ((66, 4), (64, 0), (64, 3)):
        with pytest.raises(ValueError, match=f"of {size} px .* patches of {patch}"):
            dataclasses.replace(PATCHED, image_size=size, patch=patch)
    with pytest.raises(ValueError, match="20 px should be a multiple of 8, such as"):
        stage, (_, t, tokens) = TextUNet(PATCHED), inputs(PATCHED)
        stage(noise(2, 3, 64, 20), t, tokens)
    with pytest.raises(ValueError, match="predicts must be one of eps, x0, v, not 'x'"):
        dataclasses.replace(PATCHED, predicts="x")


@torch.no_grad()
@pytest.mark.parametrize("config", [PATCHED, PATCHED_UP], ids=["base", "upsampler"])
def test_widened_in_patches_it_draws_what_it_drew_and_can_learn_to_see(config):
    stage, (x, t, tokens, *small) = made(config), inputs(config)
    wide, small = widened(stage), small or [None]
    side, guess = config.image_size, stage(x, t, tokens, *small)
    mask = F.interpolate(hole()[None, None], side).expand(2, 1, side, side)
    pictures = noise(2, 3, side, side, seed=2)
    known = known_part(pictures, mask)
    assert (wide(x, t, tokens, *small, known) - guess).abs().max() < 1e-6
    new = wide.unet.first.weight[:, 48:112]
    assert not new.any() and wide.unet.first.weight.shape[1] == 64 + stage_channels(
        stage
    )
    new.normal_(generator=torch.Generator().manual_seed(0), std=0.1)
    told = wide(x, t, tokens, *small, known)
    assert (told - guess).abs().max() > 1e-3
    behind = known_part(torch.where(mask == 1, pictures + 1, pictures), mask)
    assert torch.equal(wide(x, t, tokens, *small, behind), told)
    nothing = known_part(pictures, torch.ones_like(mask))
    assert (wide(x, t, tokens, *small, nothing) - guess).abs().max() < 1e-6


def stage_channels(stage: TextUNet) -> int:
    return stage.unet.first.weight.shape[1]


@torch.no_grad()
@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
def test_training_and_drawing_agree_on_what_is_predicted(predicts):
    """Whoever knows the picture has no error, and draws it; told wrong, neither."""
    config = dataclasses.replace(BASE, predicts=predicts)
    stage, picture = made(config), noise(1, 3, 16, 16).clamp(-0.9, 0.9)

    def knows(answer: str):
        def guess(x, t, *_):
            alpha, sigma = stage.schedule.level(t, x)
            eps = (x - alpha * picture) / sigma
            v = alpha * eps - sigma * picture
            told = {"eps": eps, "x0": picture.expand_as(x), "v": v}[answer]
            return torch.cat([told, torch.zeros_like(x)], dim=1)

        return guess

    _, _, tokens = inputs(config, 4)
    for answer in ("eps", "x0", "v"):
        stage.guess = knows(answer)
        batch = picture.expand(4, -1, -1, -1), tokens
        error = stage.objective(stage, batch, torch.Generator().manual_seed(0))[1]
        how, generators = Sampling(20), [generator_of(0, 0, "base")]
        drawn = draw(stage, tokens[:1], tokens[1:2], how, generators)
        right = answer == predicts
        assert (error["mse"] < 1e-6) == right == ((drawn - picture).abs().max() < 0.002)


@torch.no_grad()
def test_on_top_the_untrained_upsampler_enlarges_and_what_it_says_is_added():
    config = dataclasses.replace(PATCHED_UP, on_top=True)
    x, t, tokens, small = inputs(config)
    bilinear = F.interpolate(small, x.shape[2:], mode="bilinear")
    fresh = TextUNet(config)(x, t, tokens, small)  # its last layer is zero
    assert torch.equal(fresh[:, :3], bilinear) and not fresh[:, 3:].any()
    stage, plain = made(config), made(PATCHED_UP)  # of the same weights
    told, said = stage(x, t, tokens, small), plain(x, t, tokens, small)
    assert torch.equal(told[:, :3], bilinear + said[:, :3])
    assert torch.equal(told[:, 3:], said[:, 3:]) and said[:, :3].any()


@pytest.mark.parametrize("config", [PATCHED, dataclasses.replace(UPSAMPLER, patch=1)])
def test_on_top_is_refused_where_there_is_nothing_to_add_to(config):
    with pytest.raises(ValueError, match="upsampler that predicts x0"):
        dataclasses.replace(config, on_top=True)
