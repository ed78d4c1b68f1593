"""Bad input gets one sentence that says what is wrong, and what would be right."""

import math

import pytest
import torch

from mmlearn.diffusion import (
    SAMPLERS,
    Denoiser,
    Objective,
    Schedule,
    convert,
    ddim,
    ddim_invert,
    ddpm,
    dynamic_threshold,
    evenly_spaced,
    halves,
    in_sections,
    loss_by_bin,
    sampler,
    target,
)

SCHEDULE = Schedule.cosine(10)
X = torch.zeros(2, 3, 4, 4)
EVERY = pytest.mark.parametrize("name", [*SAMPLERS, "ddim_invert"])


def still(x, t):
    return 0 * x


def doubled(x, t):
    return torch.cat([x, x], dim=1)


def run(name, denoise=still, x=X, schedule=SCHEDULE, steps=5, **own):
    function = ddim_invert if name == "ddim_invert" else sampler(name)
    generator = torch.Generator().manual_seed(0)
    return function(denoise, x, schedule, steps, generator=generator, **own)


def refuses(sentence: str, function, *args, **options) -> None:
    with pytest.raises(ValueError) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert sentence in message and message.endswith(".")
    assert message.count("\n") == 0 and len(message) < 200


@EVERY
def test_wrong_steps(name):
    for steps in (0, -3, 11, 2.5, True):
        refuses("steps must be a whole number from 1 to 10", run, name, steps=steps)
    run(name, steps=1)


@EVERY
def test_wrong_pictures(name):
    for value in (math.nan, math.inf):
        bad = X.clone()
        bad[1, 0, 0, 0] = value
        refuses("pictures must be finite, and number 1 is not", run, name, x=bad)
    refuses("must be a tensor of floats, not torch.uint8", run, name, x=X.byte())
    refuses("must be (n, channels, …), not [0, 3, 4, 4]", run, name, x=X[:0])


@EVERY
def test_a_schedule_that_is_not_the_denoisers(name):
    denoise = Denoiser(still, SCHEDULE)
    for other in (Schedule.linear(10), Schedule.cosine(11), Schedule.cosine(9)):
        refuses("no part of it", run, name, denoise, schedule=other)
    run(name, denoise, schedule=SCHEDULE.respaced([1, 4, 5, 8, 9]))


def test_wrong_names():
    refuses("one of ddpm, ddim, dpmpp_2m, not 'plms'", sampler, "plms")
    refuses("one of linear, cosine, scaled_linear", Schedule.named, "sigmoid")
    for function in (
        lambda name: Denoiser(still, SCHEDULE, name),
        lambda name: Objective(SCHEDULE, name),
        lambda name: convert(X, name, "x0", X, 0.6, 0.8),
        lambda name: convert(X, "eps", name, X, 0.6, 0.8),
        lambda name: target(name, X, X, 0.6, 0.8),
    ):
        refuses("must be one of eps, x0, v, not 'epsilon'", function, "epsilon")
    refuses("one of small, large, learned", run, "ddpm", variance="medium")


@pytest.mark.parametrize("scale", [math.nan, math.inf, -1.0, "4", None, True])
def test_wrong_guidance(scale):
    refuses("guidance must be a finite number from 0", guided_by, scale)


def guided_by(scale):
    return Denoiser(still, SCHEDULE, guidance=scale)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan, "0.5"])
def test_wrong_eta(eta):
    refuses("eta must lie between 0", run, "ddim", eta=eta)


def test_wrong_times():
    denoise = Denoiser(still, SCHEDULE)
    for t, sentence in (
        (-1, "within 0 … 9, and -1 does not"),
        (10, "within 0 … 9, and 10 does not"),
        (torch.tensor([0, 10]), "within 0 … 9, and 10 does not"),
        (torch.tensor([3]), "one for each of 2 pictures"),
        (torch.tensor([0.5, 0.5]), "not torch.float32"),
        (0.5, "must be a whole number"),
    ):
        refuses(sentence, denoise, X, t)
        refuses(sentence, SCHEDULE.add_noise, X, X, t)


def test_wrong_channels():
    t = torch.tensor([1, 2])
    generator = torch.Generator().manual_seed(0)
    refuses("it should give 6", Denoiser(still, SCHEDULE, learned_variance=True), X, 5)
    refuses("it should give 3", Denoiser(doubled, SCHEDULE), X, 5)
    for learned, network, right in ((True, still, 6), (False, doubled, 3)):
        terms = Objective(SCHEDULE, learned_variance=learned).terms
        refuses(f"it should give {right}", terms, network, X, t, generator)
    refuses('"learned" needs', run, "ddpm", variance="learned")


def test_wrong_halves():
    refuses("guidance must be a finite number from 0", halves, X, X, math.nan)
    refuses("both halves must have one shape", halves, X, X[:1], 4.0)
    deaf = Denoiser(lambda x, t: x[:2], SCHEDULE, guidance=4.0)
    refuses("2 rows for two halves of 2", deaf, X, 5)


def test_noise_without_a_generator():
    refuses("generator=torch.Generator()", ddpm, still, X, SCHEDULE, 5)
    refuses("generator=torch.Generator()", ddim, still, X, SCHEDULE, 5, eta=0.5)
    ddim(still, X, SCHEDULE, 5)


def test_wrong_schedules():
    refuses("T must be a whole number from 1", Schedule.cosine, 0)
    refuses("betas must lie above 0", Schedule, torch.tensor([0.1, 1.0]))
    refuses("betas must lie above 0", Schedule, torch.tensor([0.0, 0.1]))
    refuses("for each of the 2 betas", Schedule, [0.1, 0.2], torch.arange(3))
    refuses("betas must be a list", Schedule, torch.zeros(2, 2))
    for steps in ([], [3, 3], [4, 2], [-1, 2], [2, 10], list(range(11))):
        refuses("timesteps must rise", SCHEDULE.respaced, steps)
    refuses("not a respaced one", Denoiser, still, SCHEDULE.respaced([1, 9]))
    refuses("steps must be a whole number from 1 to 10", evenly_spaced, 10, 11)
    refuses(
        "section 1 of 2 must be a whole number from 1 to 5", in_sections, 10, (2, 6)
    )


def test_wrong_settings():
    refuses("refine must be a whole number from 0", run, "ddim_invert", refine=-1)
    refuses("threshold must be a function", thresholded_by, "dynamic")
    refuses("percentile must be above 0", dynamic_threshold, X, 0)
    refuses("noise must have the pictures' shape", SCHEDULE.add_noise, X, X[:1], 0)
    generator = torch.Generator().manual_seed(0)
    bins = (Objective(SCHEDULE), still, X, generator)
    refuses("bins must be a whole number from 1 to 10", loss_by_bin, *bins, bins=11)
    refuses("tensor of floats", Objective(SCHEDULE), still, X.byte(), generator)


def thresholded_by(threshold):
    return Denoiser(still, SCHEDULE, threshold=threshold)
