"""Stable Diffusion's parts: published sizes, words, latents' scale, what is refused."""

import dataclasses
import warnings

import pytest
import torch
from tiny_stable_diffusion import (
    CONFIG,
    FIRST,
    SECOND,
    VAE,
    WORDS,
    noise,
    pictures,
    tiny,
    world_words,
)

import mmlearn as mm
from mmlearn.nn.latent_blocks import PlainResBlock
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.nn.spatial_transformer import CrossAttention
from mmlearn.stable_diffusion import (
    EMPTY,
    SIZES,
    StableDiffusion,
    StableDiffusionConfig,
    TextConfig,
    config_of,
    drop_captions,
    measure_scale,
)


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.fixture(scope="module")
def model():
    return tiny()


# --- sizes


def test_at_paper_size_it_has_the_published_parameters():
    first = StableDiffusion.from_size("paper", device="meta")
    second = StableDiffusion.from_size("paper-v2", device="meta")
    assert count(first.unet) == 859_520_964 and len(first.unet.state_dict()) == 686
    assert count(first.vae) == count(second.vae) == 83_653_863
    assert count(first.text_encoder) == 123_060_480
    assert count(second.unet) == 865_910_724
    # Of 24 blocks; published files hold the 23 that are used: 340,387,840.
    block = count(second.text_encoder.transformer.blocks[-1])
    assert count(second.text_encoder) - block == 340_387_840
    assert (first.predicts, second.predicts) == ("eps", "v")
    assert first.scale == second.scale == 0.18215
    assert (first.image_size, first.config.latent_size) == (512, 64)
    assert (second.image_size, second.config.latent_size) == (768, 96)
    assert first.schedule.alphas_bar[-1].item() == pytest.approx(0.00466, abs=1e-5)


def test_heads_are_eight_everywhere_in_1_and_64_wide_in_2():
    for size, heads in (("paper", [8] * 4), ("paper-v2", [5, 10, 20, 20])):
        config = config_of(size).unet
        assert [config.heads_of(width) for width in config.widths] == heads
        unet = StableDiffusion.from_size(size, device="meta").unet
        found = [layer.self_attention.heads for layer in unet.transformers]
        a, b, c, d = heads
        assert found == [a, a, b, b, c, c, d, c, c, c, b, b, b, a, a, a]
        assert [layer.cross_attention.heads for layer in unet.transformers] == found


def test_laptop_diffuses_16_by_16_latents_and_gpu_32_by_32():
    for size, side, latents in (
        ("smoke", 64, 16),
        ("laptop", 64, 16),
        ("gpu", 256, 32),
    ):
        model = StableDiffusion.from_size(size, device="meta")
        assert (model.image_size, model.config.latent_size) == (side, latents)
        clip = mm.CLIP.from_size(size, device="meta")
        assert count(model.text_encoder) == count(clip.text)
        assert TextConfig.of(clip) == model.config.text
    laptop = StableDiffusion.from_size("laptop", device="meta")
    assert 1e6 < count(laptop.vae) < 2e6 and 3e6 < count(laptop.unet) < 4e6
    assert mm.StableDiffusion is StableDiffusion
    assert set(SIZES) == {"smoke", "laptop", "gpu", "paper", "paper-v2"}
    with pytest.raises(ValueError, match="smoke, laptop, gpu, paper, paper-v2, not 'h"):
        StableDiffusion.from_size("huge")


