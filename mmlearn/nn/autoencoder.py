"""The autoencoder that makes pictures small enough to diffuse (Rombach et al. 2022).

Most of a picture's bits are detail that hardly anybody would miss. An encoder puts what
matters on a coarse grid of a few channels, the *latents*; a decoder paints the detail
back. A diffusion model then works on the latents ("High-resolution image synthesis with
latent diffusion models", arXiv 2112.10752, section 3.1 and appendix G).

The encoder does not give one latent but a normal distribution, a mean and a variance
for each number, as in a variational autoencoder (Kingma & Welling 2013), and a very
small weight on its distance from N(0, 1) keeps the latents from growing without end.
They do not have the variance 1 that diffusion wants; Stable Diffusion multiplies by 1
over what was measured (`mmlearn.stable_diffusion`).

As in the released code, and not in the paper: one attention of one head in the middle,
the ε of every group norm is 1e-6, and a convolution of one place after the encoder and
before the decoder. (That code writes the attention's linear maps as convolutions of one
place, which are the same maps.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn import autoencoder_checks as check
from mmlearn.nn.latent_blocks import (
    RIGHT_BELOW,
    DoublingConv,
    HalvingConv,
    PlainResBlock,
)
from mmlearn.nn.resblock import GroupNorm

EPS = 1e-6
LEAST, MOST = -30.0, 20.0  # of the log of the variance: e^-30 is as good as none
Generators = torch.Generator | Sequence[torch.Generator]


@dataclass(frozen=True)
class AutoencoderConfig:
    """An autoencoder in numbers; the defaults are Stable Diffusion's.

    width: channels of the first level; level i has width * multiples[i], on a grid 2^i
    times as coarse as the picture. blocks: residual blocks of a level on the way down;
    there is one more on the way up. latent: channels of the latents.
    """

    width: int = 128
    multiples: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent: int = 4
    channels: int = 3
    groups: int = 32

    def __post_init__(self):
        object.__setattr__(self, "multiples", tuple(self.multiples))  # or from JSON
        check.check_config(self)

    @property
    def factor(self) -> int:
        """How many pixels wide the square is that one latent stands for: "f8"."""
        return 2 ** (len(self.multiples) - 1)

    @property
    def widths(self) -> list[int]:
        """The channels of each level, from the finest to the coarsest."""
        return [self.width * multiple for multiple in self.multiples]


class Gaussian:
    """What the encoder says of pictures: a normal distribution of each of n latents.

    mean, logvar: (n, latent, h, w); the log of the variance is kept in [-30, 20].
    """

    def __init__(self, moments: Tensor):
        self.mean, logvar = moments.chunk(2, dim=1)
        self.logvar = logvar.clamp(LEAST, MOST)

    @property
    def std(self) -> Tensor:
        """The standard deviation (n, latent, h, w)."""
        return (self.logvar / 2).exp()

    @property
    def mode(self) -> Tensor:
        """The most likely latents, which is their mean."""
        return self.mean

    def sample(self, generator: Generators) -> Tensor:
        """Latents drawn from it; generator: one, or one for each picture.

        With one for each, a picture's latents do not depend on the others'.
        """
        if isinstance(generator, torch.Generator):
            return self.mean + self.std * normal(self.mean, generator)
        rows = zip(self.mean, generator, strict=True)
        return self.mean + self.std * torch.stack([normal(*row) for row in rows])

    def kl(self) -> Tensor:
        """How far it is from N(0, 1), *summed* over a picture's latents: (n,).

        KL(N(μ, σ²) ‖ N(0, 1)) = (μ² + σ² − 1 − ln σ²) / 2, in nats.
        """
        each = self.mean.square() + self.logvar.exp() - 1 - self.logvar
        return each.flatten(1).sum(dim=1) / 2


def normal(x: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers from N(0, 1) of x's shape and dtype, drawn where the generator lies."""
    device = generator.device
    noise = torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
    return noise.to(x.device)


