"""Stand-ins for networks, models and the judge, for the exercises of 02_glide.

They are quick and sure. What each picture of the last exercise shows is set down
beforehand, so that each wrong way of counting gives a number of its own.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import mmlearn as mm
from mmlearn.evaluate import Verdict
from mmlearn.world.scene import Scene

Answer = bool | None
# Two things, and whether the picture of each prompt shows the order that it asks for.
SHOWN: dict[tuple[str, str], tuple[Answer, Answer]] = {
    ("cat", "bus"): (True, True),
    ("dog", "tree"): (True, False),
    ("fish", "house"): (False, False),
    ("red star", "blue heart"): (True, None),
    ("apple", "green cube"): (True, True),
    ("pig", "cactus"): (False, True),
    ("car", "penguin"): (True, True),
    ("frog", "mushroom"): (False, False),
    ("whale", "rocket"): (True, False),
    ("banana", "umbrella"): (True, False),
    ("carrot", "sailboat"): (None, None),
}
# These pictures show the order, but not the background that the caption names.
ELSEWHERE = (("cat", "bus"), ("penguin", "car"))


def network_that_counts(
    calls: list, *whose: Tensor
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """As a U-Net with a learned variance; it notes in calls how many rows it was given.

    What it says of a row depends on that row alone. whose: pictures, their times and
    captions, n rows each. AssertionError for rows unlike in number, and for a row with
    one's picture and another one's time or caption; an empty caption is everybody's.
    """

    def network(x: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        rows = len(x), len(t), len(tokens)
        calls.append(rows)
        if len(set(rows)) > 1:
            raise AssertionError(
                "the network was given {} pictures, {} times and {} captions; it needs "
                "as many of each".format(*rows)
            )
        if hint := mixed_rows((x, t, tokens), whose):
            raise AssertionError(hint)
        heard = torch.cat([tokens, t[:, None]], dim=1).float().cumsum(1).sin().sum(1)
        told = heard[:, None, None, None] + torch.arange(6.0)[:, None, None]
        return (torch.cat([x, x * x], dim=1) + told).sin()

    return network


def mixed_rows(mine: Sequence[Tensor], whose: Sequence[Tensor]) -> str | None:
    """The first row of mine whose picture, time and caption are not of one owner."""
    if any(a.shape[1:] != b.shape[1:] for a, b in zip(mine, whose, strict=True)):
        return None
    # (rows, owners) each, True where they are the same.
    x, t, tokens = (
        (a.reshape(len(a), 1, -1) == b.reshape(len(b), -1)).all(dim=2)
        for a, b in zip(mine, whose, strict=True)
    )
    tokens |= (mine[2] < 0).all(dim=1, keepdim=True)
    for row in range(len(x)):
        for what, other in (("time", t[row]), ("caption", tokens[row])):
            if x[row].any() and other.any() and not (x[row] & other).any():
                i, j = x[row].int().argmax(), other.int().argmax()
                return (
                    f"row {row} of your batch has picture {i} and the {what} of "
                    f"picture {j}: rows of x, t and tokens no longer belong together; "
                    "put all three together in one way"
                )
    return None


def opinion(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """As CLIP's of pictures (n, 3, h, w): a similarity (n,), each from one alone."""
    return lambda x: (0.2 * x * weight).flatten(1).sum(dim=1).sin()