def test_seed_decides_the_weights_and_the_global_generator_stays():
    before = torch.get_rng_state()
    first, again, other = (
        StableDiffusion.from_size("smoke", seed=s) for s in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for name, p in first.named_parameters():
        assert torch.equal(p, again.get_parameter(name)), name
    assert not torch.equal(first.vae.moments.weight, other.vae.moments.weight)


def test_untrained_the_unet_says_nothing():
    model = StableDiffusion.from_size("smoke")
    unet, vae = model.unet, model.vae
    x, text = noise(2, 4, 16, 16), noise(2, 5, 64)
    assert not unet(x, torch.tensor([3, 900]), text).any()
    # Every block of the U-Net starts as its shortcut, and none of the autoencoder.
    blocks = [m for m in unet.modules() if isinstance(m, PlainResBlock)]
    assert len(blocks) == 8 and not any(block.conv2.weight.any() for block in blocks)
    others = [m for m in vae.modules() if isinstance(m, PlainResBlock)]
    assert len(others) == 13 and all(block.conv2.weight.any() for block in others)
    for layer in unet.transformers:
        x = noise(1, len(layer.norm.weight), 4, 4)
        assert torch.equal(layer(x, None, unet.read(text[:1])), x)


# --- words


def test_the_text_tower_is_clips_and_is_not_trained():
    clip = mm.CLIP.from_size("smoke", seed=3)
    model = StableDiffusion.from_size("smoke", clip=clip)
    assert not any(p.requires_grad for p in model.text_encoder.parameters())
    assert all(p.requires_grad for p in model.unet.parameters())
    prompts = ["a red star", "two blue cubes on a fox"]
    found, tokens = model.encode_text(prompts), clip.tokenize(prompts)
    assert found.shape == (2, 32, 64)
    states = clip.text.states(tokens)
    for row, (mine, theirs) in enumerate(zip(found, states, strict=True)):
        end = int(tokens[row].argmax()) + 1
        assert (mine[:end] - theirs[:end]).abs().max() < 1e-5
        assert (mine[end:] - theirs[end:]).abs().max() > 1e-3  # other padding
    assert torch.equal(clip.text.ln_final.weight, model.text_encoder.ln_final.weight)


def test_a_context_is_filled_up_with_the_end_or_with_zeros():
    end = world_words().eot
    for padding, filler in (("end", end), ("zero", 0)):
        text = dataclasses.replace(WORDS, padding=padding)
        model = tiny(dataclasses.replace(CONFIG, text=text))
        tokens = model.tokenize(["a red star", ""])
        assert tokens.shape == (2, 12) and tokens[1, :2].tolist() == [end - 1, end]
        assert (tokens[0] == end).float().argmax() == 4
        assert set(tokens[0, 5:].tolist()) == {filler} == set(tokens[1, 2:].tolist())


def test_every_state_is_of_the_words_before_it_alone(model):
    a, b = model.encode_text(["a red star", "a red fox"])
    assert (a[:3] - b[:3]).abs().max() < 1e-5
    assert (a[3:] - b[3:]).abs().amax(dim=1).min() > 1e-3


def test_unknown_words_and_dropped_ones_are_warned_of(model):
    options = {"steps": 1, "progress": False}
    with pytest.warns(UserWarning, match="can only spell them: 'zyzzyva', 'qux'"):
        model.generate(["a zyzzyva", "a qux"], **options)
    long = " and ".join(["a red star"] * 6)
    with pytest.warns(UserWarning, match="tokens and only 10 fit; dropped:"):
        model.generate([long], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate(["a red star"], **options)
        taught = StableDiffusion(CONFIG, world_words(), ["a", "quux"])
        taught.generate(["a quux"], **options)
        published = StableDiffusion(CONFIG, world_words(), None)  # knows any word
        published.generate(["a zyzzyva"], **options)
    with pytest.warns(UserWarning, match="unknown .* 'red', 'star'"):
        taught.generate(["a red star"], **options)


def test_a_share_of_the_captions_is_left_out_in_training():
    text, empty = torch.ones(5000, 3, 2), torch.zeros(3, 2)
    dropped = drop_captions(text, empty, torch.Generator().manual_seed(0))
    rows = dropped.flatten(1)
    assert ((rows == 0).all(dim=1) | (rows == 1).all(dim=1)).all()
    assert abs((rows == 0).all(dim=1).float().mean() - EMPTY) < 0.02 and EMPTY == 0.1
    again = drop_captions(text, empty[None], torch.Generator().manual_seed(0))
    assert torch.equal(again, dropped)
    assert torch.equal(drop_captions(text, empty, torch.Generator(), 0.0), text)


# --- latents


@torch.no_grad()
def test_latents_are_multiplied_by_the_scale_and_divided_by_it(model):
    images = pictures(3)
    posterior = model.vae.encode(images)
    assert torch.equal(model.encode(images), 0.3 * posterior.mean)
    painted = model.vae.decode(posterior.mean)
    assert (model.decode(model.encode(images)) - painted).abs().max() < 1e-5
    drawn = model.encode(images, torch.Generator().manual_seed(4))
    wanted = 0.3 * posterior.sample(torch.Generator().manual_seed(4))
    assert torch.equal(drawn, wanted)


@torch.no_grad()
def test_with_the_measured_scale_latents_have_a_standard_deviation_of_1():
    model = tiny()
    latents = model.vae.encode(pictures(8)).sample(torch.Generator().manual_seed(0))
    assert abs(latents.std() - 1) > 0.05
    model.scale = measure_scale(latents)
    again = model.encode(pictures(8), torch.Generator().manual_seed(0))
    assert abs(again.std() - 1) < 1e-5
    assert model.config.scale == model.scale == measure_scale(latents)
    assert measure_scale(2 * latents) == pytest.approx(measure_scale(latents) / 2)
    assert measure_scale(latents + 3) == pytest.approx(measure_scale(latents))


def test_a_scale_that_is_none_is_refused(model):
    for latents, sentence in (
        (torch.ones(2, 4, 8, 8), r"standard deviation is 0\.0: of such there is no"),
        (torch.full((2, 4, 8, 8), float("nan")), "standard deviation is nan"),
        (torch.ones(4, 8, 8), r"latents \(n, c, h, w\), .* not \(4, 8, 8\)"),
        (None, "not None"),
    ):
        with pytest.raises(ValueError, match=sentence):
            measure_scale(latents)
    for scale in (0, -1.0, float("inf"), float("nan"), "1", True):
        with pytest.raises(ValueError, match="finite number above 0"):
            model.scale = scale
    assert model.scale == 0.3


def test_the_unet_is_trained_on_latents_and_states(model):
    with torch.no_grad():
        latents, text = model.encode(pictures(3)), model.encode_text(["a", "b", "c"])
    loss, terms = model.objective(
        model.unet, (latents, text), torch.Generator().manual_seed(0)
    )
    loss.backward()
    assert 0.1 < loss < 100 and list(terms) == ["mse"]
    for name, p in model.unet.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name
    model.unet.zero_grad()


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"image_size": 36},
            "1/4 and the U-Net those to 1/4: a side of 36 px .* 32 or 48",
        ),
        ({"predicts": "noise"}, "predicts must be one of eps, x0, v, not 'noise'"),
        ({"schedule": "warm"}, "schedule must be one of"),
        ({"scale": 0.0}, "finite number above 0, not 0.0"),
        (
            {"vae": dataclasses.replace(VAE, latent=3)},
            "latents have 3 channels and the",
        ),
        (
            {"text": dataclasses.replace(WORDS, width=40)},
            "states are 40 wide and the U-Net reads 32",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 15}, "width 15 should be even"),
        ({"heads": None}, "not None and None"),
        ({"head_width": 8}, "not 4 and 8"),
        ({"heads": -1}, "whole numbers from 1, not -1"),
        ({"heads": 5}, "attention over 16 channels cannot be cut into 5 heads"),
        ({"heads": None, "head_width": 7}, "cannot be cut into heads 7 wide"),
        ({"attention_at": (8,)}, "attention_at 8 is none of .* 1, 2, 4 times as"),
        ({"groups": 5}, "16 channels cannot be normalised in 5 groups"),
        ({"multiples": ()}, "multiples are one whole number"),
        ({"text_width": 0}, "text_width should be at least 1"),
    ],
)
def test_a_unets_numbers_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(FIRST, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"skip": 3}, "skip should leave one of 3 layers at least, not 3"),
        ({"padding": "none"}, "padding must be one of end, zero"),
        ({"activation": "relu"}, "activation must be one of"),
        ({"head_width": 9}, "width of 32 cannot be cut into heads that are 9 wide"),
        ({"context": 0}, "context should be at least 1"),
    ],
)
def test_a_texts_numbers_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(WORDS, **changes)


