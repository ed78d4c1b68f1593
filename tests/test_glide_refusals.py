"""What GLIDE refuses, in one sentence each, before anything is drawn."""

import dataclasses

import pytest
import torch
from tiny_glide import BASE, FAST, UPSAMPLER, noise, tiny

from mmlearn.glide import GLIDE, SIZES, TextUNet
from mmlearn.text.bpe import Tokenizer


@pytest.fixture(scope="module")
def glide():
    return tiny()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"prompts": "a red star"},
            "prompts should be a list of strings.*'a red star'",
        ),
        ({"prompts": []}, r"prompts should be a list of strings.*not \[\]"),
        ({"prompts": None}, "prompts should be a list of strings.*not None"),
        ({"prompts": [None]}, "an empty string asks for nothing in particular"),
        ({"negative": ["a", "b"]}, "1 prompts need as many negative ones.*not 2"),
        ({"negative": [3]}, "negative prompts should be a list of strings"),
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0"),
        ({"guidance": -1.0}, "guidance must be a finite number from 0"),
        ({"sampler": "euler"}, "sampler must be one of ddpm, ddim, dpmpp_2m"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"stages": {"prior": {}}}, "how the \"upsampler\" is sampled, not 'prior'"),
        ({"stages": {"upsampler": {"step": 2}}}, "one of steps, guidance, .*'step'"),
        ({"stages": {"upsampler": {"steps": 0}}}, "steps must be a whole number"),
        ({"stages": {"upsampler": {"temperature": 0}}}, "temperature must be"),
        ({"upsample": False, "stages": {"upsampler": {"steps": 2}}}, "no upsampling"),
        ({"clip": object(), "sampler": "ddim"}, "CLIP guidance .* should be .ddpm."),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_drawn(given, sentence, glide):
    steps = []
    given = {"prompts": ["a fox"], "callback": lambda *x: steps.append(x)} | given
    with pytest.raises(ValueError, match=sentence):
        glide.generate(**given)
    assert steps == []


def test_a_stage_refuses_pictures_that_it_cannot_use(glide):
    t, tokens = torch.tensor([1]), glide.tokenize(["a fox"])
    small, large = noise(1, 3, 16, 16), noise(1, 3, 32, 32)
    for stage, given, sentence in (
        (
            glide.base,
            (noise(1, 3, 17, 16), t, tokens),
            "17 px should be a multiple of 2",
        ),
        (glide.base, (noise(1, 4, 16, 16), t, tokens), r"pictures \(n, 3, height, wid"),
        (
            glide.base,
            (small, t, tokens[:, :4]),
            r"token ids \(n, 8\), filled up with -1",
        ),
        (glide.base, (small, t, tokens.float()), "these are torch.float32"),
        (glide.base, (small, t, tokens, small), "only an upsampler takes low_res"),
        (glide.base, (small, t, tokens, None, small), "takes no known pixels"),
        (glide.upsampler, (large, t, tokens), "an upsampler needs low_res"),
        (glide.upsampler, (large, t, tokens, small[0]), r"small pictures \(1, 3, "),
    ):
        with pytest.raises(ValueError, match=sentence):
            stage(*given)


def test_stages_that_do_not_fit_are_refused(glide):
    with pytest.raises(ValueError, match="18 px should be a multiple of 4"):
        dataclasses.replace(UPSAMPLER, image_size=18)
    with pytest.raises(ValueError, match="cannot be cut into 3 heads"):
        dataclasses.replace(BASE, text_heads=3)
    with pytest.raises(ValueError, match="context should be at least 1"):
        dataclasses.replace(BASE, context=0)
    with pytest.raises(ValueError, match="base is an upsampler"):
        GLIDE(glide.upsampler)
    with pytest.raises(ValueError, match="should have upsamples=True"):
        GLIDE(glide.base, glide.base)
    other = TextUNet(dataclasses.replace(UPSAMPLER, context=9))
    with pytest.raises(ValueError, match="their context should be equal, not 8 and 9"):
        GLIDE(glide.base, other)
    with pytest.raises(ValueError, match=r"514 tokens .* for 2048"):
        GLIDE(glide.base, None, Tokenizer([]))
    with pytest.raises(ValueError, match="no vocabulary: set `tokenizer`"):
        GLIDE(glide.base).generate(["a fox"])
    with pytest.raises(
        ValueError, match="smoke, laptop, gpu, paper, lesson, not 'huge'"
    ):
        GLIDE.from_size("huge")
    assert set(SIZES) == {"smoke", "lesson", "laptop", "gpu", "paper"}


def test_without_memory_the_batch_to_try_is_named(glide, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(TextUNet, "guess", full)
    with pytest.raises(MemoryError, match=r"24 pictures at once .* try batch=12\."):
        glide.generate(["a fox"] * 24, batch=24, **FAST)
    with pytest.raises(MemoryError, match="model is too large"):
        glide.generate(["a fox"], batch=1, **FAST)

    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(TextUNet, "guess", broken)
    with pytest.raises(RuntimeError, match="something else"):
        glide.generate(["a fox"], **FAST)
