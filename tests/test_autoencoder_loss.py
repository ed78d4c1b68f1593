"""What the autoencoder is trained for: sums, the perceptual part, a late critic."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny_stable_diffusion import VAE, pictures, randomised

from mmlearn.nn.autoencoder import Autoencoder
from mmlearn.train import fit
from mmlearn.train.autoencoder_loss import (
    AutoencoderLoss,
    PatchCritic,
    WithCritic,
    balance,
    hinge,
    judged,
    perceptual_distance,
)

LATER, EARLIER = torch.tensor(7), torch.tensor(6)  # with critic_from=7


def made() -> WithCritic:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae, critic = Autoencoder(VAE), PatchCritic(width=8, layers=2)
    # Logits of some size, so that hinges are neither all bent nor all straight.
    randomised(vae), randomised(critic, seed=1)
    for layer in critic.layers:
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data += 1
    return WithCritic(vae, critic).double()


@pytest.fixture
def model():
    return made()


def colours(images: torch.Tensor) -> list[torch.Tensor]:
    """Features of two layers that a test can follow."""
    return [images + 2, F.avg_pool2d(images, 4) + 2]


def lot() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def gradients(model: WithCritic, loss) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    zero = torch.zeros(1)
    return {
        name: (zero if p.grad is None else p.grad.clone())
        for name, p in model.named_parameters()
    }


def test_errors_are_summed_over_a_picture_and_averaged_over_pictures(model):
    images = pictures(3).double()
    painted, posterior = model.vae(images, lot())
    l1 = sum((x - y).abs().sum() for x, y in zip(images, painted, strict=True)) / 3
    kl = posterior.kl().sum() / 3
    loss, terms = AutoencoderLoss()(model, (images, EARLIER), lot())
    assert set(terms) == {"l1", "kl"}
    assert torch.allclose(loss, l1 + 1e-6 * kl) and torch.allclose(terms["l1"], l1)
    heavy, _ = AutoencoderLoss(kl_weight=1.0)(model, (images, EARLIER), lot())
    assert torch.allclose(heavy, l1 + kl) and kl > 1


def test_the_perceptual_distance_counts_once_for_each_number_of_a_picture(model):
    images = pictures(2).double()
    painted, _ = model.vae(images, lot())
    distance = perceptual_distance(colours, images, painted).mean()
    perceptual = partial(perceptual_distance, colours)
    plain, _ = AutoencoderLoss()(model, (images, EARLIER), lot())
    for weight in (1.0, 0.25):
        loss, terms = AutoencoderLoss(perceptual, perceptual_weight=weight)(
            model, (images, EARLIER), lot()
        )
        assert torch.allclose(terms["perceptual"], distance)
        assert torch.allclose(loss - plain, weight * 3 * 32 * 32 * distance)


def test_the_perceptual_distance_is_of_directions_averaged_over_places_and_layers():
    a, b = pictures(2), pictures(2, seed=4)
    found = perceptual_distance(colours, a, b)
    wanted = []
    for x, y in zip(a, b, strict=True):
        layers = []
        for p, q in zip(colours(x[None]), colours(y[None]), strict=True):
            cosine = F.cosine_similarity(p, q, dim=1)
            layers.append((2 - 2 * cosine).mean())
        wanted.append(sum(layers) / 2)
    assert (found - torch.stack(wanted)).abs().max() < 1e-5
    assert perceptual_distance(colours, a, a).abs().max() == 0
    brighter = perceptual_distance(lambda x: [x], a, 3 * a)
    assert brighter.max() < 1e-6  # the length does not count
    tokens = perceptual_distance(lambda x: [x.flatten(2).transpose(1, 2)], a, b)
    assert torch.allclose(tokens, perceptual_distance(lambda x: [x], a, b), atol=1e-6)
    a.requires_grad_(), b.requires_grad_()
    perceptual_distance(colours, a, b).sum().backward()
    assert a.grad is None and b.grad.abs().max() > 0
    with pytest.raises(ValueError, match=r"maps \(n, c, h, w\) or tokens"):
        perceptual_distance(lambda x: [x[0, 0]], a, b)


def test_before_its_step_the_critic_neither_speaks_nor_learns(model):
    batch = (pictures(2).double(), EARLIER)
    loss, terms = AutoencoderLoss(critic_from=7)(model, batch, lot())
    alone = WithCritic(model.vae)
    without, _ = AutoencoderLoss(critic_from=7)(alone, (batch[0], LATER), lot())
    assert torch.equal(loss, without) and "critic" not in terms
    found = gradients(model, loss)
    assert not any(found[name].any() for name in found if name.startswith("critic"))
    assert AutoencoderLoss().critic_from == 50_001


def test_from_its_step_on_the_critic_learns_by_the_hinge_alone(model):
    images = pictures(2).double()
    found = gradients(
        model, AutoencoderLoss(critic_from=7)(model, (images, LATER), lot())[0]
    )
    other = copy.deepcopy(model)
    painted = other.vae(images, lot())[0].detach()
    wanted = gradients(other, hinge(other.critic(images), other.critic(painted)))
    for name in wanted:
        if name.startswith("critic"):
            assert found[name].any(), name
            assert (found[name] - wanted[name]).abs().max() < 1e-10, name


def test_at_the_decoders_end_the_critic_counts_half_as_much_as_the_picture(model):
    images, last = pictures(2).double(), "vae.decoder.last.weight"
    batches = {step: (images, step) for step in (EARLIER, LATER)}
    for share in (0.5, 2.0):
        loss = AutoencoderLoss(critic_from=7, critic_weight=share, kl_weight=0.0)
        alone = gradients(model, loss(model, batches[EARLIER], lot())[0])
        both, terms = loss(model, batches[LATER], lot())
        found = gradients(model, both)
        size = (found[last] - alone[last]).norm() / alone[last].norm()
        assert abs(size - share) < 1e-3, share
        assert 0 < terms["balance"] < 1e4 * share
    # And in the direction in which the critic is less sure.
    painted = model.vae(images, lot())[0]
    wanted = gradients(model, -judged(model.critic, painted).mean())[last]
    cosine = F.cosine_similarity(
        wanted.flatten(), (found[last] - alone[last]).flatten(), 0
    )
    assert cosine > 1 - 1e-6


def test_the_balance_has_an_upper_end_and_no_gradient():
    x = torch.ones(3, requires_grad=True)
    weight = balance(1e9 * x.sum(), 1e-3 * x.sum(), x)
    assert weight == 1e4 and not weight.requires_grad
    even = balance(2 * x.sum(), x.sum(), x)
    assert abs(even - 2) < 1e-3
    assert balance(2 * x.sum(), (0 * x).sum(), x) == 1e4


def test_the_hinge_wants_logits_beyond_one():
    real, fake = torch.tensor([3.0, 1.0, 0.0]), torch.tensor([-3.0, -1.0, 1.0])
    assert hinge(real, fake).item() == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert hinge(torch.ones(3), -torch.ones(3)) == 0


def test_a_critic_of_three_layers_is_pix2pixs():
    # pix2pix's sees a picture and its sketch, six channels: 2,768,705 parameters.
    for channels, total in ((6, 2_768_705), (3, 2_765_633)):
        critic = PatchCritic(channels=channels).eval()
        assert sum(p.numel() for p in critic.parameters()) == total
    seen = torch.zeros(1, 3, 256, 256, requires_grad=True)
    logits = critic(seen)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    where = seen.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (where.amax(dim=0) - where.amin(dim=0) + 1).tolist() == [70, 70]


def test_a_few_steps_bring_the_picture_closer():
    model, images = made().float(), pictures(4)
    loss = AutoencoderLoss(partial(perceptual_distance, colours), critic_from=6)
    history = fit(
        model,
        loss,
        lambda index: (images, index),
        steps=12,
        lr=2e-3,
        clip=None,
        log_every=1,
        progress=False,
    )
    l1 = [row["l1"] for row in history.rows]
    assert l1[-1] < 0.8 * l1[0] and len(l1) == 12


@pytest.mark.parametrize(
    "given",
    [{"kl_weight": -1.0}, {"critic_weight": float("nan")}, {"critic_from": -1}],
)
def test_weights_below_zero_are_refused(given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} should be at least 0"):
        AutoencoderLoss(**given)
    with pytest.raises(ValueError, match="width and layers of at least 1"):
        PatchCritic(layers=0)


def test_noise_comes_from_the_generator_alone(model):
    before, batch = torch.get_rng_state(), (pictures(2).double(), LATER)
    losses = [AutoencoderLoss(critic_from=7)(model, batch, lot())[0] for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before) and losses[0] == losses[1]
    other = torch.Generator().manual_seed(4)
    assert AutoencoderLoss()(model, batch, other)[0] != losses[0]
