"""Samplers against what is known exactly: data whose best denoiser is a formula.

For data N(m, s²), E[x0 | x_t] is linear in x_t, and DDIM's equation has a solution in
closed form: (x_t − α m) / √(α² s² + σ²) never changes.
"""

import math
from itertools import pairwise

import pytest
import torch

from mmlearn.diffusion import (
    SAMPLERS,
    SCHEDULES,
    Denoiser,
    Schedule,
    ddim,
    ddim_invert,
    ddpm,
    dpmpp_2m,
    evenly_spaced,
    fast27,
)

M, S = 0.4, 0.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def start(n: int) -> torch.Tensor:
    """Noise whose own mean and variance are exactly 0 and 1: one error fewer."""
    x = normal(n, 1)
    return (x - x.mean()) / x.std()


def gaussian(schedule: Schedule):
    """E[x0 | x_t] for data N(M, S²)."""

    def denoise(x, t):
        alpha, sigma = schedule.level(t, x)
        gain = alpha * S**2 / (alpha**2 * S**2 + sigma**2)
        return M + gain * (x - alpha * M)

    return denoise


def two_peaks(schedule: Schedule, centre: float = 0.7, s: float = 0.15):
    """E[x0 | x_t] for data of two equal peaks, N(±centre, s²): not linear in x_t."""

    def denoise(x, t):
        alpha, sigma = schedule.level(t, x)
        variance = alpha**2 * s**2 + sigma**2
        lean = torch.tanh(alpha * centre * x / variance)  # P(right) − P(left)
        return lean * centre * sigma**2 / variance + alpha * s**2 / variance * x

    return denoise


def flow(schedule: Schedule, x: torch.Tensor) -> torch.Tensor:
    """Where DDIM's equation takes x from the noisiest step, exactly."""
    alpha, sigma = schedule.level(schedule.T - 1, x)
    return M + S * (x - alpha * M) / math.sqrt(alpha**2 * S**2 + sigma**2)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_each_sampler_lands_on_the_right_mean_and_variance(name, kind):
    schedule, x = Schedule.named(kind), start(20_000)
    found = SAMPLERS[name](gaussian(schedule), x, schedule, 1000, generator=seeded(1))
    assert found.mean().item() == pytest.approx(M, abs=0.01)
    assert found.std().item() == pytest.approx(S, abs=0.01)


@pytest.mark.parametrize("name", SAMPLERS)
def test_with_another_schedules_denoiser_no_sampler_does(name):
    schedule, x = Schedule.cosine(), normal(10_000, 1)
    other = gaussian(Schedule.linear())
    found = SAMPLERS[name](other, x, schedule, 100, generator=seeded(1))
    wrong = max(abs(found.mean().item() - M), abs(found.std().item() - S))
    assert not wrong < 0.03


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_lands_there_with_any_amount_of_noise(eta):
    schedule, x = Schedule.cosine(), start(20_000)
    found = ddim(gaussian(schedule), x, schedule, 1000, generator=seeded(1), eta=eta)
    assert found.mean().item() == pytest.approx(M, abs=0.01)
    assert found.std().item() == pytest.approx(S, abs=0.01)


def uniform(steps: int) -> Schedule:
    """Steps of equal length in λ = ln(α/σ), in which a solver counts its order."""
    bar = torch.sigmoid(2 * torch.linspace(9, -5, steps + 1).double())
    before = torch.cat([torch.ones(1).double(), bar[:-1]])
    return Schedule(1 - bar / before)


def slopes(sampler, counts=(40, 80, 160, 320)) -> list[float]:
    """How the error against the exact solution falls when steps double: log2 of it."""
    x, errors = torch.linspace(-2, 2, 9).double()[:, None], []
    for steps in counts:
        schedule = uniform(steps)
        found = sampler(gaussian(schedule), x, schedule, schedule.T)
        errors.append((found - flow(schedule, x)).abs().max().item())
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_ddim_is_of_first_order():
    assert all(0.8 < slope < 1.3 for slope in slopes(ddim))


def test_dpmpp_2m_is_of_second_order():
    assert all(1.7 < slope < 2.4 for slope in slopes(dpmpp_2m))


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_ten_steps_of_dpmpp_2m_beat_ten_of_ddim_and_forty_beat_a_hundred(kind):
    schedule, x = Schedule.named(kind), torch.linspace(-2, 2, 9).double()[:, None]

    def error(sampler, steps):
        found = sampler(gaussian(schedule), x, schedule, steps)
        return (found - flow(schedule, x)).abs().max().item()

    assert error(dpmpp_2m, 10) < error(ddim, 10)
    assert error(dpmpp_2m, 40) < error(ddim, 100) / 5


