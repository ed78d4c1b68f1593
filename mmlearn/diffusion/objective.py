"""What a diffusion network is trained for: noise some pictures, ask it to undo that.

    loss = Objective(Schedule.cosine(), "eps")
    mm.train.fit(unet, loss, batches, steps=1000)

    L_simple = E ‖target − network(x_t, t)‖²,   t uniform in 0 … T − 1   (DDPM, eq. 14)

with ε, x0 or v as the target. With a learned variance, Nichol & Dhariwal's hybrid:

    L = L_simple + 0.001 L_vlb        (arXiv 2102.09672, eq. 16)

L_vlb is a sum of T terms, of which one is drawn, so it counts T times: a factor of
T/1000, without which the bound would swamp the error. Its gradient stops before the
mean, which only the error is to teach; the bound teaches the variance. Both still teach
the layers below, and there the bound can drown the error: where x0 is predicted, whose
error is smaller than ε's, 0.001 is far too much (`vlb_weight`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmlearn.diffusion.checks import check_choice, check_count, check_images
from mmlearn.diffusion.predictions import PREDICTIONS, convert, target
from mmlearn.diffusion.schedule import Schedule, noise_like
from mmlearn.diffusion.variance import split, vlb

Batch = Tensor | Sequence[Tensor]
MOST = 5  # by which `as_v` multiplies an error


class Objective:
    """The loss of a network that is called as `network(x_t, t, *conditions)`.

    A batch is pictures (n, c, …) in [−1, 1], or (pictures, *conditions). t is (n,).
    The network gives c channels, or 2c with learned_variance.

    as_v: the error of a predicted x0 is weighted as v's would be, by 1/σ² (but 5 at
    most), so that what is decided where there is little noise, outlines above all,
    counts (Li & He 2025, arXiv 2511.13720, table 1).
    """

    def __init__(
        self,
        schedule: Schedule,
        predicts: str = "eps",
        learned_variance: bool = False,
        *,
        as_v: bool = False,
        vlb_weight: float = 0.001,
    ):
        check_choice("the prediction", predicts, PREDICTIONS)
        if as_v and predicts != "x0":
            raise ValueError(
                f"as_v weights the error of a predicted x0, not of {predicts!r}."
            )
        self.schedule, self.predicts = schedule, predicts
        self.learned_variance = learned_variance
        self.as_v, self.vlb_weight = as_v, vlb_weight

    def __call__(
        self, network: nn.Module | Callable, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(the mean loss, its terms' means): a `loss_fn` for `mmlearn.train.fit`."""
        n = len(pictures_of(batch))
        t = torch.randint(
            self.schedule.T, (n,), generator=generator, device=generator.device
        )
        terms = self.terms(network, batch, t, generator)
        means = {name: term.mean() for name, term in terms.items()}
        return sum(means.values()), means

    def terms(
        self,
        network: nn.Module | Callable,
        batch: Batch,
        t: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Each picture's loss at its t: {"mse": (n,)}, with "vlb" if that is learned.

        Their sum is the loss.
        """
        x0 = pictures_of(batch)
        conditions = () if isinstance(batch, Tensor) else batch[1:]
        noise = noise_like(x0, generator)
        t = t.to(x0.device)
        x_t = self.schedule.add_noise(x0, noise, t)
        level = self.schedule.level(t, x0)

        output = network(x_t, t, *conditions).to(x0.dtype)
        output, between = split(output, x0.shape[1], self.learned_variance)
        wanted = target(self.predicts, x0, noise, *level)
        error = (wanted - output).square().flatten(1).mean(dim=1)
        if self.as_v:
            sigma = level[1].flatten()
            error = error / sigma.square().clamp(min=1 / MOST)
        terms = {"mse": error}
        if between is not None:
            guess = convert(output.detach(), self.predicts, "x0", x_t, *level)
            bound = vlb(self.schedule, x0, x_t, guess, between, t)
            terms["vlb"] = bound * (self.schedule.T * self.vlb_weight)
        return terms


@torch.no_grad()
def loss_by_bin(
    objective: Objective,
    network: nn.Module | Callable,
    batch: Batch,
    generator: torch.Generator,
    bins: int = 10,
) -> Tensor:
    """The mean loss in each of `bins` equal parts of 0 … T − 1: (bins,), noise rising.

    One number hides that these are a thousand tasks. Every picture of the batch is
    asked about in every bin. The network is left in the mode (train, eval) it is in.
    """
    T = objective.schedule.T
    check_count("bins", bins, T)
    n, losses = len(pictures_of(batch)), []
    for k in range(bins):
        edges = (k * T // bins, (k + 1) * T // bins)
        t = torch.randint(*edges, (n,), generator=generator, device=generator.device)
        terms = objective.terms(network, batch, t, generator)
        losses.append(sum(terms.values()).mean())
    return torch.stack(losses)


def pictures_of(batch: Batch) -> Tensor:
    """The pictures of a batch, with conditions or without."""
    x0 = batch if isinstance(batch, Tensor) else batch[0]
    check_images(x0)
    return x0
