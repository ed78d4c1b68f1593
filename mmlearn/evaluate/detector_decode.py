"""What the detector is taught, and how its answers become a reading.

A picture is a grid of 16 x 16 cells; the cell that holds the middle of a thing answers
for it ("Objects as points", Zhou et al. 2019, section 3): how sure it is that a middle
is there (the heat map), how far off, how wide and tall, which noun, which colour,
whose style. No scene has two middles less than three cells apart (a test looks), so
that a finer grid would separate nothing more.

`encode` goes from records to targets, `perfect` from targets to what a faultless
network would answer, `decode` from answers to readings: the three in a row give
`Reading.of` back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.reading import SOMETHING, Found, Reading
from mmlearn.world import artwork
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.scene import COLOURS, SHAPES, SIGN, Scene

SIGHT = 64  # pixels: every picture is brought to this side before it is looked at
GRID = 16
MOST = 5  # things in a scene
TINTS = (*COLOURS, None)  # None: in its own colours
STYLES = (*artwork.TRAIN_ARTISTS, "nobody's", "unknown")  # shapes and signs: nobody's
PLACES = (*BACKGROUNDS, None)  # None: a background that the world does not have
IGNORE = -100  # an answer that is not asked for

LISTED = 0.15  # what is less likely than this is not worth a doubt
SAME = 0.7  # two boxes that overlap more than this (IoU) are of one thing


@lru_cache(1)
def nouns() -> tuple[str, ...]:
    """What a cell can name: everyday things, shapes, a sign, and what has no name."""
    return (*artwork.everyday(), *SHAPES, SIGN, SOMETHING)


@dataclass(frozen=True)
class Targets:
    """What is in n pictures, each with room for five things.

    there (n, 5): 1, 0, or `IGNORE` where neither would be wrong. boxes (n, 5, 4) as in
    records. noun, colour, style (n, 5): places in `nouns()`, `TINTS` and `STYLES`, or
    `IGNORE`. background (n,): a place in `PLACES`.
    """

    there: Tensor
    boxes: Tensor
    noun: Tensor
    colour: Tensor
    style: Tensor
    background: Tensor

    def clone(self) -> "Targets":
        """A copy that may be changed."""
        return Targets(*(getattr(self, f.name).clone() for f in fields(self)))


@dataclass(frozen=True)
class Answers:
    """What a network says of n pictures: logits, but for the boxes.

    heat (n, 16, 16); boxes (n, 4, 16, 16) as in `box_numbers`; noun, colour, style
    (n, classes, 16, 16); background (n, 13).
    """

    heat: Tensor
    boxes: Tensor
    noun: Tensor
    colour: Tensor
    style: Tensor
    background: Tensor


def encode(records: Sequence[Scene]) -> Targets:
    """What a detector should say of the pictures of these records."""
    n, names = len(records), _place_of_noun()
    there = torch.zeros(n, MOST, dtype=torch.long)
    boxes = torch.tensor([0.25, 0.25, 0.75, 0.75]).repeat(n, MOST, 1)
    labels = torch.full((3, n, MOST), IGNORE)
    for i, record in enumerate(records):
        for k, item in enumerate(record.items):
            there[i, k] = 1
            boxes[i, k] = torch.tensor(item.box)
            labels[0, i, k] = names[item.noun]
            labels[1, i, k] = TINTS.index(item.colour)
            labels[2, i, k] = STYLES.index(_style(item.artist))
    places = torch.tensor([PLACES.index(record.background) for record in records])
    return Targets(there, boxes, *labels, places)


@lru_cache(1)
def _place_of_noun() -> dict[str, int]:
    return {noun: i for i, noun in enumerate(nouns())}


def _style(artist: str | None) -> str:
    if artist is None:
        return "nobody's"
    return artist if artist in STYLES else "unknown"


def cells(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The cells that answer for boxes (…, 4): columns and rows, (…, 4) each.

    All cells whose middle is within 0.75 of a cell of the box's, across and down: one,
    two or four. Where only the nearest answered, a thing between two cells would make
    both unsure. Where there are fewer than four, some stand twice.
    """
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * GRID
    near = [
        (middle + shift).floor().long().clamp(0, GRID - 1) for shift in (-0.25, 0.25)
    ]
    columns = torch.stack([near[i][..., 0] for i in (0, 0, 1, 1)], dim=-1)
    rows = torch.stack([near[i][..., 1] for i in (0, 1, 0, 1)], dim=-1)
    return columns, rows


