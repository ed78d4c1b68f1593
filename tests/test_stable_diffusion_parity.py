"""Our Stable Diffusion with diffusers' weights is the same function, part by part.

Tiny sizes, float64, every parameter random (those that start at zero too), to 1e-10:
the autoencoder, both kinds of U-Net, both kinds of text, and a picture drawn by the
whole pipeline. Mistakes that people make must be seen by the same comparisons.

The pipeline's schedule is computed in float32 whatever it is given; here "float32" in
its module means float64, and nothing else of it is changed.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_stable_diffusion import (
    CONFIG,
    FIRST,
    SECOND,
    SECOND_CONFIG,
    VAE,
    noise,
    pictures,
    randomised,
    their_tower,
    their_unet,
    their_vae,
    tiny,
)

from mmlearn.clip_checks import check_tokens
from mmlearn.nn import time_embedding
from mmlearn.nn.autoencoder import Autoencoder, Gaussian, HalvingConv, OneHead
from mmlearn.nn.latent_blocks import AROUND, DoublingConv, PlainResBlock
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.nn.resblock import GroupNorm
from mmlearn.nn.spatial_transformer import GEGLU, CrossAttention, SpatialTransformer
from mmlearn.stable_diffusion import StableDiffusion, states
from mmlearn.stable_diffusion.keys import text_to_ours, to_ours

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
from diffusers.models.autoencoders.vae import (  # noqa: E402
    DiagonalGaussianDistribution,
)
from diffusers.schedulers import scheduling_ddim  # noqa: E402

STEPS = 8  # of which 1,000 are a multiple: others diffusers' DDIM spaces by whole steps
KINDS = {"first": (FIRST, CONFIG, False), "second": (SECOND, SECOND_CONFIG, True)}


def part(state: dict, name: str, config) -> dict:
    """Their tensors under our names, without the part's."""
    ours = to_ours(state, name, "diffusers", config)
    return {key.removeprefix(f"{name}."): tensor for key, tensor in ours.items()}


# --- the autoencoder


def twin_vaes():
    theirs = randomised(their_vae()).double().eval()
    mine = Autoencoder(VAE).double().eval()
    mine.load_state_dict(part(theirs.state_dict(), "vae", CONFIG), strict=True)
    return mine, theirs


@torch.no_grad()
def vae_error(mine, theirs) -> float:
    """The largest difference of moments and of what is decoded from fixed latents."""
    images, z = pictures(2).double(), noise(2, 4, 8, 8).double()
    expected, found = theirs.encode(images).latent_dist, mine.encode(images)
    painted = theirs.decode(z).sample
    for x in (expected.mean, expected.logvar, painted):
        assert 0.05 < x.std() < 20  # neither dead nor exploded
    pairs = [(found.mean, expected.mean), (found.logvar, expected.logvar)]
    pairs += [(found.std, expected.std), (found.kl(), expected.kl())]
    pairs += [(found.mode, expected.mode()), (mine.decode(z), painted)]
    return max((a - b).abs().max().item() for a, b in pairs)


def test_the_autoencoder_is_diffusers():
    assert vae_error(*twin_vaes()) < 1e-10


def test_the_autoencoder_has_diffusers_gradients():
    mine, theirs = twin_vaes()
    images = pictures(2).double()
    mine(images)[0].square().sum().backward()
    theirs(images).sample.square().sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    ours = part(gradients, "vae", CONFIG)
    assert ours.keys() == dict(mine.named_parameters()).keys()
    # The keys' bias has none, since a softmax does not see it: there is no ratio.
    for name, gradient in ours.items():
        found, size = mine.get_parameter(name).grad, gradient.abs().max().clamp(min=1)
        assert (found - gradient).abs().max() < 1e-10 * size, name


def test_the_posterior_is_diffusers_also_where_it_is_clamped():
    moments = 40 * noise(3, 8, 4, 4).double()
    mine, theirs = Gaussian(moments), DiagonalGaussianDistribution(moments)
    assert mine.logvar.min() == -30 and mine.logvar.max() == 20
    for name in ("mean", "logvar", "std"):
        assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
    difference = (mine.kl() - theirs.kl()).abs() / theirs.kl()
    assert difference.max() < 1e-12
    drawn = mine.sample(torch.Generator().manual_seed(5))
    assert torch.equal(drawn, theirs.sample(torch.Generator().manual_seed(5)))


def vae_epsilon(vae):
    for module in vae.modules():
        if isinstance(module, GroupNorm):
            module.eps = 1e-5


def epsilon_of_one_norm(vae):
    vae.decoder.norm.eps = 1e-5


def padded_around(vae):
    for module in vae.modules():
        if isinstance(module, HalvingConv):
            module.padding = AROUND


def padded_left_and_above(vae):
    for module in vae.modules():
        if isinstance(module, HalvingConv):
            module.padding = (1, 0, 1, 0)


def no_middle_attention(vae):
    for module in vae.modules():
        if isinstance(module, OneHead):
            module.forward = lambda x: x


def no_convolution_before_the_decoder(vae):
    vae.latents = torch.nn.Identity()


