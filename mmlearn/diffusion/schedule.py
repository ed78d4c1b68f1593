"""How much noise, and when: the forward process that every diffusion model undoes.

    x_t = √ᾱ_t x0 + √(1 − ᾱ_t) ε,   ε ~ N(0, 1),   ᾱ_t = Π (1 − β_s)     (DDPM, eq. 4)

Times are t = 0 … T − 1, as in code; papers count 1 … T. Tables are float64 on the CPU.

Three schedules are in use. What tells them apart is how the picture dies, and how much
of it is left at the end, the terminal ᾱ of 1,000 steps:

    linear         β from 1e-4 to 0.02  (DDPM)                         4.0e-5
    cosine         ᾱ falls along a squared cosine, β ≤ 0.999  (GLIDE)  2.4e-9
    scaled_linear  √β is linear, β from 0.00085 to 0.012  (SD)         4.7e-3

The last of these never reaches pure noise: √ᾱ = 0.068 of the picture is still there, so
in training a network may read the picture's mean brightness off its noisiest input.
Sampling starts from pure noise, whose mean says "grey", and grey is what comes: such
models make pictures of middling brightness (Lin et al. 2023, arXiv 2305.08891). Nor can
one simply set the terminal ᾱ to 0: ε says nothing about a picture of which nothing is
left (x0 from ε divides by √ᾱ), so a network must then predict v or x0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmlearn.diffusion.checks import (
    check_betas,
    check_choice,
    check_count,
    check_images,
    check_t,
    check_timesteps,
)

MOST = 0.999  # of β; a step that forgets everything cannot be undone
# Also while a model is made on the "meta" device.
EXACT = {"dtype": torch.float64, "device": "cpu"}


@dataclass(frozen=True, eq=False)
class Schedule:
    """The β of each step, and what follows from them.

    betas: (T,), the share of variance that each step replaces by noise.
    timesteps: (T,), the number by which the network knows each step. 0 … T − 1, but for
        a schedule that was `respaced`.
    """

    betas: Tensor
    timesteps: Tensor | None = None

    def __post_init__(self):
        betas = torch.as_tensor(self.betas, **EXACT)
        steps = range(len(self.betas)) if self.timesteps is None else self.timesteps
        steps = torch.as_tensor(steps, device="cpu")
        check_betas(betas, steps)
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "timesteps", steps)

    def __repr__(self) -> str:
        return f"Schedule(T={self.T}, terminal ᾱ={self.alphas_bar[-1].item():.3g})"

    @classmethod
    def linear(cls, T: int = 1000) -> "Schedule":
        """DDPM's (section 4), β ∝ 1/T for other T, to end about as noisy as there."""
        return cls((_line(1e-4, 0.02, T) * 1000 / T).clamp(max=MOST))

    @classmethod
    def scaled_linear(cls, T: int = 1000) -> "Schedule":
        """Stable Diffusion's, β ∝ 1/T for other T, to end about as noisy as there."""
        roots = _line(0.00085**0.5, 0.012**0.5, T)
        return cls((roots.square() * 1000 / T).clamp(max=MOST))

    @classmethod
    def cosine(cls, T: int = 1000) -> "Schedule":
        """Of Nichol & Dhariwal 2021, eq. 17; diffusers calls it "squaredcos_cap_v2"."""
        check_count("T", T)
        u = torch.arange(T + 1, **EXACT) / T
        falling = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
        return cls((1 - falling[1:] / falling[:-1]).clamp(max=MOST))

    @classmethod
    def named(cls, name: str, T: int = 1000) -> "Schedule":
        """`linear`, `cosine` or `scaled_linear`."""
        check_choice("the schedule", name, SCHEDULES)
        return getattr(cls, name)(T)

    @property
    def T(self) -> int:
        """How many steps there are."""
        return len(self.betas)

    @cached_property
    def alphas_bar(self) -> Tensor:
        """ᾱ_t: the share of the picture's variance that is left at t."""
        return (1 - self.betas).cumprod(dim=0)

    @cached_property
    def alphas_bar_before(self) -> Tensor:
        """ᾱ_{t−1}: one step nearer to the picture. Before the first it is 1."""
        return torch.cat([torch.ones(1, **EXACT), self.alphas_bar[:-1]])

    @property
    def snr(self) -> Tensor:
        """Signal to noise, ᾱ / (1 − ᾱ), at each t."""
        return self.alphas_bar / (1 - self.alphas_bar)

    @property
    def terminal_snr(self) -> float:
        """What a network can still see of the picture in its noisiest input."""
        return self.snr[-1].item()

    @cached_property
    def posterior_variance(self) -> Tensor:
        """β̃_t (DDPM, eq. 7): of x_{t−1}, when both x_t and x0 are known; 0 at t = 0."""
        return (1 - self.alphas_bar_before) / (1 - self.alphas_bar) * self.betas

    def at(self, table: Tensor, t: int | Tensor, x: Tensor) -> float | Tensor:
        """A table's value at t: a float; for t of shape (n,), shaped to multiply x."""
        check_t(t, self.T, len(x))
        if isinstance(t, int):
            return table[t].item()
        return table.to(x.dtype).to(x.device)[t].view(-1, *[1] * (x.ndim - 1))

    def level(self, t: int | Tensor, x: Tensor) -> tuple[float | Tensor, ...]:
        """(α, σ) = (√ᾱ_t, √(1 − ᾱ_t)): how much picture, how much noise, is in x_t."""
        return (
            self.at(self.alphas_bar.sqrt(), t, x),
            self.at((1 - self.alphas_bar).sqrt(), t, x),
        )

    def add_noise(self, x0: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
        """x_t (eq. 4) of x0 (n, c, …), with noise of that shape, at one t or (n,)."""
        check_images(x0)
        if noise.shape != x0.shape:
            raise ValueError(
                f"noise must have the pictures' shape {list(x0.shape)}, not "
                f"{list(noise.shape)}."
            )
        alpha, sigma = self.level(t, x0)
        return alpha * x0 + sigma * noise

    def posterior_mean(self, x0: Tensor, x_t: Tensor, t: int | Tensor) -> Tensor:
        """The mean of x_{t−1}, when both x_t and x0 are known (DDPM, eq. 7)."""
        before, noise = self.alphas_bar_before, 1 - self.alphas_bar
        of_x0 = before.sqrt() * self.betas / noise
        of_x_t = (1 - self.betas).sqrt() * (1 - before) / noise
        return self.at(of_x0, t, x_t) * x0 + self.at(of_x_t, t, x_t) * x_t

    def respaced(self, timesteps: Sequence[int]) -> "Schedule":
        """The same noise in fewer, larger steps: only at these t, which must rise.

        β are made anew, so that ᾱ at the steps that stay is what it was (Nichol &
        Dhariwal 2021, eq. 19), and `timesteps` keeps the numbers that the network
        knows. Leave out the last ones to start from a picture with some noise.
        """
        kept = [int(t) for t in timesteps]
        check_timesteps(kept, self.T)
        bar = self.alphas_bar[kept]
        before = torch.cat([torch.ones(1, **EXACT), bar[:-1]])
        return Schedule(1 - bar / before, self.timesteps[kept])


def _line(first: float, last: float, T: int) -> Tensor:
    """T numbers from first to last; one number is the last, since noise is to come."""
    check_count("T", T)
    return torch.linspace(last, first, T, **EXACT).flip(0)


Generators = torch.Generator | Sequence[torch.Generator]


def noise_like(x: Tensor, generator: Generators | None) -> Tensor:
    """ε ~ N(0, 1) of x's shape, drawn where the generator lies.

    With one generator for each row, a row's noise does not depend on the others'.
    """
    if generator is None:
        raise ValueError(
            "noise is added here: give generator=torch.Generator().manual_seed(0), or "
            "another seed."
        )
    if isinstance(generator, Sequence):
        rows = zip(x, generator, strict=True)
        return torch.stack([noise_like(row, own) for row, own in rows])
    device = generator.device
    noise = torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
    return noise.to(x.device)


SCHEDULES = ("linear", "cosine", "scaled_linear")


def evenly_spaced(T: int, steps: int) -> list[int]:
    """`steps` of the T timesteps, the last always among them ("trailing").

    Sampling starts from pure noise, so it must start where the network was trained on
    (almost) pure noise. Other spacings do not: "leading" begins at 0 and stops short
    of the end. 10 of 1,000 here are 99, 199, … 999; leading, 0, 100, … 900.
    """
    check_count("T", T)
    check_count("steps", steps, T)
    return [round(T * (k + 1) / steps) - 1 for k in range(steps)]


def in_sections(T: int, counts: Sequence[int]) -> list[int]:
    """T timesteps cut into equal sections, and `counts` of each, evenly, ends included.

    Guided-diffusion's way to spend more steps where they matter.
    """
    kept, start = [], 0
    for k, count in enumerate(counts):
        size = T // len(counts) + (k < T % len(counts))
        check_count(f"the count in section {k} of {len(counts)}", count, size)
        spread = torch.linspace(0, size - 1, count, **EXACT)
        kept += [start + round(x) for x in spread.tolist()]
        start += size
    return kept


def fast27(T: int = 1000) -> list[int]:
    """GLIDE's 27 steps for its upsampler: most of them where there is little noise.

    Its very last step is moved from T − 1 to T − 3: with DDIM, starting from the
    noisiest step leaves artefacts, says the released code.
    """
    return [*in_sections(T, (10, 10, 3, 2, 2))[:-1], T - 3]