def box_numbers(boxes: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Boxes (…, 4) as the network's cells say them: (…, cells, 4).

    From the cell's middle to the box's, then the logarithms of width and height, all
    in cells.
    """
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * GRID
    cell = torch.stack([columns, rows], dim=-1) + 0.5
    sides = ((boxes[..., 2:] - boxes[..., :2]) * GRID).log()
    away = middle[..., None, :] - cell
    return torch.cat([away, sides[..., None, :].expand_as(away)], dim=-1)


def heat_map(targets: Targets) -> Tensor:
    """(n, 16, 16): 1 in the cells that answer, falling off like a bell around them.

    A cell beside the middle is wrong, but less so for a large thing: the bell's width
    is an eighth of the thing's side, at least 0.6 cells.
    """
    boxes, there = targets.boxes, targets.there == 1
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * GRID
    sigma = ((boxes[..., 2:] - boxes[..., :2]) * GRID / 8).clamp(0.6)
    place = torch.arange(GRID, device=boxes.device) + 0.5
    far = (((place[:, None] - middle[..., None, :]) / sigma[..., None, :]) ** 2) / 2
    bells = (-(far[..., None, :, 0] + far[..., :, None, 1])).exp()
    heat = (bells * there[..., None, None]).amax(dim=1)
    picture, columns, rows = answering(targets)
    heat[picture, rows, columns] = 1.0
    return heat


def answering(targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, columns and rows of all cells that answer for what is there: (k, 4)."""
    there = targets.there == 1
    columns, rows = cells(targets.boxes[there])
    picture = there.nonzero()[:, :1].expand_as(rows)
    return picture, columns, rows


def perfect(targets: Targets, sure: float = 20.0) -> Answers:
    """What a network that makes no mistake answers; `sure` are its logits."""
    n, there = len(targets.there), targets.there == 1
    picture, columns, rows = answering(targets)

    def paint(labels: Tensor, classes: int) -> Tensor:
        answer = torch.zeros(n, GRID, GRID, classes)
        labels = labels[there]
        asked = labels != IGNORE
        where = picture[asked], rows[asked], columns[asked]
        answer[(*where, labels[asked, None])] = sure
        return answer.movedim(-1, 1)

    boxes = torch.zeros(n, GRID, GRID, 4)
    boxes[picture, rows, columns] = box_numbers(targets.boxes[there], columns, rows)
    return Answers(
        heat=heat_map(targets).logit(eps=1e-6),
        boxes=boxes.movedim(-1, 1),
        noun=paint(targets.noun, len(nouns())),
        colour=paint(targets.colour, len(TINTS)),
        style=paint(targets.style, len(STYLES)),
        background=sure * F.one_hot(targets.background, len(PLACES)).float(),
    )


def peaks(heat: Tensor, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, rows and columns of the cells of ``heat`` that no neighbour exceeds."""
    highest = F.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]
    return ((heat == highest) & (heat >= least)).nonzero().unbind(dim=1)


@torch.no_grad()
def decode(answers: Answers) -> list[Reading]:
    """Answers to readings: one thing for each peak of the heat map.

    A peak is a cell that no neighbour exceeds (3x3 maxima do what non-maximum
    suppression does, section 4); of peaks with one box the highest stays. Confidence
    is P(a middle) · P(noun); where a second noun is worth a doubt, it is listed too,
    with the same box. Words of signs are not read here.
    """
    heat = answers.heat.float().sigmoid().cpu()
    picture, row, column = peaks(heat, LISTED)

    def at_peaks(maps: Tensor) -> Tensor:
        return maps.float().cpu()[picture, :, row, column]

    boxes = _boxes(at_peaks(answers.boxes), column, row)
    shares = [
        at_peaks(maps).softmax(dim=1)
        for maps in (answers.noun, answers.colour, answers.style)
    ]
    places = answers.background.float().softmax(dim=1).cpu()
    readings = []
    for i, share in enumerate(places):
        own = (picture == i).nonzero()[:, 0]
        own = own[heat[i, row[own], column[own]].argsort(descending=True, stable=True)]
        found, kept = [], []
        for k in own.tolist():
            if kept and _overlap(boxes[k], boxes[kept]).max() > SAME:
                continue
            kept.append(k)
            sure = float(heat[i, row[k], column[k]])
            found += _named(boxes[k], sure, *(part[k] for part in shares))
        best = int(share.argmax())
        readings.append(Reading(tuple(found), PLACES[best], float(share[best])))
    return readings


def _boxes(numbers: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """The inverse of `box_numbers`, cut off at the picture's edge: (k, 4)."""
    middle = torch.stack([column, row], dim=1) + 0.5 + numbers[:, :2]
    half = numbers[:, 2:].clamp(-3, 3).exp() / 2
    low = ((middle - half) / GRID).clamp(0, 1 - 1 / SIGHT)
    high = ((middle + half) / GRID).clamp(0, 1)
    return torch.cat([low, torch.maximum(high, low + 1 / SIGHT)], dim=1)


def _overlap(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box (4,) with each of others (k, 4)."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(0).prod(dim=1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(dim=1)
    return shared / (area - shared)


def _named(box: Tensor, sure: float, noun: Tensor, colour: Tensor, style: Tensor):
    """One `Found` for the likeliest noun, one more if the second is worth a doubt."""
    found = []
    for i in noun.topk(2).indices.tolist():
        name, confidence = nouns()[i], sure * float(noun[i])
        if found and confidence < LISTED:
            break
        tint, tint_share = None, 1.0
        if name not in (SIGN, SOMETHING):
            # A shape has a colour; "in its own colours" is for drawings.
            choices = colour[:-1] if name in SHAPES else colour
            tint, tint_share = TINTS[int(choices.argmax())], float(choices.max())
        artist, artist_share = None, 1.0
        if name not in (*SHAPES, SIGN, SOMETHING):
            best = int(style.argmax())
            artist = STYLES[best] if STYLES[best] in artwork.ARTISTS else None
            artist_share = float(style[best])
        found.append(
            Found(
                name,
                tuple(box.tolist()),
                tint,
                artist,
                confidence=min(1.0, confidence),
                colour_confidence=min(1.0, tint_share),
                artist_confidence=min(1.0, artist_share),
            )
        )
    return found
