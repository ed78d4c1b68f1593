"""A stand-in that draws from its prompts' records, and a judge that knows what it drew.

For the tests of claims: a planted model wins or loses one as it is told to.
"""

from dataclasses import replace

import torch
from torch import nn

from mmlearn import world
from mmlearn.evaluate.judged import judge_readings
from mmlearn.evaluate.reading import Reading
from mmlearn.world.render import draw

PX = 32


class Painter(nn.Module):
    """Draws the record of each prompt, or what ``change`` makes of it.

    change(record, options) -> the record that is drawn. told: picture to record, of all
    that the stand-in judge may be shown.
    """

    image_size = PX

    def __init__(self, prompts, change=lambda record, options: record):
        super().__init__()
        self.prompts, self.change = {p.text: p.record for p in prompts}, change
        self.told = {}
        self.known([p.record for p in prompts])

    def __deepcopy__(self, memo):
        return self

    def known(self, records):
        images = draw(records, PX) if records else torch.empty(0)
        self.told |= {x.numpy().tobytes(): r for x, r in zip(images, records)}  # noqa: B905
        return images

    def generate(self, prompts, **options):
        records = [self.prompts[text] for text in prompts]
        return self.known([self.change(r, options) for r in records])

    def read(self, images):
        """What pictures were drawn from; an unknown one shows nothing."""
        nothing = Reading.of(world.arrange("red star"))
        nothing = replace(nothing, found=(), background="sea")
        found = (self.told.get(image.numpy().tobytes()) for image in images)
        return [Reading.of(r) if r else nothing for r in found]

    def judge(self, images, records, prompts):
        return judge_readings(records, self.read(images), prompts)


class Eyes:
    """The stand-in judge of a painter, which can read as well."""

    def __init__(self, painter):
        self.read, self.judge = painter.read, painter.judge

    def __call__(self, *asked):
        return self.judge(*asked)


def shares(claim):
    """{the first columns: share}."""
    return {tuple(row[n] for n in claim.names): row["share"] for row in claim.rows}


def fits(claim):
    """Whether a wall can be made of it."""
    n, ways = claim.images.shape[:2]
    heads = len(claim.heads) == ways
    return heads and len(claim.verdicts) == n * ways and len(claim.texts) == n
