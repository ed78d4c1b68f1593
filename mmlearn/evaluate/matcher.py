"""The judge's second reader, which learns nothing: it looks for the world's drawings.

Told by a record what to look for, it slides each noun's drawings, by the three training
artists and in every colour, at every size, over the picture (`templates.explained`),
takes the best place, then the best of what is left. At each place the drawings that
resemble the found one most get their chance too: if one explains more, that is what is
there. It cannot know what it was not asked about, and it expects the artists' own
lines: a fair fox that no artist drew is beyond it.

The thresholds below were chosen on real scenes of one seed at 32, 64 and 128 px, with
tests/benchmarks/matcher.py, which prints what is above and below them. Between "found"
and "not there" a wide band is left open: a witness should contradict on good grounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mmlearn.evaluate.detector import to_sight
from mmlearn.evaluate.detector_decode import SIGHT
from mmlearn.evaluate.reading import Found, Reading
from mmlearn.evaluate.sign_reader import read_sign
from mmlearn.evaluate.templates import (
    explained,
    looks_of,
    prepared,
    rivals,
    template,
)
from mmlearn.world.backgrounds import BACKGROUNDS, VARIANTS, background
from mmlearn.world.scene import SIGN, Scene

SIDES = tuple(range(14, 62, 2))  # pixels of 64, as the layout draws them
BOARDS = tuple(range(46, 62, 2))
MOST = 6  # one more than a scene holds, to notice one too many

# R²: found from the first on, and below the second not worth a doubt. A sign's board
# is drawn last and least alike at 32 px, and resembled by nothing else.
LEVELS = {"thing": (0.8, 0.5), SIGN: (0.4, 0.28)}
APART = 0.25  # boxes of two things overlap less than this (IoU)
MARGIN = 0.05  # of R² between the best and the second best, to be sure of it
NEAR = 0.1  # of a colour's range: as near as a pixel is to its background
SEEN, CLEARLY = 0.2, 0.1  # of the picture: its background's share, and its lead


@dataclass(frozen=True)
class Match:
    """A drawing found somewhere; box: left, top, right, bottom in pixels of 64."""

    noun: str
    box: tuple[int, int, int, int]
    score: float
    looks: dict  # R² by (artist, colour) at this place


@torch.no_grad()
def match(images: Tensor, records: Sequence[Scene]) -> list[Reading]:
    """Readings of pictures (n, 3, h, w) in [-1, 1] of what their records ask for.

    Raises ValueError unless there is one record a picture.
    """
    if len(images) != len(records):
        raise ValueError(
            f"{len(records)} records cannot judge {len(images)} pictures: give one each"
        )
    seen = to_sight(images).cpu()
    ready = prepared(seen)
    readings = []
    for i, record in enumerate(records):
        nouns = tuple(dict.fromkeys(item.noun for item in record.items))
        place, sure, behind = read_background(seen[i])
        view = View(ready[i], behind, min(SIGHT, images.shape[-1]))
        found = [_reading_of(one, view, images[i]) for one in search(view, nouns)]
        readings.append(Reading(tuple(found), place, sure))
    return readings


@dataclass(frozen=True)
class View:
    """A picture and its background, `prepared`; ``native``: its side before, up to 64.

    behind is None where no background was recognised.
    """

    picture: Tensor
    behind: Tensor | None
    native: int = SIGHT

    def score(self, looks: Sequence[tuple], width: int, height: int) -> Tensor:
        """R² of (noun, artist, colour), of one size, everywhere: (k, rows, columns)."""
        kinds = [template(*look, width, height, self.native) for look in looks]
        return explained(self.picture, kinds, self.behind)


def search(view: View, nouns: Sequence[str], least: float | None = None) -> list[Match]:
    """Where nouns are in a picture, best first; at most `MOST` places.

    least: the R² of a place worth a doubt; that of `levels` if None.
    """
    fields = []  # (R² of the best look at each place, R² of all looks, size, noun)
    for noun in nouns:
        for width, height in _sizes(noun):
            looks = [(noun, *look) for look in looks_of(noun)]
            score = view.score(looks, width, height)
            fields.append((score.amax(dim=0), score, width, height, noun))
    found: list[Match] = []
    while fields and len(found) < MOST:
        best = max(fields, key=lambda field: float(field[0].max()))
        place = int(best[0].argmax())
        top, left = divmod(place, best[0].shape[1])
        score, width, height, noun = float(best[0].max()), *best[2:]
        if score < (levels(noun)[1] if least is None else least):
            # Another noun may be content with less.
            fields = [field for field in fields if field[4] != noun]
            continue
        box = (left, top, left + width, top + height)
        looks = dict(zip(looks_of(noun), best[1][:, top, left].tolist(), strict=True))
        found.append(Match(noun, box, score, looks))
        for field in fields:
            _clear(field[0], field[2], field[3], box)
    return found


def _sizes(noun: str) -> list[tuple[int, int]]:
    if noun != SIGN:
        return [(side, side) for side in SIDES]
    # Drawn at 32 px and scaled up, a board is up to two pixels taller or shorter.
    return [
        (wide, round(wide * tall / 512) + by)
        for tall in (270, 410)
        for wide in BOARDS
        for by in (-2, 0, 2)
    ]


def _clear(score: Tensor, width: int, height: int, box: tuple) -> None:
    """Take out of a field, in place, all boxes that overlap ``box`` too much."""
    y = torch.arange(score.shape[0])[:, None]
    x = torch.arange(score.shape[1])
    across = (x + width).clamp(max=box[2]) - x.clamp(min=box[0])
    down = (y + height).clamp(max=box[3]) - y.clamp(min=box[1])
    shared = across.clamp(0) * down.clamp(0)
    union = width * height + (box[2] - box[0]) * (box[3] - box[1]) - shared
    smaller = min(width * height, (box[2] - box[0]) * (box[3] - box[1]))
    score[(shared > APART * union) | (shared > 0.6 * smaller)] = -1


def _reading_of(found: Match, view: View, image: Tensor) -> Found:
    """A match in words, after its rivals were heard."""
    box = tuple(side / SIGHT for side in found.box)
    confidence = _confidence(found.noun, found.score)
    if found.noun == SIGN:
        words, sure = read_sign(image, box)
        options = {"words": words, "words_confidence": sure}
        return Found(SIGN, box, confidence=confidence, **options)
    best = max(found.looks, key=found.looks.get)
    artist, colour = best
    noun, other = _rival(found, best, view)
    if noun != found.noun:
        return Found(noun, box, artist=other[0], colour=other[1], confidence=confidence)
    looks = found.looks
    return Found(
        noun,
        box,
        colour,
        artist,
        confidence=confidence,
        colour_confidence=_lead(looks, best, 1),
        artist_confidence=_lead(looks, best, 0),
    )


def _rival(found: Match, best: tuple, view: View) -> tuple[str, tuple]:
    """The noun that explains a place best: the found one, or one that resembles it.

    Rivals may be somewhat larger or smaller, and a little to one side.
    """
    left, top, right, bottom = found.box
    middle, side = ((left + right) / 2, (top + bottom) / 2), right - left
    others = rivals(found.noun, *best)
    highest, winner = found.score, (found.noun, *best)
    for other in SIDES:
        if not 0.6 * side <= other <= 1.6 * side:
            continue
        score = view.score(others, other, other)
        x, y = (slice(*_around(at - other / 2, side, SIGHT - other)) for at in middle)
        score = score[:, y, x].amax(dim=(1, 2))
        if float(score.max()) > highest:
            highest, winner = float(score.max()), others[int(score.argmax())]
    return winner[0], winner[1:]


def _around(place: float, side: int, last: int) -> tuple[int, int]:
    """From and to where a corner lies near ``place``, within the picture."""
    reach = max(2, round(0.15 * side))
    place = min(max(0, round(place)), last)
    return max(0, place - reach), min(last, place + reach) + 1


def _lead(looks: dict, best: tuple, part: int) -> float:
    """How sure one part of a look is, by the lead over looks that differ in it."""
    others = [score for look, score in looks.items() if look[part] != best[part]]
    if not others:
        return 1.0
    return min(1.0, 0.5 + 0.5 * (looks[best] - max(others)) / MARGIN)


def levels(noun: str) -> tuple[float, float]:
    """R² from which a noun is found, and below which it is not listed."""
    return LEVELS.get(noun, LEVELS["thing"])


def _confidence(noun: str, score: float) -> float:
    """A half where a noun is found, 1 where all is explained."""
    sure, listed = levels(noun)
    if score >= sure:
        return min(1.0, 0.5 + 0.5 * (score - sure) / (1 - sure))
    return 0.5 * max(0.0, score - listed) / (sure - listed)


def read_background(image: Tensor) -> tuple[str | None, float, Tensor | None]:
    """The background that most pixels of an image (3, 64, 64) are near to.

    Its name, how sure that is, and its picture, prepared (3, 68, 68).
    """
    names, pictures = _backgrounds()
    near = (pictures - image).abs().amax(dim=1) < 2 * NEAR
    seen = near.float().mean(dim=(1, 2))
    shares: dict[str, float] = {}
    for name, share in zip(names, seen.tolist(), strict=True):
        shares[name] = max(share, shares.get(name, 0.0))
    first, second = sorted(shares, key=shares.get, reverse=True)[:2]
    if shares[first] < SEEN:
        return None, 0.0, None
    lead = (shares[first] - shares[second]) / CLEARLY
    picture = prepared(pictures[seen.argmax()][None])[0]
    return first, min(1.0, 0.25 + 0.25 * lead), picture


@lru_cache(1)
def _backgrounds() -> tuple[list[str], Tensor]:
    names, pictures = [], []
    for name in BACKGROUNDS:
        for variant in range(VARIANTS):
            packed = background(name, variant, SIGHT).view(torch.uint8)
            pixels = packed.view(SIGHT, SIGHT, 4)[..., :3].permute(2, 0, 1)
            names.append(name)
            pictures.append(pixels.float() / 127.5 - 1)
    return names, torch.stack(pictures)