def smooth_doubling_on_the_way_up(vae):
    a, b = vae.decoder.up[0].resize, vae.decoder.up[1].resize
    vae.decoder.up[0].resize, vae.decoder.up[1].resize = Smooth(a), Smooth(b)


class Smooth(torch.nn.Module):
    """Doubles by bilinear interpolation, which is not what was trained."""

    def __init__(self, doubling):
        super().__init__()
        self.conv = doubling.conv

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear"))


def variance_not_halved(vae):
    encode = vae.encode

    def wrong(images):
        posterior = encode(images)
        posterior.logvar = 2 * posterior.logvar
        return posterior

    vae.encode = wrong


@pytest.mark.parametrize(
    "mistake",
    [
        vae_epsilon,
        epsilon_of_one_norm,
        padded_around,
        padded_left_and_above,
        no_middle_attention,
        no_convolution_before_the_decoder,
        smooth_doubling_on_the_way_up,
        variance_not_halved,
    ],
)
def test_a_mistake_in_the_autoencoder_is_seen(mistake):
    mine, theirs = twin_vaes()
    mistake(mine)
    assert vae_error(mine, theirs) > 1e-7


# --- the U-Net


def twin_unets(kind: str):
    numbers, config, second = KINDS[kind]
    theirs = randomised(their_unet(second)).double().eval()
    mine = LatentUNet(numbers).double().eval()
    mine.load_state_dict(part(theirs.state_dict(), "unet", config), strict=True)
    x, t = noise(2, 4, 8, 8).double(), torch.tensor([3, 871])
    text = noise(2, 5, 32, seed=1).double()
    return mine, theirs, (x, t, text)


@torch.no_grad()
def unet_error(mine, theirs, inputs) -> float:
    expected = theirs(*inputs).sample
    assert 0.1 < expected.std() < 10  # neither dead nor exploded
    return (mine(*inputs) - expected).abs().max().item()


@pytest.mark.parametrize("kind", KINDS)
def test_the_unet_is_diffusers(kind):
    mine, theirs, inputs = twin_unets(kind)
    assert unet_error(mine, theirs, inputs) < 1e-10
    _, t, text = inputs
    with torch.no_grad():  # not square, and with words that were read before
        wide, text_kv = noise(2, 4, 8, 12, seed=2).double(), mine.read(text)
        found = mine(wide, t, text_kv=text_kv)
        assert (found - theirs(wide, t, text).sample).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_the_unet_has_diffusers_gradients(kind):
    mine, theirs, inputs = twin_unets(kind)
    mine(*inputs).square().sum().backward()
    theirs(*inputs).sample.square().sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    ours = part(gradients, "unet", KINDS[kind][1])
    assert ours.keys() == dict(mine.named_parameters()).keys()
    for name, gradient in ours.items():
        found = mine.get_parameter(name).grad
        assert (found - gradient).abs().max() < 1e-10 * gradient.abs().max(), name


def transformer_epsilon(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, SpatialTransformer):
            module.norm.eps = 1e-5


def resblock_epsilon(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, PlainResBlock):
            module.norm1.eps = module.norm2.eps = 1e-6


def last_epsilon(unet, monkeypatch):
    unet.norm.eps = 1e-6