def test_the_unet_refuses_what_it_cannot_use(model):
    unet = model.unet
    x, t, text = noise(2, 4, 8, 8), torch.tensor([1, 2]), noise(2, 5, 32)
    for given, sentence in (
        ((noise(2, 3, 8, 8), t, text), r"latents \(n, 4, height, width\)"),
        ((noise(2, 4, 6, 8), t, text), "side of 6 latents .* multiple of 4, .* 4 or 8"),
        ((x, t[:1], text), "one timestep for each of 2"),
        ((x, t, noise(2, 5, 31)), r"reads text \(n, words, 32\)"),
        ((x, t, text[:1]), "2 pictures and texts for 1"),
        ((x, t), "not neither"),
    ):
        with pytest.raises(ValueError, match=sentence):
            unet(*given)
    with pytest.raises(ValueError, match="not both"):
        unet(x, t, text, text_kv=unet.read(text))
    with pytest.raises(ValueError, match="11 attentions that read text"):
        unet(x, t, text_kv=unet.read(text)[:2])


def test_a_vocabulary_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"tokenizer makes 77 tokens .* reads 12"):
        StableDiffusion(CONFIG, world_words(77))
    text = dataclasses.replace(WORDS, vocab=2000)
    with pytest.raises(
        ValueError, match=r"2048 tokens and this text tower .* for 2000"
    ):
        StableDiffusion(dataclasses.replace(CONFIG, text=text), world_words())
    with pytest.raises(ValueError, match="has no vocabulary: set `tokenizer`"):
        StableDiffusion(CONFIG).generate(["a fox"])


