"""Our U-Net holding the same weights as `diffusers`' is the same function.

Tiny sizes, float64, every parameter random (those that start at zero too), to 1e-10:
ADM's net without text beside `UNet2DModel`, GLIDE's beside `UNet2DConditionModel` with
the blocks that put text among the keys and values (and whose `attention_head_dim` does
mean a head's width). Mistakes that people make must be seen by the same comparison.
"""

import pytest
import torch
import torch.nn.functional as F

from mmlearn.nn import time_embedding
from mmlearn.nn.resblock import GroupNorm, ResBlock, double, halve
from mmlearn.nn.unet import UNet, UNetConfig

diffusers = pytest.importorskip("diffusers")

SIZE, GROUPS, HEAD, WORDS, TEXT, VECTOR = 16, 8, 16, 5, 24, 20
ADM = UNetConfig(
    image_size=SIZE,
    width=16,
    multiples=(1, 2, 3),
    blocks=2,
    attention_at=(8, 4),
    head_width=HEAD,
    channels_out=6,
    groups=GROUPS,
)
GLIDE = UNetConfig(**vars(ADM) | {"text_width": TEXT, "vector_width": VECTOR})
COMMON = {
    "sample_size": SIZE,
    "in_channels": 3,
    "out_channels": 6,
    "layers_per_block": 2,
    "block_out_channels": (16, 32, 48),
    "norm_num_groups": GROUPS,
    "norm_eps": 1e-5,
    "attention_head_dim": HEAD,
    "resnet_time_scale_shift": "scale_shift",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}


