"""What an autoencoder is trained for: the picture, how it looks, and a critic's word.

    both = WithCritic(vae, PatchCritic())
    loss = AutoencoderLoss(perceptual=partial(perceptual_distance, features))
    fit(both, loss, lambda index: (images(index), index), clip=None, …)

Of "High-resolution image synthesis with latent diffusion models" (Rombach et al. 2022,
arXiv 2112.10752, section 3.1 and appendix G), and of the released code where it is
silent:

    L = Σ |x − x̂| + Σ d(x, x̂)  +  1e-6 Σ KL  +  λ g     each Σ over one picture

* |x − x̂| is summed over all numbers of a picture, and the perceptual distance d, one
  number a picture, counts once for *each* of them (the released code adds it to every
  pixel); the KL is summed over all latents. All are then means over the batch.
* g = −mean of the critic's logits of x̂ (a hinge GAN; Lim & Ye 2017), a mean over
  places. It is small beside those sums, and λ makes it count half: λ = ½ ‖∇L_rec‖ /
  ‖∇g‖, both gradients with respect to the last convolution of the decoder, at most
  10,000 before it is halved (VQGAN, Esser et al. 2021, eq. 7).
* the critic learns, and is listened to, only from step 50,001 on: before, there is
  nothing to criticise but blur, which the sums see better.

The sums are as large as pictures: train without clipping gradients. Adam does not mind.

The released code divides by a learned variance, which its optimiser leaves out, so that
it stays 1; it is left out here. It also takes turns with two optimisers. Here one step
teaches both: the critic's weights are held still where the decoder is judged, and the
picture is held still where the critic is.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmlearn.nn.autoencoder import Autoencoder

Features = Callable[[Tensor], Sequence[Tensor]]
Perceptual = Callable[[Tensor, Tensor], Tensor]
MOST = 1e4  # of the critic's weight, before it is halved
TINY = 1e-4  # under the fraction, against gradients of zero


class PatchCritic(nn.Module):
    """Says of every patch of a picture whether it is real: (n, 3, h, w) to (n, 1, …).

    The discriminator of pix2pix (Isola et al. 2017, appendix 6.1.2), with batch norms:
    `layers` convolutions of 4 × 4 that halve the grid, each twice as wide as the one
    before (but 8 times the first at most), and two more that do not. With 3, a logit
    sees 70 × 70 pixels; for small pictures take fewer. Positive means real.
    """

    def __init__(self, width: int = 64, layers: int = 3, channels: int = 3):
        super().__init__()
        if width < 1 or layers < 1:
            raise ValueError(
                f"a critic has a width and layers of at least 1, not {width} and "
                f"{layers}."
            )
        widths = [width * min(2**n, 8) for n in range(layers + 1)]
        stages = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n, (before, after) in enumerate(pairwise(widths), 1):
            stride = 2 if n < layers else 1
            convolution = nn.Conv2d(before, after, 4, stride, 1, bias=False)
            stages += [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*stages, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class WithCritic(nn.Module):
    """An autoencoder and its critic, to be trained by one optimiser."""

    def __init__(self, vae: Autoencoder, critic: PatchCritic | None = None):
        super().__init__()
        self.vae, self.critic = vae, critic


class AutoencoderLoss:
    """The loss of a `WithCritic`, for `mmlearn.train.fit`.

    perceptual(images, painted): a distance for each picture (n,), such as
        `perceptual_distance`; None for none. perceptual_weight: of it.
    kl_weight: of the distance from N(0, 1).
    critic_weight: how large the critic's gradient is beside the reconstruction's.
    critic_from: at which step, counted from 0, it sets in; without a critic, never.

    A batch is (images, step), the images (n, 3, h, w) in [-1, 1]. A recipe's
    `batches(index)` knows the step; as a plain number it makes no GPU wait.
    """

    def __init__(
        self,
        perceptual: Perceptual | None = None,
        *,
        perceptual_weight: float = 1.0,
        kl_weight: float = 1e-6,
        critic_weight: float = 0.5,
        critic_from: int = 50_001,
    ):
        for name, weight in (
            ("perceptual_weight", perceptual_weight),
            ("kl_weight", kl_weight),
            ("critic_weight", critic_weight),
            ("critic_from", critic_from),
        ):
            if not weight >= 0:
                raise ValueError(f"{name} should be at least 0, not {weight!r}.")
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.kl_weight, self.critic_weight = kl_weight, critic_weight
        self.critic_from = critic_from

    def __call__(
        self,
        model: WithCritic,
        batch: tuple[Tensor, int | Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(the loss, its terms): what the autoencoder and the critic are to learn."""
        images, step = batch
        painted, posterior = model.vae(images, generator)
        terms = {"l1": (images - painted).abs().flatten(1).sum(dim=1).mean()}
        reconstruction = terms["l1"]
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(images, painted).mean()
            each = images[0].numel() * self.perceptual_weight
            reconstruction = reconstruction + each * terms["perceptual"]
        terms["kl"] = posterior.kl().mean()
        loss = reconstruction + self.kl_weight * terms["kl"]
        if model.critic is None or int(step) < self.critic_from:
            return loss, terms

        generated = -judged(model.critic, painted).mean()
        last = model.vae.decoder.last.weight
        weight = self.critic_weight * balance(reconstruction, generated, last)
        real, fake = model.critic(images), model.critic(painted.detach())
        terms |= {"critic": hinge(real, fake), "balance": weight}
        return loss + weight * generated + terms["critic"], terms


def judged(critic: PatchCritic, painted: Tensor) -> Tensor:
    """The critic's logits of pictures, from which it does not learn."""
    still = {name: p.detach() for name, p in critic.named_parameters()}
    return functional_call(critic, still, (painted,))


def balance(reconstruction: Tensor, generated: Tensor, last: Tensor) -> Tensor:
    """λ = ‖∇ reconstruction‖ / ‖∇ generated‖, at the weights `last`; no more than MOST.

    A number, through which no gradient flows.
    """
    norms = [
        torch.autograd.grad(term, last, retain_graph=True)[0].norm()
        for term in (reconstruction, generated)
    ]
    return (norms[0] / (norms[1] + TINY)).clamp(0, MOST).detach()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Logits should be above 1 for what is real, below −1 for what is painted."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def perceptual_distance(features: Features, images: Tensor, painted: Tensor) -> Tensor:
    """How unlike two pictures look to a network: (n,), 0 for the same.

    features(images): maps (n, c, h, w), or tokens (n, t, c), of one layer or several.
    Each place's vector is made of length 1, and the squared differences are averaged
    over places and over layers (LPIPS, Zhang et al. 2018, eq. 1, with all its weights
    equal). The gradient flows into what was painted.
    """
    with torch.no_grad():
        real = features(images)
    layers = zip(real, features(painted), strict=True)
    return torch.stack([unlike(a, b) for a, b in layers]).mean(dim=0)


def unlike(a: Tensor, b: Tensor) -> Tensor:
    """‖a/‖a‖ − b/‖b‖‖² of each place's vectors, averaged over places: (n,)."""
    if a.shape != b.shape or a.ndim not in (3, 4):
        raise ValueError(
            "features should be maps (n, c, h, w) or tokens (n, t, c), alike for both "
            f"pictures, not {tuple(a.shape)} and {tuple(b.shape)}."
        )
    channels = 1 if a.ndim == 4 else 2
    wide = torch.promote_types(a.dtype, torch.float32)  # squares need the digits
    a, b = (F.normalize(x.to(wide), dim=channels, eps=1e-10) for x in (a, b))
    return (a - b).square().sum(dim=channels).flatten(1).mean(dim=1)