def slope(similarity: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of each picture's similarity at x (n, 3, h, w), of that shape."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(similarity(x).sum(), x)[0]


class Studio:
    """draw and judge as in the exercise, and what they were asked for.

    A picture is a number: which of the records it was drawn for.
    """

    def __init__(self):
        self.pairs = list(SHOWN)
        self.asked: list[Scene] = []

    def draw(self, records: Sequence[Scene]) -> Tensor:
        """Pictures (n, 3, 4, 4), one for each record."""
        if not isinstance(records, list | tuple) or not records:
            raise AssertionError("draw takes a list of records, one for each picture")
        if strange := [r for r in records if not isinstance(r, Scene)]:
            raise AssertionError(
                f"draw takes records, which mm.world.arrange makes, not {strange[0]!r}"
            )
        start = len(self.asked)
        self.asked += records
        numbers = torch.arange(start, start + len(records), dtype=torch.float32)
        return numbers[:, None, None, None].expand(-1, 3, 4, 4).clone()

    def judge(self, images: Tensor, records: Sequence[Scene]) -> list[Verdict]:
        """A verdict for each picture; AssertionError if it is another record's."""
        if len(images) != len(records):
            raise AssertionError(
                f"{len(records)} records cannot judge {len(images)} pictures"
            )
        for number, record in zip(
            images[:, 0, 0, 0].int().tolist(), records, strict=True
        ):
            if number >= len(self.asked) or self.asked[number] != record:
                raise AssertionError(
                    "a picture was judged by the record of another one: draw and judge "
                    "the same list, in one order"
                )
        return [verdict(record) for record in records]

    def ask(self, answer: Callable) -> float:
        """The share that a learner's experiment finds.

        Raises AssertionError, with a hint, for wrong prompts and for what is no share.
        """
        hint = "None, for 'cannot tell', is no number: ask for `is True`"
        try:
            mine = answer(self.draw, self.judge, list(self.pairs))
        except TypeError as error:
            if "NoneType" not in str(error):
                raise
        else:
            one = isinstance(mine, float | int) or getattr(mine, "shape", None) == ()
            hint = None if one else f"return one share for all pairs, not {mine!r}"
        if hint := self.wrong_prompts() or hint:
            raise AssertionError(hint)
        return float(mine)

    def wrong_prompts(self) -> str | None:
        """What is wrong with the prompts that were drawn, if anything is."""
        if not self.asked:
            return "no picture was drawn: make records, draw them, judge the pictures"
        asked = [(names(record), record.relation) for record in self.asked]
        relations = {relation for _, relation in asked}
        if None in relations:
            return "a prompt without a relation asks for no order: relation='left of'"
        if len(relations) > 1:
            said = " and ".join(sorted(relations))
            return (
                f"your prompts say {said}: with another word nobody need hear the "
                "order; keep one word, and exchange the things"
            )
        for first, second in self.pairs:
            for order in ((first, second), (second, first)):
                times = sum(found == order for found, _ in asked)
                if times != 1:
                    text = f"{order[0]} {asked[0][1]} {order[1]}"
                    return f"{text!r} was drawn {times} times; each order once, please"
        if relations != {"left of"}:
            return f"the question was about left of, not {relations.pop()}"
        return None

    def share(self) -> float:
        """The right answer."""
        return sum(pair == (True, True) for pair in SHOWN.values()) / len(SHOWN)

    def mistakes(self) -> dict[str, float]:
        """Hints, and the number that each mistake leads to."""
        pairs, n = list(SHOWN.values()), len(SHOWN)
        every = [answer for pair in pairs for answer in pair]
        known = [pair for pair in pairs if None not in pair]
        both = pairs.count((True, True))
        whole = sum(
            all(verdict(mm.world.arrange(*p, relation="left of")).whole for p in order)
            for order in ((pair, pair[::-1]) for pair in SHOWN)
        )
        return {
            "that is the share of *pictures*; a deaf model has half of those, so count "
            "the pairs of which both are right": sum(a is True for a in every) / 2 / n,
            "you left out pairs on which the judge is unsure; unsure is not right, and "
            "all pairs count": both / len(known),
            "you counted None for right: the judge could not tell": (
                sum(a is not False and b is not False for a, b in pairs) / n
            ),
            "a pair whose pictures are both *wrong* has equal answers too": (
                sum(a == b for a, b in pairs) / n
            ),
            "a pair counts if *both* pictures are right, not one of them": (
                sum(a is True or b is True for a, b in pairs) / n
            ),
            "the background had a say, through whole: ask about the relation alone": (
                whole / n
            ),
            "that is the number of pairs; divide by how many there are": float(both),
            "both pictures of a pair are one hit, not two": 2 * both / n,
            "there are as many hits as pairs, not as pictures: divide by those": (
                both / 2 / n
            ),
        }


def names(record: Scene) -> tuple[str, ...]:
    """The things of a record, as `arrange` was told them."""
    return tuple(
        f"{item.colour} {item.noun}" if item.colour else item.noun
        for item in record.items
    )


def verdict(record: Scene) -> Verdict:
    """What was set down beforehand about this record's picture."""
    order = names(record)
    shown = SHOWN.get(order, (False,))[0] if order in SHOWN else None
    if order[::-1] in SHOWN:
        shown = SHOWN[order[::-1]][1]
    claims = tuple(mm.evaluate.clauses(record))
    answers = {"relation": shown, "background": order not in ELSEWHERE}
    told = tuple(answers.get(claim.category, True) for claim in claims)
    return Verdict(order, claims, told, True)
