"""GLIDE's sizes, its seeds, and what comes back from the disk."""

import pytest
import torch
from tiny_glide import BASE, tiny

import mmlearn as mm
from mmlearn import weights
from mmlearn.glide import GLIDE, NoisedCLIP


@pytest.fixture(scope="module")
def glide():
    return tiny()


def test_laptop_draws_32_then_64_px_and_gpu_64_then_256():
    for size, sides in (("smoke", (32, 64)), ("laptop", (32, 64)), ("gpu", (64, 256))):
        glide = GLIDE.from_size(size, device="meta")
        stages = (glide.base, glide.upsampler)
        assert tuple(stage.config.image_size for stage in stages) == sides
        assert glide.image_size == sides[1]
        assert [s.config.schedule for s in stages] == ["cosine", "linear"]
    glide = GLIDE.from_size("laptop", device="meta")
    counts = [
        sum(p.numel() for p in s.parameters()) for s in (glide.base, glide.upsampler)
    ]
    assert 3e6 < counts[0] < 4.5e6 and counts[1] < 1.2e6
    assert mm.GLIDE is GLIDE and mm.NoisedCLIP is NoisedCLIP


def test_seed_decides_the_weights_and_the_base_is_the_same_alone():
    before = torch.get_rng_state()
    first, again, other = (GLIDE.from_size("smoke", seed=s) for s in (1, 1, 2))
    alone = GLIDE.from_size("smoke", seed=1, upsampler=False)
    assert torch.equal(torch.get_rng_state(), before)
    for name, p in alone.base.named_parameters():
        assert torch.equal(p, first.base.get_parameter(name)), name
    weight = first.upsampler.unet.first.weight
    assert torch.equal(weight, again.upsampler.unet.first.weight)
    assert not torch.equal(weight, other.upsampler.unet.first.weight)


@pytest.mark.parametrize("upsampler", [True, False])
def test_a_saved_model_comes_back_with_its_words(glide, upsampler, tmp_path):
    one = GLIDE(glide.base, glide.upsampler if upsampler else None, glide.tokenizer)
    one.words = frozenset({"a", "red", "star"})
    one.save_pretrained(tmp_path / "mine", {"seed": 0})
    again = GLIDE.from_pretrained(tmp_path / "mine")
    assert again.base.config == BASE and again.words == one.words
    assert (again.upsampler is None) != upsampler
    assert again.image_size == (32 if upsampler else 16) and not again.training
    assert all(p.requires_grad for p in again.parameters())
    options = {"steps": 2, "progress": False}
    same = again.generate(["a red star"], **options)
    assert (same - one.generate(["a red star"], **options)).abs().max() < 2e-3
    one.save_pretrained(tmp_path / "half", half=True)
    rough = GLIDE.from_pretrained(tmp_path / "half")
    assert rough.base.unet.first.weight.dtype == torch.float32


@pytest.fixture(scope="module")
def filler(glide):
    return glide.for_inpainting()


def test_an_inpainting_model_comes_back_as_one(filler, tmp_path):
    again = GLIDE.from_pretrained(filler.save_pretrained(tmp_path / "mine"))
    assert again.base.config.inpaints and again.upsampler.config.inpaints
    with pytest.raises(ValueError, match="made for inpainting already"):
        again.for_inpainting()


def test_what_is_no_glide_is_refused(glide, tmp_path):
    with pytest.raises(weights.WeightsError, match="no glide checkpoint 'huge'"):
        GLIDE.from_pretrained("huge")
    saved = weights.save(tmp_path / "unet", {"conv.weight": torch.zeros(3)}, {"ch": 3})
    with pytest.raises(weights.WeightsError, match="no GLIDE"):
        GLIDE.from_pretrained(saved)
    with pytest.raises(weights.WeightsError, match="no noised CLIP"):
        NoisedCLIP.from_pretrained(saved)
