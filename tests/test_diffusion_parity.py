"""Our samplers take the steps of diffusers' schedulers, to 1e-10.

diffusers computes its tables, and DPM-Solver++'s steps, in float32, whatever it is
given. Here "float32" in its modules means float64, and nothing else of it is changed.
As shipped, it agrees with us to 1e-5.

The network is a fixed function of x and t. Every x_t and every predicted x0 on the way
is compared, relative to the largest number there; and mistakes that people make must be
seen by the same comparison.
"""

import numpy as np
import pytest
import torch

from mmlearn.diffusion import (
    SCHEDULES,
    Denoiser,
    Schedule,
    ddim,
    ddpm,
    dpmpp_2m,
    evenly_spaced,
)

diffusers = pytest.importorskip("diffusers")
from diffusers.schedulers import (  # noqa: E402
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
)

NAMES = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
BETAS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "scaled_linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
}
EVERY = pytest.mark.parametrize("kind", SCHEDULES)
PREDICTS = pytest.mark.parametrize("predicts", ["eps", "v", "x0"])
STEPS = 20


class InFloat64:
    """A library in which float32 is float64."""

    def __init__(self, library, float64):
        self.library, self.float32 = library, float64

    def __getattr__(self, name):
        return getattr(self.library, name)


@pytest.fixture
def exact(monkeypatch):
    for module in (scheduling_ddpm, scheduling_ddim, scheduling_dpmsolver_multistep):
        monkeypatch.setattr(module, "torch", InFloat64(torch, torch.float64))
        monkeypatch.setattr(module, "np", InFloat64(np, np.float64))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


X, MIXING = normal(2, 3, 4, 4), 0.5 * normal(16, 16, seed=1)


def network(x_t, t):
    """Something between −1 and 1 that depends on all pixels, and on t."""
    mixed = x_t.flatten(2) @ MIXING + torch.as_tensor(t).view(-1, 1, 1) / 1000
    return torch.tanh(mixed).view_as(x_t)


def theirs(peer: type, kind: str, predicts: str, **step) -> torch.Tensor:
    """Every (x_t, x0) of a scheduler's way down, stacked: (STEPS, 2, …)."""
    options = BETAS[kind] | {"prediction_type": NAMES[predicts]}
    options |= {"timestep_spacing": "trailing"}
    if peer is not diffusers.DPMSolverMultistepScheduler:
        options |= {"clip_sample": False}
        step |= {"generator": torch.Generator().manual_seed(2)}
    scheduler = peer(**options)
    scheduler.set_timesteps(STEPS)
    assert scheduler.timesteps.tolist() == evenly_spaced(1000, STEPS)[::-1]
    x, seen = X, []
    for t in scheduler.timesteps:
        result = scheduler.step(network(x, t), t, x, **step)
        x0 = getattr(result, "pred_original_sample", None)
        seen.append((x, scheduler.model_outputs[-1] if x0 is None else x0))
        x = result.prev_sample
    return torch.stack([torch.stack(pair) for pair in seen])


