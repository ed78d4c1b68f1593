"""CLIP guidance (2.4), and the CLIP that it needs (4.4).

A network is led by the gradient of what another one thinks of its half-made picture:

    μ̂(x_t | c) = μ(x_t | c) + s Σ(x_t | c) ∇ f(x_t, t) · g(c)

with f, g a CLIP's encoders of pictures and captions. Since x_t is full of noise, that
CLIP must have learned from pictures full of noise, and know how much: a *noised* CLIP,
with the base's size and schedule. The lesson of the paper: a picture that climbs CLIP's
gradient pleases CLIP more than it pleases people.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.diffusion import Denoiser, Prediction, Schedule, log_variance
from mmlearn.diffusion.predictions import eps_from_x0
from mmlearn.nn.vit import VisionTransformer
from mmlearn.text.bpe import Tokenizer

Similarity = Callable[[Tensor, Tensor], Tensor]


class ClipGuided:
    """A denoiser whose steps lean towards what `similarity` grows with (2.4).

    denoise: the one that is led. similarity(x_t, t): (n, 3, h, w) and (n,) to (n,), a
    function with a gradient, such as `NoisedCLIP.similarity(prompts)`. scale: s.
    schedule: the steps that the sampler takes, whose Σ is meant; for `ddpm` only, the
    sampler that has a mean and a Σ.
    """

    def __init__(
        self,
        denoise: Denoiser,
        similarity: Similarity,
        scale: float,
        schedule: Schedule,
    ):
        self.denoise, self.similarity, self.scale = denoise, similarity, scale
        self.schedule, self.steps = denoise.schedule, schedule
        self.learned_variance = denoise.learned_variance

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """x0 (n, 3, h, w) from x_t, moved."""
        return self.predict(x_t, t).x0

    def predict(self, x_t: Tensor, t: int) -> Prediction:
        """x0, moved so far that the mean of the step moves by s Σ ∇."""
        told = self.denoise.predict(x_t, t)
        i = self.steps.timesteps.tolist().index(t)
        variance = self.steps.posterior_variance[i].item()
        if told.between is not None:
            variance = log_variance(self.steps, told.between, i).exp()
        shift = self.scale * variance * gradient(self.similarity, x_t, t)
        # The mean is a x0 + b x_t: to move it by `shift`, x0 moves by shift / a.
        a = self.steps.posterior_mean(torch.ones_like(x_t), torch.zeros_like(x_t), i)
        x0 = told.x0 + shift / a
        eps = eps_from_x0(x_t, x0, *self.schedule.level(t, x_t))
        return Prediction(x0, eps, told.between)


def gradient(similarity: Similarity, x_t: Tensor, t: int) -> Tensor:
    """∇ of each picture's similarity at x_t (n, 3, h, w), of the same shape."""
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        times = torch.full([len(x)], t, device=x.device)
        return torch.autograd.grad(similarity(x, times).sum(), x)[0]


class NoisedCLIP(nn.Module):
    """A CLIP whose image tower is told how much noise there is: f(x_t, t) (4.4).

    As in the released one, t reaches the vision transformer in its first token, by a
    vector for each of T timesteps. They start at zero, and it as the CLIP it is made
    of. It is trained with `clip_loss` on pictures to which the base's noise was added.
    """

    def __init__(self, clip: CLIP, T: int = 1000):
        super().__init__()
        if not isinstance(clip.vision, VisionTransformer):
            raise ValueError("a noised CLIP needs a vision transformer as its tower.")
        self.clip = clip
        self.times = nn.Parameter(torch.zeros(T, clip.config.vision_width))

    def encode_image(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t (n, 3, s, s), with noise and so beyond [-1, 1], t (n,), to (n, embed)."""
        vision, config = self.clip.vision, self.clip.config
        if x_t.shape[1:] != (3, config.image_size, config.image_size):
            raise ValueError(
                f"this noised CLIP looks at pictures of {config.image_size} px, not "
                f"{tuple(x_t.shape)}: it should have the base's size."
            )
        mean = x_t.new_tensor(config.mean)[:, None, None]
        std = x_t.new_tensor(config.std)[:, None, None]
        patches = vision.patches(((x_t + 1) / 2 - mean) / std)
        x = rearrange(patches, "n w y x -> n (y x) w")
        first = (vision.class_token + self.times[t])[:, None]  # (n, 1, w)
        x = torch.cat([first, x], dim=1) + vision.positions
        x = vision.transformer(vision.ln_pre(x))
        return vision.ln_post(x[:, 0]) @ self.clip.image_projection

    @property
    def logit_scale(self) -> Tensor:
        """Its CLIP's, which training moves and clamps."""
        return self.clip.logit_scale

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode_image(x_t, t), self.clip.encode_text(tokens)

    def similarity(self, prompts: Sequence[str]) -> Similarity:
        """A function of (x_t, t): exp(logit scale) · cos(f(x_t, t), g(c)), (n,)."""
        with torch.no_grad():
            texts = self.clip.encode_text(self.clip.tokenize(prompts))
            texts = self.clip.logit_scale.exp() * F.normalize(texts, dim=-1)
        return lambda x_t, t: (
            F.normalize(self.encode_image(x_t, t), dim=-1) * texts
        ).sum(dim=-1)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str = "cpu"
    ) -> "NoisedCLIP":
        """A trained one: a shipped size or a saved directory."""
        directory = weights.find(source, "noised-clip")
        fields = weights.load_config(directory)
        merges = [tuple(pair.split(" ")) for pair in fields.pop("merges", [])]
        try:
            T, config = fields.pop("T"), CLIPConfig(**fields)
        except (KeyError, TypeError):
            raise weights.WeightsError(
                f"{directory} is a saved model, but no noised CLIP: its config.json "
                "should have a CLIP's fields and T"
            ) from None
        tokenizer = Tokenizer(merges, config.context) if merges else None
        state = weights.load_state(directory)
        model = weights.filled(
            lambda: cls(CLIP(config, tokenizer), T), state, directory
        )
        return model.to(device)

    def save_pretrained(
        self, directory: str | Path, card: dict | None = None, **options
    ) -> Path:
        """Save weights, config and vocabulary; options: half, overwrite."""
        merges = self.clip.tokenizer.merges if self.clip.tokenizer else []
        config = asdict(self.clip.config) | {"T": len(self.times)}
        config |= {"merges": [" ".join(pair) for pair in merges]}
        return weights.save(directory, self.state_dict(), config, card, **options)