# --- attention, precision


@torch.no_grad()
def test_the_weights_that_are_shown_are_those_that_attention_uses():
    for layer, source in (
        (CrossAttention(32, 4, 24), noise(2, 7, 24)),
        (CrossAttention(32, 4), None),
    ):
        x = noise(2, 9, 32, seed=1)
        kv = None if source is None else layer.read(source)
        weights = layer.weights(x, kv)
        assert weights.shape == (2, 4, 9, 9 if source is None else 7)
        assert (weights.sum(dim=3) - 1).abs().max() < 1e-5
        _, v = layer.read(x if source is None else source)
        y = torch.einsum("nhts,nshd->nthd", weights, v).flatten(2)
        assert (layer.out(y) - layer(x, kv)).abs().max() < 1e-5


@torch.no_grad()
def test_under_autocast_what_comes_back_keeps_its_bits(model):
    images, x, t = pictures(2), noise(2, 4, 8, 8), torch.tensor([3, 900])
    text = model.encode_text(["a", "b"])
    exact = model.vae.encode(images), model.vae.decode(x), model.unet(x, t, text)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.vae.encode(images), model.vae.decode(x), model.unet(x, t, text)
    for a, b in zip(exact[1:], rough[1:], strict=True):
        assert b.dtype == torch.float32 and 0 < (a - b).abs().mean() < 0.1
    assert rough[0].logvar.dtype == torch.float32
    assert 0 < (rough[0].mean - exact[0].mean).abs().mean() < 0.1


# --- what is computed once


@torch.no_grad()
def test_words_read_once_are_the_same_as_words_read_at_every_step():
    for config in (FIRST, SECOND):
        unet = LatentUNet(config)
        x, t, text = noise(2, 4, 8, 8), torch.tensor([1, 900]), noise(2, 5, 32)
        again = unet(x, t, text_kv=unet.read(text))
        assert torch.equal(unet(x, t, text), again)


def test_a_step_reads_no_words_again(model, monkeypatch):
    read, seen = CrossAttention.read, []
    text = {id(layer.cross_attention) for layer in model.unet.transformers}
    monkeypatch.setattr(
        CrossAttention,
        "read",
        lambda layer, source: seen.append(id(layer) in text) or read(layer, source),
    )
    model.generate(["a fox", "a fox"], steps=5, progress=False)
    assert sum(seen) == len(text) and len(seen) == 6 * len(text)


def test_a_config_comes_back_from_its_numbers():
    again = StableDiffusionConfig(**CONFIG.as_dict())
    assert again == CONFIG and isinstance(again.vae, type(VAE))