def ours(sampler, kind: str, predicts: str, schedule=None, **own) -> torch.Tensor:
    """The same of our sampler."""
    schedule, seen = schedule or Schedule.named(kind), []
    sampler(
        Denoiser(network, schedule, predicts),
        X,
        schedule,
        STEPS,
        generator=torch.Generator().manual_seed(2),
        callback=lambda step, t, x, x0: seen.append(torch.stack([x, x0])),
        **own,
    )
    return torch.stack(seen)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest number of the same step."""
    scale = expected.abs().flatten(1).amax(dim=1)
    return ((found - expected).abs().flatten(1).amax(dim=1) / scale).max().item()


@EVERY
def test_the_same_schedule(exact, kind):
    betas = diffusers.DDPMScheduler(**BETAS[kind]).betas
    assert betas.dtype == torch.float64
    assert (Schedule.named(kind).betas / betas - 1).abs().max() < 1e-10


@EVERY
@PREDICTS
def test_ddpm_takes_the_same_steps(exact, kind, predicts):
    expected = theirs(diffusers.DDPMScheduler, kind, predicts)
    assert error(ours(ddpm, kind, predicts), expected) < 1e-10


@EVERY
@PREDICTS
def test_ddpm_with_the_large_variance_takes_the_same_steps(exact, kind, predicts):
    class Large(diffusers.DDPMScheduler):
        def __init__(self, **options):
            super().__init__(variance_type="fixed_large", **options)

    expected = theirs(Large, kind, predicts)
    assert error(ours(ddpm, kind, predicts, variance="large"), expected) < 1e-10


@EVERY
@PREDICTS
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim_takes_the_same_steps(exact, kind, predicts, eta):
    expected = theirs(diffusers.DDIMScheduler, kind, predicts, eta=eta)
    assert error(ours(ddim, kind, predicts, eta=eta), expected) < 1e-10


@EVERY
@PREDICTS
def test_dpmpp_2m_takes_the_same_steps(exact, kind, predicts):
    expected = theirs(diffusers.DPMSolverMultistepScheduler, kind, predicts)
    assert error(ours(dpmpp_2m, kind, predicts), expected) < 1e-10


def test_the_same_learned_variance(exact):
    def doubled(x_t, t):
        return torch.cat([network(x_t, t), network(-x_t, t)], dim=1)

    scheduler = diffusers.DDPMScheduler(
        **BETAS["cosine"],
        variance_type="learned_range",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(STEPS)
    x, generator = X, torch.Generator().manual_seed(2)
    for t in scheduler.timesteps[:-1]:
        x = scheduler.step(doubled(x, t), t, x, generator=generator).prev_sample
    seen, schedule = [], Schedule.cosine()
    ddpm(
        Denoiser(doubled, schedule, learned_variance=True),
        X,
        schedule,
        STEPS,
        generator=torch.Generator().manual_seed(2),
        callback=lambda step, t, x, x0: seen.append(x),
    )
    assert (seen[-1] - x).abs().max() / x.abs().max() < 1e-10


@EVERY
def test_as_shipped_they_agree_as_far_as_float32_goes(kind):
    for peer, sampler in (
        (diffusers.DDPMScheduler, ddpm),
        (diffusers.DDIMScheduler, ddim),
        (diffusers.DPMSolverMultistepScheduler, dpmpp_2m),
    ):
        apart = error(ours(sampler, kind, "eps"), theirs(peer, kind, "eps"))
        assert 1e-10 < apart < 1e-5


def first_order(denoise, x, schedule, steps, **own):
    return ddim(denoise, x, schedule, steps, **own)


OTHER_BETAS = Schedule(torch.linspace(1e-4, 0.0201, 1000).double())


@pytest.mark.parametrize(
    "sampler, peer",
    [
        (ddpm, diffusers.DDPMScheduler),
        (ddim, diffusers.DDIMScheduler),
        (dpmpp_2m, diffusers.DPMSolverMultistepScheduler),
    ],
)
def test_a_mistake_is_seen(exact, sampler, peer):
    expected = theirs(peer, "linear", "eps")
    assert error(ours(sampler, "linear", "eps"), expected) < 1e-10
    mistakes = {
        "eps taken as v": ours(sampler, "linear", "v"),
        "another schedule": ours(sampler, "scaled_linear", "eps"),
        "a last β of 0.0201": ours(sampler, "linear", "eps", OTHER_BETAS),
    }
    if sampler is dpmpp_2m:
        mistakes["a first-order step"] = ours(first_order, "linear", "eps")
    if sampler is ddim:
        mistakes["some noise"] = ours(sampler, "linear", "eps", eta=1e-3)
    if sampler is ddpm:
        mistakes["β for β̃"] = ours(sampler, "linear", "eps", variance="large")
    for name, found in mistakes.items():
        assert error(found, expected) > 1e-4, name
