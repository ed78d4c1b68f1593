"""The autoencoder: sizes, what the encoder says, where it pads, what it refuses."""

import dataclasses

import pytest
import torch
from tiny_stable_diffusion import VAE, noise, pictures, randomised

from mmlearn.nn.autoencoder import Autoencoder, AutoencoderConfig, Gaussian
from mmlearn.nn.latent_blocks import AROUND, RIGHT_BELOW, HalvingConv


@pytest.fixture(scope="module")
def vae():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomised(Autoencoder(VAE)).eval()


def test_at_paper_size_it_is_the_published_one():
    with torch.device("meta"):
        published = Autoencoder(AutoencoderConfig())
    state = published.state_dict()
    assert sum(p.numel() for p in published.parameters()) == 83_653_863
    assert len(state) == 248 and published.config.factor == 8
    for name, shape in (
        ("encoder.last.weight", (8, 512, 3, 3)),
        ("moments.weight", (8, 8, 1, 1)),
        ("latents.weight", (4, 4, 1, 1)),
        ("decoder.first.weight", (512, 4, 3, 3)),
        ("encoder.middle.1.q.weight", (512, 512)),
        ("decoder.up.2.blocks.0.shortcut.weight", (256, 512, 1, 1)),
    ):
        assert tuple(state[name].shape) == shape, name
    assert {m.eps for m in published.modules() if hasattr(m, "num_groups")} == {1e-6}


@torch.no_grad()
@pytest.mark.parametrize(
    ("multiples", "factor"), [((1,), 1), ((1, 2), 2), ((1, 2, 2), 4)]
)
def test_each_level_but_the_last_halves_the_grid(multiples, factor):
    config = dataclasses.replace(VAE, multiples=multiples, blocks=1, latent=3)
    vae = Autoencoder(config)
    images = pictures(2)[:, :, :, :16]  # 32 high, 16 wide
    posterior = vae.encode(images)
    assert config.factor == factor
    assert posterior.mean.shape == (2, 3, 32 // factor, 16 // factor)
    assert vae.decode(posterior.mode).shape == images.shape


@torch.no_grad()
def test_the_encoder_pads_right_and_below_only(vae):
    places = torch.arange(36.0).view(1, 1, 6, 6)
    for padding, start in ((RIGHT_BELOW, 0), (AROUND, -1)):
        halving = HalvingConv(1, padding)
        halving.conv.weight.fill_(1), halving.conv.bias.fill_(0)
        found = halving(places)
        assert found.shape == (1, 1, 3, 3)
        for row in range(3):
            rows = slice(max(2 * row + start, 0), 2 * row + start + 3)
            wanted = places[0, 0, rows, rows].sum()
            assert found[0, 0, row, row] == wanted
    halvings = [m for m in vae.modules() if isinstance(m, HalvingConv)]
    assert len(halvings) == 2 and {m.padding for m in halvings} == {RIGHT_BELOW}


@torch.no_grad()
def test_without_a_generator_a_picture_is_painted_from_the_most_likely_latents(vae):
    images = pictures(2)
    painted, posterior = vae(images)
    assert torch.equal(painted, vae.decode(posterior.mean))
    assert torch.equal(posterior.mode, posterior.mean)
    before = torch.get_rng_state()
    drawn, _ = vae(images, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert (drawn - painted).abs().max() > 1e-3


def test_what_is_drawn_has_the_mean_and_spread_that_the_encoder_says():
    moments = torch.cat(
        [torch.full((1, 1, 300, 300), 2.0), torch.full((1, 1, 300, 300), -1.0)], dim=1
    )
    posterior = Gaussian(moments)
    z = posterior.sample(torch.Generator().manual_seed(0))
    assert abs(z.mean() - 2) < 0.01 and abs(z.std() - torch.tensor(-0.5).exp()) < 0.01
    assert torch.allclose(posterior.std, posterior.logvar.exp().sqrt())


def test_a_pictures_latents_depend_on_its_own_generator_alone(vae):
    posterior = Gaussian(noise(3, 8, 4, 4))
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    z = posterior.sample(generators)
    alone = Gaussian(noise(3, 8, 4, 4)[1:2]).sample([torch.Generator().manual_seed(1)])
    assert torch.equal(z[1:2], alone)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        posterior.sample(generators[:2])


def test_the_distance_from_the_standard_normal_is_torchs_summed_over_a_picture():
    posterior = Gaussian(noise(3, 8, 4, 4).double())
    mine = torch.distributions.Normal(posterior.mean, posterior.std)
    standard = torch.distributions.Normal(0.0, 1.0)
    wanted = torch.distributions.kl_divergence(mine, standard).flatten(1).sum(dim=1)
    assert posterior.kl().shape == (3,)
    assert (posterior.kl() - wanted).abs().max() < 1e-12
    assert torch.equal(Gaussian(torch.zeros(2, 8, 4, 4)).kl(), torch.zeros(2))


def test_the_variance_is_kept_within_bounds():
    moments = torch.tensor([0.0, 100.0, 0.0, -100.0]).view(2, 2, 1, 1)
    posterior = Gaussian(moments)
    assert posterior.logvar.flatten().tolist() == [20, -30]
    assert posterior.kl().isfinite().all()


def test_every_weight_is_taught(vae):
    vae.train()
    painted, posterior = vae(pictures(2), torch.Generator().manual_seed(0))
    (painted.square().mean() + 1e-6 * posterior.kl().sum()).backward()
    vae.eval()
    for name, p in vae.named_parameters():
        taught = p.grad is not None and p.grad.abs().max() > 0
        assert taught or name.endswith("middle.1.k.bias"), name  # no softmax sees it
    vae.zero_grad()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            torch.zeros(2, 3, 30, 32),
            "4 × 4 pixels: a side of 30 px .* such as 28 or 32",
        ),
        (torch.zeros(2, 1, 32, 32), r"floats \(n, 3, height, width\); .*\(2, 1, 32"),
        (torch.zeros(3, 32, 32), r"these images are \(3, 32, 32\)"),
        (torch.zeros(0, 3, 32, 32), r"these images are \(0, 3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "these images are torch.uint8"),
        (torch.full((2, 3, 32, 32), 255.0), r"in \[-1, 1\]; these lie in \[255, 255\]"),
        (torch.full((2, 3, 32, 32), float("nan")), r"these lie in \[nan, nan\]"),
    ],
)
def test_pictures_that_it_cannot_encode_are_refused(given, sentence, vae):
    with pytest.raises(ValueError, match=sentence):
        vae.encode(given)


def test_latents_that_it_cannot_decode_are_refused(vae):
    for given, sentence in (
        (torch.zeros(2, 3, 8, 8), r"decodes floats \(n, 4, height, width\)"),
        (torch.zeros(4, 8, 8), r"these latents are \(4, 8, 8\)"),
        (torch.zeros(2, 4, 8, 8).long(), "these latents are torch.int64"),
    ):
        with pytest.raises(ValueError, match=sentence):
            vae.decode(given)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0}, "width should be at least 1, not 0"),
        ({"latent": 0}, "latent should be at least 1"),
        ({"blocks": 0}, "blocks should be at least 1"),
        ({"multiples": ()}, r"multiples are one whole number for each level, not \(\)"),
        ({"multiples": (1, 0)}, "multiples are one whole number"),
        ({"groups": 3}, "8 channels cannot be normalised in 3 groups"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(VAE, **changes)
