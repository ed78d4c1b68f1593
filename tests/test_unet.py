"""The U-Net: what it starts as, what reaches it, how it runs, what it refuses."""

import copy
import dataclasses
import json
import math

import pytest
import torch

from mmlearn.nn.resblock import GroupNorm, ResBlock, double, halve
from mmlearn.nn.time_embedding import sinusoids
from mmlearn.nn.unet import UNet, UNetConfig

TEXT, VECTOR, WORDS = 24, 20, 5
TINY = UNetConfig(
    image_size=16,
    width=16,
    multiples=(1, 2, 2),
    blocks=1,
    attention_at=(8, 4),
    head_width=16,
    channels_out=6,
    text_width=TEXT,
    vector_width=VECTOR,
    groups=8,
)


def changed(**fields) -> UNetConfig:
    return dataclasses.replace(TINY, **fields)


def randomise_zeros(model: torch.nn.Module) -> torch.nn.Module:
    """What starts at zero takes part; the rest stays as it was made."""
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        if not p.any():
            scale = p[0].numel() ** -0.5 if p.ndim > 1 else 0.1
            p.data = scale * torch.randn(p.shape, generator=generator).to(p)
    return model


def inputs(n: int = 2, size: int = 16) -> tuple[torch.Tensor, ...]:
    """x, t, text, vector."""
    generator = torch.Generator().manual_seed(1)
    shapes = (n, 3, size, size), (n, WORDS, TEXT), (n, VECTOR)
    x, text, vector = (torch.randn(s, generator=generator) for s in shapes)
    return x, torch.arange(n) * 300 + 7, text, vector


@pytest.fixture(scope="module")
def unet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomise_zeros(UNet(TINY)).eval()


# --- what it starts as


def test_an_untrained_net_guesses_zero():
    assert not UNet(TINY)(*inputs()).any()


def test_an_untrained_block_is_its_shortcut():
    net = UNet(TINY)
    emb = torch.randn(2, 64)
    for layer in (layer for stage in (*net.down, *net.up) for layer in stage):
        channels = layer.norm1 if isinstance(layer, ResBlock) else layer.norm
        x = torch.randn(2, channels.num_channels, 8, 8)
        if isinstance(layer, ResBlock):
            assert torch.equal(layer(x, emb), layer.shortcut(layer.resize(x)))
        else:
            assert torch.equal(layer(x, emb), x)


def test_halving_takes_the_mean_and_doubling_repeats():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert halve(x)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert double(x)[0, 0, :3, :4].tolist() == [[0, 0, 1, 1]] * 2 + [[4, 4, 5, 5]]
    assert torch.equal(halve(double(x)), x)


