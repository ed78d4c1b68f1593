"""What is predicted, and what it costs: conversions, losses, learned variance."""

import itertools
import math

import pytest
import torch
from torch import nn

from mmlearn.diffusion import (
    PREDICTIONS,
    Objective,
    Schedule,
    convert,
    log_variance,
    loss_by_bin,
    target,
    vlb,
)
from mmlearn.diffusion.variance import kl, log_likelihood
from mmlearn.train import fit

EVERY = pytest.mark.parametrize("predicts", PREDICTIONS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("t", [0, 500, 990])
def test_conversions_agree_with_each_other_and_are_inverses(t):
    schedule = Schedule.cosine()
    x0, noise = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    level = schedule.level(t, x0)
    x_t = schedule.add_noise(x0, noise, t)
    said = {p: target(p, x0, noise, *level) for p in PREDICTIONS}
    assert said["eps"] is noise and said["x0"] is x0
    for a, b in itertools.product(PREDICTIONS, repeat=2):
        found = convert(said[a], a, b, x_t, *level)
        assert (found - said[b]).abs().max() < 1e-9, (a, b)
        assert (convert(found, b, a, x_t, *level) - said[a]).abs().max() < 1e-9
    wrong = convert(said["eps"], "v", "x0", x_t, *level)
    assert (wrong - x0).abs().max() > 5e-5


def test_v_is_eps_without_noise_and_minus_x0_without_picture():
    x0, noise = normal(1, 5), normal(1, 5, seed=1)
    assert torch.equal(target("v", x0, noise, 1.0, 0.0), noise)
    assert torch.equal(target("v", x0, noise, 0.0, 1.0), -x0)


def perfect(schedule: Schedule, predicts: str):
    """The best network for pictures that are themselves N(0, 1): E[target | x_t]."""

    def network(x_t, t):
        alpha, sigma = schedule.level(t, x_t)
        return {"eps": sigma * x_t, "x0": alpha * x_t, "v": 0 * x_t}[predicts]

    return network


def expected(schedule: Schedule, predicts: str) -> torch.Tensor:
    """Its loss at each t, from Var[target | x_t]."""
    bar = schedule.alphas_bar
    return {"eps": bar, "x0": 1 - bar, "v": torch.ones_like(bar)}[predicts]


@EVERY
def test_the_loss_of_a_perfect_network_is_the_variance_that_is_left(predicts):
    schedule = Schedule.cosine(100)
    loss, terms = Objective(schedule, predicts)(
        perfect(schedule, predicts), normal(2000, 20), seeded(1)
    )
    expectation = expected(schedule, predicts).mean().item()
    assert loss.item() == pytest.approx(expectation, abs=0.02)
    assert terms == {"mse": loss}


@EVERY
def test_the_loss_by_bin_is_the_mean_over_its_timesteps(predicts):
    schedule = Schedule.linear(100)
    losses = loss_by_bin(
        Objective(schedule, predicts),
        perfect(schedule, predicts),
        normal(2000, 20),
        seeded(1),
        bins=5,
    )
    bins = expected(schedule, predicts).view(5, 20).mean(dim=1)
    assert losses.tolist() == pytest.approx(bins.tolist(), abs=0.02)


def test_one_generator_decides_everything_and_the_global_one_is_not_touched():
    schedule, images = Schedule.cosine(10), normal(4, 3, 8, 8)
    network = nn.Conv2d(3, 3, 3, padding=1).double()
    before = torch.get_rng_state()
    loss = Objective(schedule)
    losses = [
        loss(lambda x, t: network(x), images, seeded(s))[0].item() for s in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(before, torch.get_rng_state())


def test_conditions_reach_the_network_and_training_learns_from_them():
    """A colour as the only condition: fit finds it, though all it sees is noise."""
    schedule = Schedule.cosine(50)

    class Painter(nn.Module):
        def __init__(self):
            super().__init__()
            self.colours = nn.Embedding(2, 3)

        def forward(self, x_t, t, colour):
            return self.colours(colour)[:, :, None, None].expand_as(x_t)

    truth = torch.tensor([[0.5, -0.5, 0.9], [-0.3, 0.2, 0.0]])

    def batches(index):
        colour = torch.arange(8) % 2
        return truth[colour][:, :, None, None].expand(8, 3, 4, 4), colour

    with torch.random.fork_rng():
        torch.manual_seed(0)
        painter = Painter()
    objective = Objective(schedule, "x0")
    history = fit(painter, objective, batches, steps=200, lr=0.1, progress=False)
    assert history.column("loss")[-1] < 0.01 < 0.1 < history.column("loss")[0]
    assert "mse" in history.rows[0]
    assert (painter.colours.weight - truth).abs().max() < 0.05


def test_learned_variance_at_its_ends_is_beta_and_beta_tilde():
    schedule = Schedule.linear(50)
    t = torch.arange(1, 50)
    ends = torch.ones(49, 3, 2, 2).double()
    high = log_variance(schedule, ends, t)[:, 0, 0, 0].exp()
    low = log_variance(schedule, -ends, t)[:, 0, 0, 0].exp()
    middle = log_variance(schedule, 0 * ends, t)[:, 0, 0, 0].exp()
    assert torch.allclose(high, schedule.betas[1:], rtol=1e-12)
    assert torch.allclose(low, schedule.posterior_variance[1:], rtol=1e-12)
    assert torch.allclose(middle, (high * low).sqrt(), rtol=1e-12)
    first = log_variance(schedule, -ends[:1], torch.tensor([0]))
    assert torch.equal(first, log_variance(schedule, -ends[:1], torch.tensor([1])))
    assert log_variance(Schedule.linear(1), -ends[:1], 0).isfinite().all()


def test_the_divergence_is_that_of_torch_and_0_between_equals():
    m1, m2, v1, v2 = normal(4, 6)
    first = torch.distributions.Normal(m1, (v1 / 2).exp())
    second = torch.distributions.Normal(m2, (v2 / 2).exp())
    theirs = torch.distributions.kl_divergence(first, second)
    assert torch.allclose(kl(m1, v1, m2, v2), theirs, rtol=1e-12)
    assert kl(m1, v1, m1, v1).abs().max() < 1e-12


def test_the_likelihoods_of_all_256_greys_sum_to_1():
    greys = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, log_var in ((0.0, -2.0), (0.9, -6.0), (-3.0, 0.0)):
        log_p = log_likelihood(
            greys, torch.full_like(greys, mean), torch.tensor(log_var)
        )
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("data", ["noise", "point"])
def test_the_bound_prefers_beta_for_white_noise_and_beta_tilde_for_one_point(data):
    """DDPM 3.2: the two extreme choices are right for the two extreme data sets."""
    schedule, n = Schedule.linear(10), 4000
    x0 = normal(n, 10) if data == "noise" else torch.full((n, 10), 0.5).double()
    t = torch.full((n,), 4)
    x_t = schedule.add_noise(x0, normal(n, 10, seed=1), t)
    guess = schedule.level(4, x0)[0] * x_t if data == "noise" else x0
    bounds = {
        between: vlb(schedule, x0, x_t, guess, torch.full_like(x0, between), t).mean()
        for between in (-1.0, -0.5, 0.0, 0.5, 1.0)
    }
    assert min(bounds, key=bounds.get) == (1.0 if data == "noise" else -1.0)
    assert data == "noise" or bounds[-1.0].abs() < 1e-12


def test_the_bound_is_in_bits_and_decodes_at_t_0():
    schedule = Schedule.linear(10)
    x0, between = torch.zeros(1, 1).double(), -torch.ones(1, 1).double()
    t = torch.tensor([0])
    exact = vlb(schedule, x0, x0, x0, between, t).item()
    deviation = math.exp(log_variance(schedule, between, t).item() / 2)
    share = math.erf(1 / 255 / deviation / math.sqrt(2))  # of N(0, σ²) in ± 1/255
    assert exact == pytest.approx(-math.log2(share), rel=1e-9)


class Both(nn.Module):
    """A network of one number for the mean, and one for the variance."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([0.3]).double())
        self.between = nn.Parameter(torch.tensor([0.1]).double())

    def forward(self, x_t, t):
        return torch.cat([self.mean * x_t, self.between * torch.ones_like(x_t)], dim=1)


@EVERY
def test_the_bound_teaches_the_variance_and_leaves_the_mean_alone(predicts):
    objective = Objective(Schedule.cosine(100), predicts, learned_variance=True)
    network, t = Both(), torch.tensor([3, 30, 60, 90])
    terms = objective.terms(network, normal(4, 3, 8, 8), t, seeded())
    assert set(terms) == {"mse", "vlb"} and terms["vlb"].shape == (4,)
    mean, between = torch.autograd.grad(
        terms["vlb"].sum(),
        [network.mean, network.between],
        retain_graph=True,
        materialize_grads=True,
    )
    assert mean == 0 and between != 0
    mean, between = torch.autograd.grad(
        terms["mse"].sum(), [network.mean, network.between], materialize_grads=True
    )
    assert mean != 0 and between == 0


def test_the_bound_counts_t_thousandths():
    """RESCALED_MSE: one of T terms is drawn, and L_vlb has weight 0.001."""
    schedule, network = Schedule.cosine(100), Both()
    images, t = normal(4, 3, 8, 8), torch.tensor([3, 30, 60, 90])
    objective = Objective(schedule, learned_variance=True)
    terms = objective.terms(network, images, t, seeded(5))
    noise = normal(4, 3, 8, 8, seed=5)
    x_t = schedule.add_noise(images, noise, t)
    output, between = network(x_t, t).chunk(2, dim=1)
    guess = convert(output, "eps", "x0", x_t, *schedule.level(t, images))
    bound = vlb(schedule, images, x_t, guess, between, t)
    assert torch.allclose(terms["vlb"], 0.1 * bound, rtol=1e-12)
    squares = (noise - output).square().mean(dim=(1, 2, 3))
    assert torch.allclose(terms["mse"], squares, rtol=1e-12)
    loss, means = objective(network, images, seeded(5))
    assert torch.equal(loss, means["mse"] + means["vlb"])


def test_an_error_weighted_as_v_is_vs_error_up_to_its_limit():
    schedule = Schedule.cosine()
    x0, wrong = normal(4, 3, 4, 4).float(), 0.1 * normal(4, 3, 4, 4, seed=1).float()
    t = torch.tensor([50, 400, 700, 990])

    def x0_error(as_v):
        objective = Objective(schedule, "x0", as_v=as_v)
        return objective.terms(lambda x, t: x0 + wrong, x0, t, seeded())["mse"]

    def as_if_v(x_t, t):
        return convert(x0 + wrong, "x0", "v", x_t, *schedule.level(t, x_t))

    v = Objective(schedule, "v").terms(as_if_v, x0, t, seeded())["mse"]
    assert torch.allclose(x0_error(True)[1:], v[1:], rtol=1e-4)
    assert torch.allclose(x0_error(True)[0], 5 * x0_error(False)[0])  # v's is larger
    assert v[0] > 6 * x0_error(False)[0]
    with pytest.raises(ValueError, match="as_v weights the error of a predicted x0"):
        Objective(schedule, "eps", as_v=True)


def test_the_bound_can_be_given_less_weight():
    x0, t = normal(2, 3, 4, 4).clamp(-1, 1), torch.tensor([10, 600])

    def terms(**options):
        objective = Objective(Schedule.cosine(), "x0", True, **options)
        return objective.terms(lambda x, t: x.repeat(1, 2, 1, 1), x0, t, seeded())

    usual, little = terms(), terms(vlb_weight=1e-5)
    assert torch.allclose(little["vlb"], usual["vlb"] / 100)
    assert torch.equal(little["mse"], usual["mse"])