@pytest.mark.parametrize("steps", [20, 40])
def test_on_stable_diffusions_schedule_the_last_step_makes_most_of_the_error(steps):
    x, last = torch.linspace(-2, 2, 9).double()[:, None], {}
    for kind in ("scaled_linear", "cosine"):
        schedule, seen = Schedule.named(kind), []
        found = dpmpp_2m(
            gaussian(schedule),
            x,
            schedule,
            steps,
            callback=lambda step, t, x, x0, seen=seen: seen.append((t, x)),
        )
        t, x_t = seen[-1]
        alpha, sigma = schedule.level(t, x)
        spread = math.sqrt(alpha**2 * S**2 + sigma**2)
        expected = alpha * M + spread * (flow(schedule, x) - M) / S
        before = (x_t - expected).abs().max().item()
        last[kind] = (found - flow(schedule, x)).abs().max().item() / before
    assert last["scaled_linear"] > 5 and last["cosine"] < 1


def test_dpmpp_2m_without_its_memory_is_ddim():
    """With one step or two there is no step before to learn from."""
    schedule, x = Schedule.cosine(), normal(20, 1)
    denoise = two_peaks(schedule)
    for steps in (1, 2):
        one, other = (f(denoise, x, schedule, steps) for f in (ddim, dpmpp_2m))
        assert (one - other).abs().max() < 1e-12
    other = dpmpp_2m(denoise, x, schedule, 3)
    assert (ddim(denoise, x, schedule, 3) - other).abs().max() > 1e-3


def test_with_many_steps_the_samplers_agree_on_data_with_two_peaks():
    schedule, x = Schedule.cosine(), normal(20_000, 1)
    denoise = two_peaks(schedule)
    found = {
        name: sampler(denoise, x, schedule, 1000, generator=seeded(1))
        for name, sampler in SAMPLERS.items()
    }
    # Without noise, sample by sample: but for those that start between the peaks.
    apart = (found["ddim"] - found["dpmpp_2m"]).abs()
    assert apart.quantile(0.99) < 5e-3
    for pictures in found.values():  # and all of them on the same distribution
        assert (pictures > 0).double().mean().item() == pytest.approx(0.5, abs=0.02)
        assert pictures.abs().mean().item() == pytest.approx(0.7, abs=0.01)
        assert pictures.abs().std().item() == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("steps", [1, 10, 250])
def test_ddim_with_eta_1_is_ddpm_step_by_step(steps):
    schedule, x = Schedule.linear(), normal(20, 1)
    denoise, seen = two_peaks(schedule), {"ddpm": [], "ddim": [], "less": []}
    for name, sampler, own in (
        ("ddpm", ddpm, {}),
        ("ddim", ddim, {"eta": 1.0}),
        ("less", ddim, {"eta": 0.9}),
    ):
        own["callback"] = lambda step, t, x, x0, seen=seen[name]: seen.append(x)
        seen[name] += [sampler(denoise, x, schedule, steps, generator=seeded(), **own)]
    difference = torch.stack(seen["ddpm"]) - torch.stack(seen["ddim"])
    assert difference.abs().max() < 1e-9
    less = torch.stack(seen["ddpm"]) - torch.stack(seen["less"])
    assert steps == 1 or less.abs().max() > 1e-2


def test_inverting_and_sampling_returns_the_picture_closer_with_more_steps():
    schedule, pictures = Schedule.cosine(), 0.7 + 0.15 * normal(20, 1)
    pictures[::2] *= -1
    denoise = two_peaks(schedule)

    def error(steps, **own):
        x = ddim_invert(denoise, pictures, schedule, steps, **own)
        return (ddim(denoise, x, schedule, steps) - pictures).abs().max().item()

    errors = [error(steps) for steps in (25, 50, 100, 200)]
    assert all(b < 0.7 * a for a, b in pairwise(errors))
    assert errors[-1] < 0.01
    assert error(100, refine=1) < errors[2] / 3
    assert error(100, refine=4) < errors[2] / 100
    noise = ddim_invert(denoise, pictures, schedule, 200)
    other = ddim(denoise, noise.flip(0), schedule, 200)
    assert (other - pictures).abs().max() > 0.1  # another noise, another picture