class OneHead(nn.Module):
    """Attention of one head among all places of x (n, width, h, w), added to x."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm = GroupNorm(groups, width, EPS)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, width, h, w = x.shape
        places = self.norm(x).flatten(2).transpose(1, 2)[:, None]  # (n, 1, h w, width)
        q, k, v = self.q(places), self.k(places), self.v(places)
        y = self.out(F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + y.transpose(1, 2).reshape(n, width, h, w)


class Level(nn.Module):
    """Residual blocks on one grid, and then what leads to the next grid, if any."""

    def __init__(self, inputs: int, outputs: int, blocks: int, groups: int):
        super().__init__()
        widths = [inputs] + [outputs] * blocks
        self.blocks = nn.Sequential(
            *(
                PlainResBlock(before, after, None, groups, EPS)
                for before, after in pairwise(widths)
            )
        )
        self.resize = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(self.blocks(x))


def middle(width: int, groups: int) -> nn.Sequential:
    """What stands between down and up: a block, the attention, a block."""
    return nn.Sequential(
        PlainResBlock(width, width, None, groups, EPS),
        OneHead(width, groups),
        PlainResBlock(width, width, None, groups, EPS),
    )


class Encoder(nn.Module):
    """Pictures (n, channels, h, w) to (n, 2 * latent, h / factor, w / factor)."""

    def __init__(self, c: AutoencoderConfig):
        super().__init__()
        x = c.widths[0]  # the channels of what goes down
        self.first = nn.Conv2d(c.channels, x, 3, padding=1)
        self.down = nn.ModuleList()
        for width in c.widths:
            self.down.append(Level(x, width, c.blocks, c.groups))
            x = width
        for level in self.down[:-1]:
            level.resize = HalvingConv(len(level.blocks[-1].conv2.bias), RIGHT_BELOW)
        self.middle = middle(x, c.groups)
        self.norm = GroupNorm(c.groups, x, EPS)
        self.last = nn.Conv2d(x, 2 * c.latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for level in self.down:
            x = level(x)
        return self.last(F.silu(self.norm(self.middle(x))))


class Decoder(nn.Module):
    """Latents (n, latent, h, w) to pictures (n, channels, h * factor, w * factor).

    `up` goes from the coarsest level to the finest.
    """

    def __init__(self, c: AutoencoderConfig):
        super().__init__()
        x = c.widths[-1]  # the channels of what goes up
        self.first = nn.Conv2d(c.latent, x, 3, padding=1)
        self.middle = middle(x, c.groups)
        self.up = nn.ModuleList()
        for width in reversed(c.widths):
            self.up.append(Level(x, width, c.blocks + 1, c.groups))
            x = width
        for level in self.up[:-1]:
            level.resize = DoublingConv(len(level.blocks[-1].conv2.bias))
        self.norm = GroupNorm(c.groups, x, EPS)
        self.last = nn.Conv2d(x, c.channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.middle(self.first(z))
        for level in self.up:
            x = level(x)
        return self.last(F.silu(self.norm(x)))


class Autoencoder(nn.Module):
    """Pictures in [-1, 1] to latents and back.

    vae.encode(images).sample(generator)    (n, latent, h / factor, w / factor)
    vae.decode(latents)                     (n, channels, h, w), about in [-1, 1]

    Both return what they are given in its dtype, also under autocast: the log of a
    variance needs its bits.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = c = config
        self.encoder, self.decoder = Encoder(c), Decoder(c)
        self.moments = nn.Conv2d(2 * c.latent, 2 * c.latent, 1)
        self.latents = nn.Conv2d(c.latent, c.latent, 1)

    def encode(self, images: Tensor) -> Gaussian:
        """Pictures (n, channels, h, w) in [-1, 1] as a distribution of latents.

        Raises ValueError for sides that cannot be halved so often; in eval mode also
        for pictures that lie elsewhere.
        """
        check.check_pictures(self.config, images, in_range=not self.training)
        moments = self.moments(self.encoder(fast(images)))
        return Gaussian(moments.to(images.dtype).contiguous())

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (n, latent, h, w) as pictures (n, channels, h * factor, …).

        They are not clamped: in training, what lies beyond [-1, 1] must be seen.
        """
        check.check_latents(self.config, latents)
        images = self.decoder(self.latents(fast(latents)))
        return images.to(latents.dtype).contiguous()

    def forward(
        self, images: Tensor, generator: Generators | None = None
    ) -> tuple[Tensor, Gaussian]:
        """Pictures painted again, and the distribution that their latents came from.

        Without a generator, from the most likely latents.
        """
        posterior = self.encode(images)
        z = posterior.mode if generator is None else posterior.sample(generator)
        return self.decode(z), posterior


def fast(x: Tensor) -> Tensor:
    """x, on a CPU with the channels last, where convolutions are faster so."""
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last)
