"""The rows that stand above a model's: what the judge says where the truth is known.

Each takes ``read(images) -> readings`` and returns rows of one format, those of `table`
with the name of the control in front. ``options`` go to `table` (card, strict); where
pictures are drawn here, they have ``size`` pixels.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.judged import judge_readings, table
from mmlearn.evaluate.reading import Read, read_all
from mmlearn.world.render import draw
from mmlearn.world.scene import Scene

Features = Callable[[Tensor], Tensor]  # (n, 3, h, w) -> (n, d)


def rows_of(
    name: str,
    read: Read,
    images: Tensor,
    records: Sequence[Scene],
    prompts: Sequence | None = None,
    certain: float = 0.5,
    **options,
) -> list[dict]:
    """Any pictures judged by these records, as rows named ``name``: a model's too.

    images: (n, 3, h, w) in [-1, 1], one for each record. prompts: as in
    `judge_readings`. Raises ValueError for what does not fit together.
    """
    if len(images) != len(records):
        raise ValueError(
            f"{len(records)} records cannot judge {len(images)} pictures: give one each"
        )
    verdicts = judge_readings(records, read_all(read, images), prompts, certain)
    return [{"pictures": name} | row for row in table(verdicts, **options)]


def real_scenes(
    read: Read, records: Sequence[Scene], size: int = 64, **options
) -> list[dict]:
    """The records themselves, drawn: the best that any picture could score."""
    return rows_of("real scenes", read, draw(list(records), size), records, **options)


def other_captions(
    read: Read, records: Sequence[Scene], size: int = 64, by: int = 1, **options
) -> list[dict]:
    """Each record's scene, judged by the record that is ``by`` places further on.

    A real picture of something else: what it scores can be had by guessing. Raises
    ValueError where a picture would be judged by its own record.
    """
    if by % len(records) == 0:
        raise ValueError(
            f"{len(records)} records rolled by {by} are where they were: roll them by "
            f"1 to {len(records) - 1}"
        )
    images = torch.roll(draw(list(records), size), by, dims=0)
    return rows_of("another caption's scenes", read, images, records, **options)


def unconditional(
    read: Read, records: Sequence[Scene], images: Tensor, **options
) -> list[dict]:
    """A model's pictures (n, 3, h, w), made without any prompt, one for each record."""
    return rows_of("unconditional samples", read, images, records, **options)


def nearest_training(
    read: Read,
    records: Sequence[Scene],
    images: Tensor,
    training: Tensor,
    features: Features,
    **options,
) -> list[dict]:
    """For each picture of a model the training scene most like it, judged instead.

    images, training: (n, 3, h, w) and (m, 3, h, w); features: see `nearest`. If these
    rows score what the model does, it may have learned its training scenes by heart;
    if they score less, it drew what it never saw.
    """
    which, _ = nearest(images, training, features)
    name = "nearest training scene"
    return rows_of(name, read, training[which], records, **options)


@torch.no_grad()
def nearest(
    images: Tensor, training: Tensor, features: Features, at_once: int = 256
) -> tuple[Tensor, Tensor]:
    """For each picture, the index of the nearest training picture and how far it is.

    The distance is 1 minus the cosine of ``features``, (n, 3, h, w) -> (n, d). Show it
    beside that of new real scenes: near means copied only if those are further away.
    """
    if not len(images) or not len(training):
        raise ValueError("the nearest of no pictures: give at least one of both")

    def unit(pictures: Tensor) -> Tensor:
        parts = [features(part) for part in pictures.split(at_once)]
        return F.normalize(torch.cat(parts).flatten(1).float(), dim=1)

    best, which = (unit(images) @ unit(training).T).max(dim=1)
    return which, 1 - best
