"""The judge: a program that knows whether a picture is the right picture.

    judge = load_judge("laptop")
    readings = judge.read(images)                    # what the detector sees
    verdicts = judge(images, records)                # what it says of every clause
    verdicts = mm.evaluate.judge(images, records)    # the same in one call

Two readers look at each picture. The detector, which was trained, gives the verdict on
every clause; the matcher, which learned nothing, must not contradict it: where one says
yes and the other no, the judge abstains, and each such clause is counted. Where the
matcher is unsure, as it is of a drawing that is nobody's own, the detector's word
stands.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from mmlearn.evaluate.detector import Detector
from mmlearn.evaluate.judged import Verdict, judge_readings
from mmlearn.evaluate.matcher import match
from mmlearn.evaluate.reading import Reading, read_all
from mmlearn.evaluate.sign_reader import read_signs
from mmlearn.world.scene import Scene


@dataclass(frozen=True)
class Judge:
    """A trained detector and the matcher."""

    detector: Detector

    def read(self, images: Tensor) -> list[Reading]:
        """The detector's readings of pictures (n, 3, h, w) in [-1, 1].

        Of 16 px and more; what signs say is read by `sign_reader`. Raises ValueError
        for pictures of another shape, range or size.
        """
        return read_all(self._read, images)

    def _read(self, images: Tensor) -> list[Reading]:
        if min(images.shape[-2:]) < 16 or images.shape[-1] != images.shape[-2]:
            raise ValueError(
                "the judge reads square pictures of 16 px and more, "
                f"not {images.shape[-2]} x {images.shape[-1]}"
            )
        images = images.detach().clamp(-1, 1)
        readings = self.detector.read(images)
        return [read_signs(r, i) for r, i in zip(readings, images.cpu(), strict=True)]

    def __call__(
        self, images: Tensor, records: Sequence[Scene], *args, **options
    ) -> list[Verdict]:
        """A verdict for each picture (n, 3, h, w) in [-1, 1], by its record's clauses.

        prompts, certain: as in `judge_readings`. Raises ValueError for pictures that
        cannot be read, and unless there is one record a picture.
        """
        both = self.witnesses(images, records, *args, **options)
        return [agreed(*pair) for pair in zip(*both, strict=True)]

    def witnesses(
        self,
        images: Tensor,
        records: Sequence[Scene],
        prompts: Sequence[Hashable] | None = None,
        *,
        certain: float = 0.5,
    ) -> tuple[list[Verdict], list[Verdict]]:
        """What the detector says, and what the matcher does, before they are joined."""
        if len(images) != len(records):
            raise ValueError(
                f"{len(records)} records cannot judge {len(images)} pictures: "
                "give one each"
            )
        for record in records:
            if not isinstance(record, Scene):
                raise ValueError(
                    "pictures are judged by the records of scenes (batch.records), "
                    f"not by a {type(record).__name__}"
                )
        readings = self.read(images)
        others = match(images.detach().clamp(-1, 1), records)
        first, second = (
            judge_readings(records, r, prompts, certain) for r in (readings, others)
        )
        return first, second


def agreed(first: Verdict, second: Verdict) -> Verdict:
    """The first reader's verdict, open wherever the second contradicts it.

    On what else is in the picture the second has no say: it knows only what it was
    asked about.
    """
    answers = tuple(
        None if _contradict(a, b) else a
        for a, b in zip(first.answers, second.answers, strict=True)
    )
    return replace(first, answers=answers)


def disagreements(first: Sequence[Verdict], second: Sequence[Verdict]) -> dict:
    """How many clauses of each category two readers contradict each other on, and of
    how many: {category: (k, n)}."""
    counts: dict[str, tuple[int, int]] = {}
    for one, other in zip(first, second, strict=True):
        for clause, a, b in zip(one.clauses, one.answers, other.answers, strict=True):
            k, n = counts.get(clause.category, (0, 0))
            counts[clause.category] = (k + _contradict(a, b), n + 1)
    return counts


def _contradict(a: bool | None, b: bool | None) -> bool:
    return None not in (a, b) and a != b


def load_judge(name: str | Path = "laptop", *, device: str = "cpu") -> Judge:
    """The shipped judge of a size, or one saved in a directory.

    Raises WeightsError where there is none, naming those that there are.
    """
    return Judge(Detector.from_pretrained(name, device=device))


@lru_cache(2)
def _loaded(name: str | Path, device: str) -> Judge:
    return load_judge(name, device=device)


def judge(
    images: Tensor,
    records: Sequence[Scene],
    prompts: Sequence[Hashable] | None = None,
    *,
    name: str | Path = "laptop",
    device: str = "cpu",
    **options,
) -> list[Verdict]:
    """What the judge ``name`` says of pictures; see `Judge.__call__`."""
    return _loaded(name, device)(images, records, prompts, **options)


def read(images: Tensor, *, name: str | Path = "laptop") -> list[Reading]:
    """What the judge's detector sees in pictures; see `Judge.read`."""
    return _loaded(name, "cpu").read(images)