def test_inversion_finds_noise():
    schedule, pictures = Schedule.cosine(), M + S * normal(20_000, 1)
    noise = ddim_invert(gaussian(schedule), pictures, schedule, 250)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_callback_sees_every_step(name):
    schedule, x, rows = Schedule.cosine(), normal(2, 3, 4, 4), []

    def callback(*row):
        rows.append(row)

    found = SAMPLERS[name](
        gaussian(schedule), x, schedule, 7, generator=seeded(), callback=callback
    )
    steps, times, states, pictures = zip(*rows, strict=True)
    assert steps == tuple(range(7))
    assert list(times) == evenly_spaced(1000, 7)[::-1]
    assert states[0] is x and (pictures[-1] - found).abs().max() < 1e-12
    for _, t, x_t, x0 in rows:
        assert torch.equal(x0, gaussian(schedule)(x_t, t))


def test_inversion_shows_its_steps_upwards():
    schedule, rows = Schedule.cosine(), []
    ddim_invert(
        gaussian(schedule),
        normal(2, 3),
        schedule,
        5,
        callback=lambda *row: rows.append(row),
        refine=2,
    )
    assert [row[:2] for row in rows] == list(enumerate(evenly_spaced(1000, 5)))
    for _, t, x_t, x0 in rows:
        assert torch.equal(x0, gaussian(schedule)(x_t, t))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_respaced_schedule_is_walked_by_the_networks_own_numbers(name):
    schedule, times = Schedule.linear(), []
    short = schedule.respaced(fast27())

    def denoise(x, t):
        times.append(t)
        return gaussian(schedule)(x, t)

    SAMPLERS[name](denoise, normal(2, 1), short, 27, generator=seeded())
    assert times == fast27()[::-1]
    times.clear()
    SAMPLERS[name](denoise, normal(2, 1), short, 9, generator=seeded())
    assert times == fast27()[2::3][::-1]


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_may_start_from_a_picture_with_some_noise(name):
    schedule = Schedule.cosine()
    part = schedule.respaced(evenly_spaced(1000, 200)[:60])
    pictures = M + S * normal(20_000, 1)
    x = schedule.add_noise(
        pictures, normal(20_000, 1, seed=1), part.timesteps[-1].item()
    )
    found = SAMPLERS[name](gaussian(schedule), x, part, part.T, generator=seeded(2))
    assert found.mean().item() == pytest.approx(M, abs=0.02)
    assert found.std().item() == pytest.approx(S, abs=0.02)
    kept = torch.corrcoef(torch.cat([found, pictures], dim=1).T)[0, 1]
    assert 0.3 < kept < 0.95


@pytest.mark.parametrize("value, variance", [(1.0, "large"), (-1.0, "small")])
def test_a_learned_variance_at_its_ends_is_the_fixed_one_in_long_steps_too(
    value, variance
):
    schedule, x = Schedule.cosine(), normal(4, 3, 5, 5)

    def network(x_t, t):
        return torch.cat([torch.tanh(x_t), torch.full_like(x_t, value)], dim=1)

    learned = Denoiser(network, schedule, "x0", learned_variance=True)
    fixed = Denoiser(lambda x, t: network(x, t)[:, :3], schedule, "x0")
    found = ddpm(learned, x, schedule, 10, generator=seeded())
    same = ddpm(fixed, x, schedule, 10, generator=seeded(), variance=variance)
    other = {"large": "small", "small": "large"}[variance]
    different = ddpm(fixed, x, schedule, 10, generator=seeded(), variance=other)
    assert (found - same).abs().max() < 1e-12 < (found - different).abs().max()


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_is_enough_and_nothing_global_is_drawn(name, kind):
    schedule, x = Schedule.named(kind), normal(500, 1)
    denoise, before = two_peaks(schedule), torch.get_rng_state()
    found = [
        SAMPLERS[name](denoise, x.to(dtype), schedule, 20, generator=seeded())
        for dtype in (torch.float64, torch.float32, torch.float32)
    ]
    assert found[1].dtype == torch.float32 and torch.equal(found[1], found[2])
    assert torch.equal(before, torch.get_rng_state())
    if name != "ddpm":  # whose noise is other noise in another precision
        apart = (found[0] - found[1]).abs()
        assert apart.quantile(0.98) < 1e-3