def layer_norm_epsilon(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6


def tanh_gelu(unet, monkeypatch):
    def wrong(self, x):
        h, gate = self.fc1(x).chunk(2, dim=2)
        return self.fc2(h * F.gelu(gate, approximate="tanh"))

    monkeypatch.setattr(GEGLU, "forward", wrong)


def the_other_half_gates(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, GEGLU):
            for p in module.fc1.parameters():
                p.data = p.data.roll(len(p) // 2, dims=0)


def sine_before_cosine(unet, monkeypatch):
    right = time_embedding.sinusoids
    flipped = lambda t, width: right(t, width).roll(width // 2, dims=1)  # noqa: E731
    monkeypatch.setattr(time_embedding, "sinusoids", flipped)


def frequencies_to_the_very_end(unet, monkeypatch):
    def wrong(t, width):
        places = torch.linspace(0, 1, width // 2)
        angles = t.float()[:, None] * 10_000**-places
        return torch.cat([angles.cos(), angles.sin()], dim=1)

    monkeypatch.setattr(time_embedding, "sinusoids", wrong)


def padded_right_and_below(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, HalvingConv):
            module.padding = (0, 1, 0, 1)


def heads_for_head_width(unet, monkeypatch):
    for module in unet.modules():
        if isinstance(module, CrossAttention):
            module.heads = module.q.out_features // module.heads


def keys_of_another_layer(unet, monkeypatch):
    for layer, number in zip(unet.transformers[:2], (1, 0), strict=True):
        layer.number = number


def words_not_read(unet, monkeypatch):
    for layer in unet.transformers:
        layer.cross_attention.forward = lambda x, kv: torch.zeros_like(x)


def norm_after_the_residual(unet, monkeypatch):
    for layer in unet.transformers:
        layer.ln_2 = torch.nn.Identity()


def smooth_doubling(unet, monkeypatch):
    for stage in unet.up:
        for n, layer in enumerate(stage):
            if isinstance(layer, DoublingConv):
                smooth = Smooth(layer)
                stage[n].forward = lambda x, emb, kv, smooth=smooth: smooth(x)


@pytest.mark.parametrize(
    "mistake",
    [
        transformer_epsilon,
        resblock_epsilon,
        last_epsilon,
        layer_norm_epsilon,
        tanh_gelu,
        the_other_half_gates,
        sine_before_cosine,
        frequencies_to_the_very_end,
        padded_right_and_below,
        heads_for_head_width,
        keys_of_another_layer,
        words_not_read,
        norm_after_the_residual,
        smooth_doubling,
    ],
)
def test_a_mistake_in_the_unet_is_seen(mistake, monkeypatch):
    mine, theirs, inputs = twin_unets("first")
    mistake(mine, monkeypatch)
    assert unet_error(mine, theirs, inputs) > 1e-7


# --- the text


def twin_towers(config, activation: str):
    theirs = randomised(their_tower(activation)).double().eval()
    mine = tiny(config).text_encoder.double()
    state = text_to_ours(theirs.state_dict())
    mine.load_state_dict({k.removeprefix("text_encoder."): v for k, v in state.items()})
    tokens = torch.randint(1, 2000, (3, 12), generator=torch.Generator().manual_seed(1))
    for row, end in zip(tokens, (4, 7, 11), strict=True):
        row[0], row[end:] = 2046, 2047  # filled up with the end of text
    check_tokens(tokens, 12, 2048, in_range=True)
    return mine, theirs, tokens


@torch.no_grad()
def test_the_text_of_1_is_transformers_last_state():
    mine, theirs, tokens = twin_towers(CONFIG, "quick_gelu")
    expected = theirs(input_ids=tokens).last_hidden_state
    assert (states(mine, tokens) - expected).abs().max() < 1e-10
    assert (states(mine, tokens, skip=1) - expected).abs().max() > 1e-2


@torch.no_grad()
def test_the_text_of_2_is_the_state_before_the_last_block_and_the_last_norm():
    mine, theirs, tokens = twin_towers(SECOND_CONFIG, "gelu")
    found = theirs(input_ids=tokens, output_hidden_states=True).hidden_states[-2]
    norm = getattr(theirs, "text_model", theirs).final_layer_norm
    assert (states(mine, tokens, skip=1) - norm(found)).abs().max() < 1e-10
    assert (states(mine, tokens, skip=1) - found).abs().max() > 1e-2


# --- the whole


class InFloat64:
    """A library in which float32 is float64."""

    def __init__(self, library, float64):
        self.library, self.float32 = library, float64

    def __getattr__(self, name):
        return getattr(self.library, name)


def pipeline(model: StableDiffusion, kind: str):
    """diffusers' pipeline with the parts whose weights `model` is given."""
    _, config, second = KINDS[kind]
    unet, vae = randomised(their_unet(second)), randomised(their_vae())
    state = to_ours(unet.state_dict(), "unet", "diffusers", config)
    state |= to_ours(vae.state_dict(), "vae", "diffusers", config)
    left = {k: v for k, v in model.state_dict().items() if k.startswith("text")}
    model.load_state_dict(state | left, strict=True)
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,  # without a meaning here, but the pipeline warns of others
        prediction_type={"eps": "epsilon", "v": "v_prediction"}[config.predicts],
    )
    vae.register_to_config(scaling_factor=config.scale)
    pipe = diffusers.StableDiffusionPipeline(
        vae.double().eval(),
        None,
        None,
        unet.double().eval(),
        scheduler,
        None,
        None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_whole_guided_picture_is_diffusers(kind, monkeypatch):
    monkeypatch.setattr(scheduling_ddim, "torch", InFloat64(torch, torch.float64))
    monkeypatch.setattr(scheduling_ddim, "np", InFloat64(np, np.float64))
    model = tiny(KINDS[kind][1]).double()
    pipe = pipeline(model, kind)
    prompts, x = ["a red star", "two blue cubes"], noise(2, 4, 8, 8).double()
    drawn = pipe(
        prompt_embeds=model.encode_text(prompts),
        negative_prompt_embeds=model.encode_text(["", ""]),
        latents=x,
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        height=32,
        width=32,
        output_type="pt",
    ).images
    options = {"steps": STEPS, "sampler": "ddim", "noise": x, "progress": False}
    mine = model.generate(prompts, guidance=4.0, **options)
    assert (drawn > 0).float().mean() > 0.2 and (drawn < 1).float().mean() > 0.2
    assert ((mine + 1) / 2 - drawn).abs().max() < 1e-10
    # What must be seen: another guidance, another scale of latents.
    other = model.generate(prompts, guidance=3.9, **options)
    assert ((other + 1) / 2 - drawn).abs().max() > 1e-5
    model.scale = 1.001 * model.scale
    other = model.generate(prompts, guidance=4.0, **options)
    assert ((other + 1) / 2 - drawn).abs().max() > 1e-6
