"""Real scenes, each spoilt in one known way, and what is still true of them.

    image, truth = damaged(record, "blur", seed=3)     # all as it was, only worse
    image, truth = damaged(record, "holes", seed=3)    # its last thing has holes

A degraded picture shows what it showed. Of a malformed thing its maker knows how much
is left (`mmlearn.train.malform`): nearly all of it, and it is the thing; little, and it
is "something"; what lies between has no truth, and is asked of eyes only.
"""

from dataclasses import replace

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.reading import SOMETHING, Found, Reading
from mmlearn.train.degrade import CHANGES, degrade
from mmlearn.train.malform import BROKEN, FINE, GONE, KINDS, Box
from mmlearn.world.scene import SIGN, Scene

DEGRADED = {change.__name__: change for change, _ in CHANGES}
MALFORMED = {kind.__name__: kind for kind in KINDS}
NONE, SEVERAL = "none", "several"  # the control; as in training, some at once
DAMAGES = (NONE, SEVERAL, *DEGRADED, *MALFORMED)


def can_be_malformed(scene: Scene) -> bool:
    """Whether the last thing of a scene can be: a sign cannot."""
    return scene.items[-1].noun != SIGN


def damaged(
    scene: Scene, damage: str, seed: int, px: int = 64
) -> tuple[Tensor, Reading | None]:
    """A scene's picture (3, px, px) in [-1, 1], spoilt; the perfect reading of it.

    damage: one of `DAMAGES`; how strong it is, is drawn from the seed. A malformed
    thing is the scene's last one; the reading is None where too much is left of it to
    be nothing, and too little to be itself. Raises ValueError for an unknown damage,
    and for a sign to be malformed.
    """
    if damage not in DAMAGES:
        raise ValueError(
            f"there is no damage {damage!r}; there are: {', '.join(DAMAGES)}"
        )
    generator = torch.Generator().manual_seed(seed)
    if damage in MALFORMED:
        return _malformed(scene, damage, seed, px, generator)
    image = world.draw([scene], px)
    change = degrade if damage == SEVERAL else DEGRADED.get(damage)
    if change is not None:
        image = change(image, generator).clamp(-1, 1)
    return image[0], Reading.of(scene)


def _malformed(scene: Scene, damage: str, seed: int, px: int, generator):
    if not can_be_malformed(scene):
        raise ValueError(
            "a sign cannot be malformed: choose a scene whose last item is none"
        )
    *before, last = scene.items
    other = replace(world.twin(scene, "noun", seed).items[-1], box=last.box)
    parts = [
        world.draw([scene.replace(items=(*before, *end))], px)
        for end in ((last,), (), (other,))
    ]
    box = Box(torch.tensor([last.box]), parts[0])
    image, left = MALFORMED[damage](*parts, box, generator)
    return image[0].clamp(-1, 1), _reading(scene, float(left))


def _reading(scene: Scene, left: float) -> Reading | None:
    """What is there where only a share of the last thing is left."""
    perfect = Reading.of(scene)
    if left >= FINE:
        return perfect
    if left > BROKEN:
        return None
    thing = perfect.found[-1]
    rest = (Found(SOMETHING, thing.box),) if left > GONE else ()
    return replace(perfect, found=(*perfect.found[:-1], *rest))