def their_adm():
    attend = "AttnDownBlock2D", "AttnUpBlock2D"
    return diffusers.UNet2DModel(
        down_block_types=("ResnetDownsampleBlock2D", attend[0], attend[0]),
        up_block_types=(attend[1], attend[1], "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        attn_norm_num_groups=GROUPS,  # or its middle attends without a norm
        **COMMON,
    )


def their_glide():
    attend = "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnUpBlock2D"
    return diffusers.UNet2DConditionModel(
        down_block_types=("ResnetDownsampleBlock2D", attend[0], attend[0]),
        up_block_types=(attend[1], attend[1], "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        cross_attention_dim=TEXT,
        class_embed_type="simple_projection",  # a linear map, added to the time's
        projection_class_embeddings_input_dim=VECTOR,
        **COMMON,
    )


def randomise(model: torch.nn.Module) -> None:
    """Every weight at a realistic scale, norms near 1; nothing left at zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator).to(p)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                p.copy_(0.2 * noise + ("norm" in name and "weight" in name))


def their_layers(theirs) -> list:
    """Residual blocks and attentions, in the order in which a picture meets them."""
    layers = []
    for block in (*theirs.down_blocks, theirs.mid_block, *theirs.up_blocks):
        attentions = list(getattr(block, "attentions", ()))
        for resnet in block.resnets:
            layers.append(resnet)
            layers.extend([attentions.pop(0)] if attentions else [])
        for name in ("downsamplers", "upsamplers"):
            layers.extend(getattr(block, name, None) or ())
    return layers


def to_ours(theirs, mine: UNet, of=lambda parameter: parameter) -> dict:
    """Their parameters (or what `of` makes of each) under our names."""
    pairs = [
        ("time.fc1", [theirs.time_embedding.linear_1]),
        ("time.fc2", [theirs.time_embedding.linear_2]),
        ("first", [theirs.conv_in]),
        ("norm", [theirs.conv_norm_out]),
        ("last", [theirs.conv_out]),
    ]
    if mine.vector is not None:
        pairs.append(("vector", [theirs.class_embedding]))
    stages = [(f"down.{n}", stage) for n, stage in enumerate(mine.down)]
    stages += [("middle", mine.middle)]
    stages += [(f"up.{n}", stage) for n, stage in enumerate(mine.up)]
    places = [f"{at}.{n}" for at, stage in stages for n in range(len(stage))]
    for at, layer in zip(places, their_layers(theirs), strict=True):
        if hasattr(layer, "conv1"):
            pairs += [
                (f"{at}.norm1", [layer.norm1]),
                (f"{at}.conv1", [layer.conv1]),
                (f"{at}.film", [layer.time_emb_proj]),
                (f"{at}.norm2", [layer.norm2]),
                (f"{at}.conv2", [layer.conv2]),
            ]
            if layer.conv_shortcut is not None:
                pairs.append((f"{at}.shortcut", [layer.conv_shortcut]))
        else:
            pairs += [
                (f"{at}.norm", [layer.group_norm]),
                (f"{at}.qkv", [layer.to_q, layer.to_k, layer.to_v]),
                (f"{at}.out", [layer.to_out[0]]),
            ]
            if mine.config.text_width:
                text = [layer.add_k_proj, layer.add_v_proj]
                pairs.append((f"{at}.text_kv", text))
    return {
        f"{name}.{kind}": torch.cat([of(getattr(layer, kind)) for layer in layers])
        for name, layers in pairs
        for kind in ("weight", "bias")
    }


@pytest.fixture(scope="module", params=["adm", "glide"])
def peers(request):
    config, build = {"adm": (ADM, their_adm), "glide": (GLIDE, their_glide)}[
        request.param
    ]
    return twins(config, build())


def twins(config, theirs):
    """Our net, theirs with the same random weights, and inputs for both."""
    theirs = theirs.double().eval()
    randomise(theirs)
    mine = UNet(config).double().eval()
    mine.load_state_dict(to_ours(theirs, mine), strict=True)
    generator = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(shape, generator=generator).double()

    x, t = noise(2, 3, SIZE, SIZE), torch.tensor([3, 871])
    text, vector = noise(2, WORDS, TEXT), noise(2, VECTOR)
    if config.text_width is None:
        return mine, theirs, (x, t), {"sample": x, "timestep": t}
    names = ("sample", "timestep", "encoder_hidden_states", "class_labels")
    given = (x, t, text, vector)
    return mine, theirs, given, dict(zip(names, given, strict=True))


@torch.no_grad()
def error(peers) -> float:
    mine, theirs, inputs, named = peers
    expected = theirs(**named).sample
    assert 0.1 < expected.std() < 10  # neither dead nor exploded
    return (mine(*inputs) - expected).abs().max().item()


def test_same_function_as_diffusers(peers):
    assert error(peers) < 1e-10


def test_same_gradients_as_diffusers(peers):
    mine, theirs, inputs, named = peers
    mine(*inputs).square().sum().backward()
    theirs(**named).sample.square().sum().backward()
    gradients = to_ours(theirs, mine, of=lambda parameter: parameter.grad)
    assert gradients.keys() == dict(mine.named_parameters()).keys()
    for name, gradient in gradients.items():
        found = mine.get_parameter(name).grad
        assert (found - gradient).abs().max() < 1e-10 * gradient.abs().max(), name
    mine.zero_grad()
    theirs.zero_grad()


def norm_epsilon(mine, monkeypatch):
    for module in mine.modules():
        if isinstance(module, GroupNorm):
            module.eps = 1e-6


def sine_before_cosine(mine, monkeypatch):
    right = time_embedding.sinusoids
    flipped = lambda t, width: right(t, width).roll(width // 2, dims=1)  # noqa: E731
    monkeypatch.setattr(time_embedding, "sinusoids", flipped)


def frequencies_to_the_very_end(mine, monkeypatch):
    """i / (half - 1), as in DDPM's own code and as diffusers has it by default."""

    def wrong(t, width):
        places = torch.linspace(0, 1, width // 2)
        angles = t.float()[:, None] * 10_000**-places
        return torch.cat([angles.cos(), angles.sin()], dim=1)

    monkeypatch.setattr(time_embedding, "sinusoids", wrong)


def scale_without_one(mine, monkeypatch):
    for module in mine.modules():
        if isinstance(module, ResBlock):
            module.film.bias.data[: len(module.film.bias) // 2] -= 1


def shift_before_scale(mine, monkeypatch):
    for module in mine.modules():
        if isinstance(module, ResBlock):
            for p in module.film.parameters():
                p.data = p.data.roll(len(p) // 2, dims=0)


def no_silu_on_the_embedding(mine, monkeypatch):
    monkeypatch.setattr(mine, "embed", lambda t, v: mine.time(t) + mine.vector(v))


def vector_ignored(mine, monkeypatch):
    monkeypatch.setattr(mine, "embed", lambda t, v: F.silu(mine.time(t)))


def text_not_attended(mine, monkeypatch):
    for attention in mine.attentions:
        run = attention.forward
        attention.forward = lambda x, emb, text_kv, run=run: run(x, emb)


def keys_of_another_layer(mine, monkeypatch):
    for attention, number in zip(mine.attentions[:2], (1, 0), strict=True):
        attention.number = number


def other_heads(mine, monkeypatch):
    mine.attentions[0].heads = 1


def smooth_doubling(mine, monkeypatch):
    for module in mine.modules():
        if getattr(module, "resize", None) is double:
            module.resize = lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")


def halving_by_the_largest(mine, monkeypatch):
    for module in mine.modules():
        if getattr(module, "resize", None) is halve:
            module.resize = lambda x: F.max_pool2d(x, 2)


@pytest.mark.parametrize(
    "mistake",
    [
        norm_epsilon,
        sine_before_cosine,
        frequencies_to_the_very_end,
        scale_without_one,
        shift_before_scale,
        no_silu_on_the_embedding,
        vector_ignored,
        text_not_attended,
        keys_of_another_layer,
        other_heads,
        smooth_doubling,
        halving_by_the_largest,
    ],
)
def test_a_mistake_is_seen(mistake, monkeypatch):
    peers = twins(GLIDE, their_glide())
    mistake(peers[0], monkeypatch)
    assert error(peers) > 1e-6