def test_sinusoids_are_cosines_then_sines():
    waves = sinusoids(torch.tensor([0, 999]), 8)
    assert waves[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    for i in range(4):
        angle = 999 * 10_000 ** (-i / 4)
        assert abs(waves[1, i] - math.cos(angle)) < 1e-3
        assert abs(waves[1, 4 + i] - math.sin(angle)) < 1e-3


# --- what reaches it


def test_every_parameter_gets_a_gradient(unet):
    unet(*inputs()).square().sum().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    unet.zero_grad()


@torch.no_grad()
def test_time_vector_and_every_word_change_the_guess(unet):
    x, t, text, vector = inputs()
    guess = unet(x, t, text, vector)
    others = [unet(x, t + 1, text, vector), unet(x, t, text, vector + 0.1)]
    for word in range(WORDS):  # the padding after the sentence is a word, too
        other = text.clone()
        other[:, word] += 1
        others.append(unet(x, t, other, vector))
    others.append(unet(x, t, text[:, :-1], vector))
    for other in others:
        assert (other - guess).abs().max() > 1e-4


@torch.no_grad()
def test_text_read_once_gives_the_same_guess(unet):
    x, t, text, vector = inputs()
    text_kv = unet.read(text)
    assert len(text_kv) == len(unet.attentions) == 7  # 2 down, the middle's, 4 up
    assert text_kv[0][0].shape == (2, WORDS, 2, 16)  # (n, words, heads, head width)
    for step in (t, t - 5):
        cached = unet(x, step, vector=vector, text_kv=text_kv)
        assert torch.equal(cached, unet(x, step, text, vector))


@torch.no_grad()
def test_both_halves_of_guidance_in_one_batch_are_two_calls():
    net = randomise_zeros(UNet(TINY)).double()
    x, t, text, vector = (y.double() for y in inputs())
    both = net(
        torch.cat([x, x]),
        torch.cat([t, t]),
        torch.cat([text, torch.zeros_like(text)]),
        torch.cat([vector, torch.zeros_like(vector)]),
    )
    told = net(x, t, text, vector)
    free = net(x, t, torch.zeros_like(text), torch.zeros_like(vector))
    assert (both - torch.cat([told, free])).abs().max() < 1e-12
    assert (told - free).abs().max() > 1e-3


@torch.no_grad()
def test_other_sizes_that_can_be_halved_go_through(unet):
    _, t, text, vector = inputs()
    x = torch.randn(2, 3, 8, 20)
    assert unet(x, t, text, vector).shape == (2, 6, 8, 20)


def test_without_text_attention_or_vector():
    net = UNet(changed(attention_at=(), text_width=None, vector_width=None))
    assert net.attentions == [] and len(net.middle) == 2
    x, t, *_ = inputs()
    assert net(x, t).shape == (2, 6, 16, 16)


@torch.no_grad()
def test_dropout_only_in_training():
    net = randomise_zeros(UNet(changed(dropout=0.5)))
    same = torch.equal(net(*inputs()), net(*inputs()))
    net.eval()
    assert not same and torch.equal(net(*inputs()), net(*inputs()))


# --- how it runs


@torch.no_grad()
def test_bf16_and_channels_last_hardly_change_the_guess(unet):
    x, t, text, vector = inputs()
    guess = unet(x, t, text, vector)
    assert guess.is_contiguous() and guess.dtype == torch.float32
    last = copy.deepcopy(unet).to(memory_format=torch.channels_last)
    for picture in (x, x.contiguous(memory_format=torch.channels_last)):
        assert (last(picture, t, text, vector) - guess).abs().max() < 1e-5
    text_kv = unet.read(text)
    with torch.autocast("cpu", torch.bfloat16):
        rough = unet(x, t, text, vector), unet(x, t, vector=vector, text_kv=text_kv)
    whole = copy.deepcopy(unet).bfloat16()(*(y.bfloat16() for y in inputs()))
    assert all(other.dtype == x.dtype for other in rough)
    assert whole.dtype == torch.bfloat16
    for other in (*rough, whole.float()):
        assert 0 < (other - guess).std() < 0.05 * guess.std()


def test_group_norm_is_pytorchs_and_keeps_the_dtype():
    generator = torch.Generator().manual_seed(0)
    x = 3 + 5 * torch.randn(2, 4, 8, 8, generator=generator)
    for dtype, error in ((torch.bfloat16, 1e-2), (torch.float64, 1e-14)):
        expected = torch.nn.functional.group_norm(x.to(dtype).double(), 2)
        for norm in (GroupNorm(2, 4), GroupNorm(2, 4).to(dtype)):
            found = norm(x.to(dtype))
            assert found.dtype == dtype
            assert (found - expected).abs().max() < error


def test_a_config_comes_back_from_json():
    assert UNetConfig(**json.loads(json.dumps(dataclasses.asdict(TINY)))) == TINY


# --- bad input


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"image_size": 18}, "18 px should be a multiple of 4, such as 16 or 20"),
        ({"image_size": 2}, "such as 4"),
        ({"groups": 32}, "16 channels cannot be normalised in 32 groups"),
        ({"head_width": 24}, "32 channels cannot be cut into heads that are 24 wide"),
        ({"attention_at": (6,)}, "attention_at 6 is none of .* 16, 8, 4"),
        ({"attention_at": ()}, "with a text_width, attention_at should name"),
        ({"width": 15}, "width 15 should be even"),
        ({"multiples": ()}, "one whole number for each level"),
        ({"multiples": (1, 0)}, "one whole number for each level"),
        ({"blocks": 0}, "blocks should be at least 1, not 0"),
        ({"text_width": 0}, "text_width should be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout should be in \[0, 1\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        changed(**fields)


def test_the_middle_attends_so_its_heads_must_fit():
    with pytest.raises(ValueError, match=r"48 channels .* that are 32 wide"):
        changed(multiples=(1, 2, 3), attention_at=(8,), head_width=32)


def bad(name, **replaced):
    x, t, text, vector = inputs()
    given = {"x": x, "t": t, "text": text, "vector": vector} | replaced
    return pytest.param(given, name, id=name)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        bad("a side of 18 px .* such as 16 or 20", x=torch.zeros(2, 3, 16, 18)),
        bad("expects pictures .n, 3, height, width.", x=torch.zeros(2, 1, 16, 16)),
        bad("these are .3, 16, 16.", x=torch.zeros(3, 16, 16)),
        bad("one timestep for each of 2 pictures", t=torch.tensor(5)),
        bad(r"\(2,\), not \(2, 1\)", t=torch.zeros(2, 1)),
        bad(r"reads text \(n, words, 24\), not \(2, 5, 9\)", text=torch.zeros(2, 5, 9)),
        bad("give this U-Net text .* or text_kv, .* not neither", text=None),
        bad("2 pictures and texts for 3", text=torch.zeros(3, WORDS, TEXT)),
        bad("text_kv, .* not both", text_kv=[]),
        bad("for 7 attentions .* this one is for 0", text=None, text_kv=[]),
        bad(r"needs a vector \(2, 20\), not None", vector=None),
        bad(r"needs a vector \(2, 20\), not \(2, 3\)", vector=torch.zeros(2, 3)),
    ],
)
def test_wrong_inputs_are_refused(given, sentence, unet):
    with pytest.raises(ValueError, match=sentence):
        unet(**given)


def test_what_a_net_has_no_place_for_is_refused(unet):
    x, t, text, vector = inputs()
    plain = UNet(changed(text_width=None, vector_width=None))
    with pytest.raises(ValueError, match="reads no text"):
        plain(x, t, text)
    with pytest.raises(ValueError, match="takes no vector"):
        plain(x, t, vector=vector)
    with pytest.raises(ValueError, match=r"for 0 attentions .* for 7"):
        plain(x, t, text_kv=unet.read(text))
