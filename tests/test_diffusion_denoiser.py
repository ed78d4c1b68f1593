"""Guidance, thresholding, and the denoiser that hides both from the samplers."""

import pytest
import torch

from mmlearn.diffusion import (
    PREDICTIONS,
    Denoiser,
    Schedule,
    convert,
    dynamic_threshold,
    eps_from_x0,
    guide,
    halves,
    static_threshold,
)

SCHEDULE = Schedule.cosine(100)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Reader:
    """A network whose output depends on its text, and which counts its calls."""

    def __init__(self, text: torch.Tensor, variance: bool = False):
        self.text, self.variance, self.rows = text, variance, []

    def __call__(self, x_t, t):
        self.rows.append(len(x_t))
        assert len(x_t) == len(t) == len(self.text)
        time = t[:, None, None, None] / 100
        mean = torch.tanh(x_t + self.text[:, :, None, None] + time)
        return torch.cat([mean, 0.1 * mean], dim=1) if self.variance else mean


CAPTIONED, EMPTY = normal(4, 3, seed=1), normal(4, 3, seed=2)


def guided(scale: float, **options):
    network = Reader(halves(CAPTIONED, EMPTY, scale), options.get("learned_variance"))
    denoise = Denoiser(network, SCHEDULE, guidance=scale, **options)
    return denoise.predict(normal(4, 3, 5, 5), 60), network


def test_guidance_goes_on_from_without_text_past_with_text():
    with_text, without = guided(1.0)[0], guided(0.0)[0]
    found, network = guided(3.5)
    expected = without.eps + 3.5 * (with_text.eps - without.eps)
    assert torch.allclose(found.eps, expected, rtol=1e-9)
    assert network.rows == [8]  # both halves at once


def test_guidance_1_is_the_text_alone_and_0_none_of_it_at_half_the_cost():
    x_t = normal(4, 3, 5, 5)
    for scale, text in ((1, CAPTIONED), (0, EMPTY)):
        found, network = guided(scale)
        t = torch.full((4,), 60)
        assert network.rows == [4]
        assert torch.allclose(found.eps, Reader(text)(x_t, t), rtol=1e-9)


def test_ho_and_salimans_formula_is_the_same_with_w_one_less():
    conditional, unconditional = normal(2, 4, 3)
    w = 3.0
    theirs = (1 + w) * conditional - w * unconditional
    assert torch.allclose(guide(conditional, unconditional, w + 1), theirs)
    assert not torch.allclose(guide(conditional, unconditional, w), theirs)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_guiding_eps_x0_or_v_is_the_same(predicts):
    x_t, level = normal(4, 3, 5, 5), SCHEDULE.level(60, normal(4, 3, 5, 5))
    network = Reader(halves(CAPTIONED, EMPTY, 5.0))

    def other(x, t):
        return convert(network(x, t), "eps", predicts, x, *level)

    found = Denoiser(other, SCHEDULE, predicts, guidance=5.0)(x_t, 60)
    assert torch.allclose(found, guided(5.0)[0].x0, rtol=1e-9)


def test_only_the_mean_is_guided_where_the_variance_is_learned():
    found, _ = guided(5.0, learned_variance=True)
    with_text, _ = guided(1.0, learned_variance=True)
    assert torch.allclose(found.eps, guided(5.0)[0].eps, rtol=1e-9)
    assert torch.equal(found.between, with_text.between)
    assert found.between.abs().max() <= 0.1  # 5-fold exaggeration would leave this
    assert guided(5.0)[0].between is None


def test_each_picture_may_have_its_own_t():
    denoise = Denoiser(Reader(CAPTIONED), SCHEDULE, "v")
    x_t, t = normal(4, 3, 5, 5), torch.tensor([3, 99, 0, 50])
    together = denoise(x_t, t)
    for k in range(4):
        assert torch.allclose(together[k], denoise(x_t, int(t[k]))[k], rtol=1e-9)


def test_the_dynamic_threshold_by_hand():
    """201 values 0.00 … 2.00: 99.5 % of the way lies the 200th, 1.99."""
    bright = torch.linspace(0, 2, 201).double().view(1, 3, 67)
    bright[0, 0, 1::2] *= -1
    pale = bright / 2
    found = dynamic_threshold(torch.cat([bright, pale]))
    assert torch.allclose(found[0], bright[0].clamp(-1.99, 1.99) / 1.99)
    assert found[0, 2, -1] == 1 and found[0].abs().max() == 1
    assert torch.equal(found[1], pale[0])  # within [−1, 1] nothing changes
    flat = static_threshold(torch.cat([bright, pale]))
    assert (flat[0].abs() == 1).sum() == 101 and (found[0].abs() == 1).sum() == 2
    half = dynamic_threshold(bright, 50)  # the median is 1.00
    assert torch.allclose(half, static_threshold(bright))


def test_the_dynamic_threshold_is_that_of_diffusers_only_without_their_cap():
    diffusers = pytest.importorskip("diffusers")
    x0 = 2 * normal(3, 3, 16, 16)
    uncapped = diffusers.DDPMScheduler(thresholding=True, sample_max_value=1e9)
    assert torch.equal(dynamic_threshold(x0), uncapped._threshold_sample(x0))
    default = diffusers.DDPMScheduler(thresholding=True)
    assert torch.equal(static_threshold(x0), default._threshold_sample(x0))


def test_the_noise_goes_with_the_thresholded_picture():
    network = Reader(halves(CAPTIONED, EMPTY, 9.0))
    x_t = normal(4, 3, 5, 5)
    denoise = Denoiser(network, SCHEDULE, guidance=9.0, threshold=dynamic_threshold)
    found = denoise.predict(x_t, 80)
    assert found.x0.abs().max() == 1
    level = SCHEDULE.level(80, x_t)
    assert torch.allclose(found.eps, eps_from_x0(x_t, found.x0, *level))
    assert not torch.allclose(
        found.eps, network(x_t.repeat(2, 1, 1, 1), torch.full((8,), 80))[:4]
    )
