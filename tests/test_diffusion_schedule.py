"""The forward process: how much noise at each step, with any number of them."""

import math

import pytest
import torch

from mmlearn.diffusion import (
    SCHEDULES,
    Schedule,
    evenly_spaced,
    fast27,
    in_sections,
)
from mmlearn.diffusion.schedule import noise_like

EVERY = pytest.mark.parametrize("name", SCHEDULES)
TERMINAL = {"linear": 4.0e-5, "cosine": 2.4e-9, "scaled_linear": 4.66e-3}


@EVERY
def test_the_terminal_alpha_bar_is_the_published_one(name):
    schedule = Schedule.named(name)
    assert schedule.T == 1000
    assert schedule.alphas_bar[-1].item() == pytest.approx(TERMINAL[name], rel=0.02)
    bar = schedule.alphas_bar[-1].item()
    assert schedule.terminal_snr == pytest.approx(bar / (1 - bar), rel=1e-12)


def test_stable_diffusions_last_step_still_holds_7_percent_of_the_picture():
    schedule = Schedule.scaled_linear()
    alpha, sigma = schedule.level(999, torch.zeros(1, 1))
    assert alpha == pytest.approx(0.068, abs=5e-4)
    assert sigma / alpha == pytest.approx(14.61, abs=0.01)
    alpha, sigma = schedule.level(0, torch.zeros(1, 1))
    assert sigma / alpha == pytest.approx(0.0292, abs=5e-5)


def test_first_and_last_betas_are_the_published_ones():
    linear, scaled = Schedule.linear().betas, Schedule.scaled_linear().betas
    assert linear[[0, -1]].tolist() == pytest.approx([1e-4, 0.02], rel=1e-12)
    assert scaled[[0, -1]].tolist() == pytest.approx([0.00085, 0.012], rel=1e-12)
    assert Schedule.cosine().betas[-1] == 0.999  # the cap; without it, 1
    # Half way between its ends √β is half way, which is what "scaled" means.
    assert Schedule.scaled_linear(999).betas[499].item() ** 0.5 == pytest.approx(
        (0.00085**0.5 + 0.012**0.5) / 2 * (1000 / 999) ** 0.5, rel=1e-12
    )


@EVERY
@pytest.mark.parametrize("T", [1, 2, 10, 100, 4000])
def test_any_number_of_steps_ends_about_as_noisy_as_a_thousand(name, T):
    schedule = Schedule.named(name, T)
    assert schedule.T == T and (schedule.betas <= 0.999).all()
    assert schedule.betas.dtype == torch.float64
    assert (schedule.snr.diff() < 0).all()
    assert schedule.terminal_snr < 0.01
    if T >= 100 and name != "cosine":  # whose end is its last step, the capped one
        ratio = schedule.terminal_snr / Schedule.named(name).terminal_snr
        assert 0.5 < ratio < 1.1


@EVERY
def test_noise_keeps_the_variance_of_pictures_of_variance_one(name):
    generator = torch.Generator().manual_seed(0)
    schedule = Schedule.named(name)
    x0 = noise_like(torch.zeros(3, 1, 100, 100), generator)
    x_t = schedule.add_noise(x0, noise_like(x0, generator), torch.tensor([0, 400, 999]))
    assert x_t.flatten(1).var(dim=1).tolist() == pytest.approx([1, 1, 1], abs=0.05)
    kept = (x_t * x0).flatten(1).mean(dim=1)
    alphas = schedule.alphas_bar[[0, 400, 999]].sqrt()
    assert kept.tolist() == pytest.approx(alphas.tolist(), abs=0.05)


def test_one_t_for_all_is_the_same_t_for_each():
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4, 3, 8, 8, generator=generator).double()
    schedule = Schedule.linear(50)
    one = schedule.add_noise(x0, noise, 17)
    assert torch.equal(one, schedule.add_noise(x0, noise, torch.full((4,), 17)))
    assert torch.equal(one[0], schedule.add_noise(x0, noise, torch.arange(17, 21))[0])


@EVERY
def test_the_posterior_is_bayes_rule(name):
    """q(x_{t−1} | x_t, x0), as the product of two normal distributions."""
    schedule = Schedule.named(name, 30)
    x0, x_t = torch.tensor([[0.7]]).double(), torch.tensor([[-1.3]]).double()
    for t in range(1, 30):
        beta = schedule.betas[t].item()
        before = schedule.alphas_bar_before[t].item()
        precision = (1 - beta) / beta + 1 / (1 - before)
        pull = math.sqrt(1 - beta) * x_t / beta + math.sqrt(before) * x0 / (1 - before)
        mean = schedule.posterior_mean(x0, x_t, t)
        assert mean.item() == pytest.approx((pull / precision).item(), rel=1e-9)
        variance = schedule.posterior_variance[t].item()
        assert variance == pytest.approx(1 / precision, rel=1e-9)
    assert schedule.posterior_mean(x0, x_t, 0).item() == pytest.approx(0.7)
    assert schedule.posterior_variance[0] == 0


@EVERY
def test_respacing_keeps_the_noise_and_remembers_the_timesteps(name):
    schedule = Schedule.named(name)
    short = schedule.respaced(fast27())
    assert short.T == 27 and short.timesteps.tolist() == fast27()
    kept = schedule.alphas_bar[short.timesteps]
    assert torch.allclose(short.alphas_bar, kept, rtol=1e-12, atol=0)
    assert not torch.allclose(short.betas, schedule.betas[short.timesteps])
    twice = short.respaced([0, 5, 26])
    assert twice.timesteps.tolist() == [0, 111, 997]
    assert torch.allclose(twice.alphas_bar, schedule.alphas_bar[[0, 111, 997]])


def test_evenly_spaced_steps_start_where_the_noise_is():
    assert evenly_spaced(1000, 4) == [249, 499, 749, 999]
    assert evenly_spaced(10, 3) == [2, 6, 9]
    assert evenly_spaced(7, 7) == list(range(7)) and evenly_spaced(1000, 1) == [999]
    for steps in range(1, 31):
        chosen = evenly_spaced(30, steps)
        assert len(set(chosen)) == steps and chosen[-1] == 29


def test_glides_fast27_by_hand():
    first = [0, 22, 44, 66, 88, 111, 133, 155, 177, 199]
    second = [200 + t for t in first]
    assert in_sections(1000, (10, 10, 3, 2, 2))[-1] == 999
    assert fast27() == [*first, *second, 400, 500, 599, 600, 799, 800, 997]
    assert in_sections(10, (2, 1, 1)) == [0, 3, 4, 7]  # sizes 4, 3 and 3


def test_a_schedule_made_inside_a_meta_device_is_real():
    with torch.device("meta"):
        schedule = Schedule.cosine(10)
        short = schedule.respaced([1, 9])
    assert not schedule.betas.is_meta and not short.alphas_bar_before.is_meta
    assert schedule.terminal_snr > 0 and short.timesteps.tolist() == [1, 9]
    assert repr(short).startswith("Schedule(T=2, terminal ᾱ=")
