"""CLIP guidance: the step's mean moves as the paper says, and CLIP is pleased."""

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import noise, tiny

import mmlearn as mm
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.diffusion import Denoiser, Schedule, ddpm, evenly_spaced, log_variance
from mmlearn.glide import ClipGuided, NoisedCLIP
from mmlearn.text.bpe import Tokenizer


@pytest.fixture(scope="module")
def glide():
    return tiny()


class Sure:
    """A denoiser that knows nothing of x_t, with a learned variance."""

    schedule, learned_variance = Schedule.cosine(), True

    def __init__(self):
        self.x0, self.between = (
            noise(2, 3, 4, 4).clamp(-1, 1),
            noise(2, 3, 4, 4, seed=1),
        )

    def predict(self, x_t, t):
        network = lambda x, t: torch.cat([x * 0, self.between], dim=1)  # noqa: E731
        told = Denoiser(network, self.schedule, learned_variance=True).predict(x_t, t)
        return told._replace(x0=self.x0)


def test_the_mean_of_a_step_moves_by_scale_times_variance_times_gradient():
    """Between two steps' noise-free means, by hand; nothing else changes."""
    weight = noise(3, 4, 4, seed=2)
    asked = []

    def similarity(x, t):
        asked.append(t.tolist())
        return (weight * x).sum(dim=(1, 2, 3)) + (x**2).sum(dim=(1, 2, 3)) / 2

    sure, start = Sure(), noise(2, 3, 4, 4, seed=3)
    short = sure.schedule.respaced(evenly_spaced(1000, 5))
    for scale in (0.0, 2.5):
        xs = []
        led = ClipGuided(sure, similarity, scale, short)
        generator = torch.Generator().manual_seed(0)
        see = lambda step, t, x, x0: xs.append(x)  # noqa: B023, E731
        end = ddpm(led, start, sure.schedule, 5, generator=generator, callback=see)
        xs.append(end)
        generator.manual_seed(0)
        for k, i in enumerate(reversed(range(5))):
            log_var = log_variance(short, sure.between, i)
            mean = short.posterior_mean(sure.x0, xs[k], i)
            mean = mean + scale * log_var.exp() * (weight + xs[k])
            if i > 0:
                step = torch.randn(mean.shape, generator=generator)
                mean = mean + (log_var / 2).exp() * step
            assert (mean - xs[k + 1]).abs().max() < 1e-5 * mean.abs().max()
    assert asked[:5] == [[t, t] for t in (999, 799, 599, 399, 199)]


@pytest.fixture(scope="module")
def noised(glide):
    config = CLIPConfig(
        embed=16,
        image_size=16,
        patch_size=8,
        vision_width=32,
        vision_layers=1,
        vocab=2048,
        context=8,
        text_width=32,
        text_layers=1,
        head_width=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NoisedCLIP(CLIP(config, Tokenizer(glide.tokenizer.merges, 8))).eval()


def test_a_noised_clip_starts_as_its_clip_and_learns_what_noise_is(noised, tmp_path):
    x, t = noise(2, 3, 16, 16).clamp(-1, 1), torch.tensor([3, 700])
    with torch.no_grad():
        found, clip = noised.encode_image(x, t), noised.clip
        assert (found - clip.encode_image(x)).abs().max() < 1e-6
        noised.encode_image(5 * x, t)  # beyond [-1, 1], as pictures with noise are
    tokens = noised.clip.tokenize(["a red star", "a fox"])
    (image, text), scale = noised(x, t, tokens), noised.clip.logit_scale
    mm.clip.clip_loss(image, text, scale).backward()
    assert [n for n, p in noised.named_parameters() if p.grad is None] == []
    assert noised.times.grad[t].any() and not noised.times.grad[4].any()
    noised.zero_grad()
    noised.save_pretrained(tmp_path / "mine")
    again = NoisedCLIP.from_pretrained(tmp_path / "mine")
    similar = noised.similarity(["a red star", "a fox"])(x, t)
    assert torch.equal(again.similarity(["a red star", "a fox"])(x, t), similar)
    cosine = F.cosine_similarity(image, text)
    assert (similar - scale.exp() * cosine).abs().max() < 1e-4
    with pytest.raises(ValueError, match="pictures of 16 px"):
        noised.encode_image(noise(1, 3, 32, 32), t[:1])


def test_clip_guidance_raises_clips_score(glide, noised):
    options = {"steps": 10, "guidance": 1.0, "upsample": False, "progress": False}
    prompts = ["a red star", "a fox", "two cubes"]
    plain = glide.generate(prompts, **options)
    with torch.no_grad():
        similarity, end = noised.similarity(prompts), torch.zeros(3).long()
        scores = [
            similarity(
                glide.generate(prompts, clip=noised, clip_guidance=s, **options), end
            )
            for s in (0.0, 1.0)
        ]
        assert (scores[0] - similarity(plain, end)).abs().max() < 1e-3
    assert (scores[1] > scores[0] + 0.05).all()
