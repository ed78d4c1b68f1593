"""Where things stand: boxes for every kind of scene, on a grid of 64ths.

Nothing is clipped, nothing overlaps beyond reading, and each relation is drawn so
that it can only be read one way: "above" leaves a gap, "on top of" touches.
"""

from collections.abc import Callable

from mmlearn.world.sprite_row import contact, extent

Box = tuple[float, float, float, float]
Draw = Callable[[float, float], float]  # a random number between two bounds


def box(x: float, y: float, width: float, height: float | None = None) -> Box:
    """A box centred at (x, y), all in 64ths, moved inside the picture if need be.

    Square boxes have even sides: fewer sizes, so each drawing is scaled less often.
    """
    if height is None:
        width = height = 2 * round(width / 2)
    width, height = round(width), round(height)
    left = min(max(round(x - width / 2), 1), 63 - width)
    top = min(max(round(y - height / 2), 1), 63 - height)
    return (left / 64, top / 64, (left + width) / 64, (top + height) / 64)


def single(draw: Draw) -> list[Box]:
    """One item, large, anywhere it fits."""
    side = draw(30, 46)
    room = 31 - side / 2
    return [box(32 + draw(-room, room), 32 + draw(-room, room), side)]


_SPOTS = {
    1: [((32, 32),)],
    2: [
        ((18, 32), (46, 32)),
        ((19, 20), (45, 44)),
        ((45, 20), (19, 44)),
        ((32, 17), (32, 47)),
    ],
    3: [((32, 18), (17, 45), (47, 45)), ((17, 19), (47, 19), (32, 46))],
    4: [
        ((18, 18), (46, 18), (18, 46), (46, 46)),
        ((32, 13), (13, 32), (51, 32), (32, 51)),
    ],
    5: [
        ((14, 14), (50, 14), (32, 32), (14, 50), (50, 50)),
        ((12, 20), (32, 20), (52, 20), (22, 45), (42, 45)),
    ],
}
_SIDES = {1: (30, 44), 2: (22, 26), 3: (21, 25), 4: (18, 24), 5: (16, 18)}


def scattered(number: int, draw: Draw) -> list[Box]:
    """One to five items of one size in a loose pattern."""
    patterns = _SPOTS[number]
    spots = patterns[min(int(draw(0, len(patterns))), len(patterns) - 1)]
    low, high = _SIDES[number]
    if spots[0] == (32, 13):
        high = 18  # the diamond of four leaves less room than the square
    side = draw(low, high)
    loose = max(0.0, (26 - side) / 4) if number > 1 else 4
    return [
        box(x + draw(-loose, loose), y + draw(-loose, loose), side) for x, y in spots
    ]


def row(number: int, draw: Draw) -> list[Box]:
    """Two to four items side by side at one height."""
    side = draw(*{2: (22, 26), 3: (18, 20), 4: (14, 15)}[number])
    step = min((62 - side) / (number - 1), side + 3 + draw(0, 3))
    y, start = 32 + draw(-14, 14), 32 - step * (number - 1) / 2
    return [box(start + i * step, y, side) for i in range(number)]


def related(relation: str, nouns: list[tuple], draw: Draw) -> list[Box]:
    """Two items of one size, the first in this relation to the second.

    ``nouns`` are (noun, artist) pairs; their visible extents make "on top of" touch.
    """
    if relation == "on top of":
        return stacked(nouns, draw)
    side, gap = draw(22, 26), draw(28, 31) / 2
    along, drift = draw(-2, 2), draw(-9, 9)
    wobble = draw(-3, 3)
    near, far = 32 - gap + along, 32 + gap + along
    if relation in ("right of", "below"):
        near, far = far, near
    if relation in ("left of", "right of"):
        return [box(near, 32 + drift, side), box(far, 32 + drift + wobble, side)]
    return [box(32 + drift, near, side), box(32 + drift + wobble, far, side)]


def stacked(nouns: list[tuple], draw: Draw) -> list[Box]:
    """The first standing on the second: their visible parts touch."""
    return _stack(nouns, 32 + draw(-12, 12), 2 * round(draw(12, 14)))


def restacked(items: tuple) -> list[Box]:
    """The same two items with the other one on top: side and column are kept."""
    left, _, right, _ = items[0].box
    nouns = [(item.noun, item.artist) for item in items]
    return _stack(nouns, (left + right) * 32, round((right - left) * 64))


def _stack(nouns: list[tuple], x: float, side: int) -> list[Box]:
    upper, lower = (extent(*noun) for noun in nouns)
    tall = ((upper[3] - upper[1]) + (lower[3] - lower[1])) * side
    top = 32 - tall / 2 - upper[1] * side
    # One 64th of overlap, so that no background shines through at any size.
    under = top + (upper[3] - lower[1]) * side - 1
    # What the upper one stands on comes to lie over what the lower one offers.
    (foot, _), (_, head) = (contact(*noun) for noun in nouns)
    shift = (head - foot) * side / 2
    half = side / 2
    return [box(x + shift, top + half, side), box(x - shift, under + half, side)]


def unlike(draw: Draw) -> list[Box]:
    """A big item and a small one, side by side or across a corner."""
    big, small = draw(33, 36), draw(15, 18)
    mirror = -1 if draw(0, 1) < 0.5 else 1
    y = 32 + draw(-10, 10)
    return [
        box(32 - mirror * 13, y, big),
        box(32 + mirror * draw(19, 22), min(max(y + draw(-12, 12), 10), 54), small),
    ]


def beside(draw: Draw) -> list[Box]:
    """Two items near each other, in no order that a caption names."""
    side = draw(22, 26)
    if draw(0, 1) < 0.5:
        x, y, wobble = 15 + draw(0, 3), 32 + draw(-12, 12), draw(-3, 3)
        spots = [(x, y), (64 - x, y + wobble)]
    else:
        x, y = 18 + draw(-3, 3), 18 + draw(-3, 3)
        spots = (
            [(x, y), (64 - x, 64 - y)]
            if draw(0, 1) < 0.5
            else [(64 - x, y), (x, 64 - y)]
        )
    return [box(*spot, side) for spot in spots]


def signposted(lines: int, with_item: bool, draw: Draw) -> list[Box]:
    """A sign at the top, and below it an item where there is one."""
    width = round(draw(50, 58))
    height = round(width * (270 if lines == 1 else 410) / 512)
    if not with_item:
        return [box(32 + draw(-3, 3), 32 + draw(-12, 12), width, height)]
    x = 32 + draw(-2, 2)
    side = min(60 - height, 2 * round(draw(12, 15)))
    sign = box(x, 2 + height / 2, width, height)
    return [sign, box(x + draw(-12, 12), 2 + height + (61 - height) / 2, side)]
