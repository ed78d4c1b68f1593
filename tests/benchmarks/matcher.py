"""Where the matcher's thresholds come from: R² of what is there, and of what is not.

python tests/benchmarks/matcher.py [scenes]

Real scenes of one seed, half of them with held-out combinations. "there": the best R²
within two pixels of each thing's true place. "absent": the best R² anywhere of the
nouns of another scene that this one does not hold. "signs": how many are read right.
"""

import sys

import torch

from mmlearn import world
from mmlearn.evaluate.detector_decode import SIGHT
from mmlearn.evaluate.matcher import View, levels, read_background, search, to_sight
from mmlearn.evaluate.sign_reader import read_sign
from mmlearn.evaluate.templates import prepared
from mmlearn.world.scene import SHAPES, SIGN

SEED = 50_000_000  # of no training and of no evaluation
SIZES = (32, 64, 128)


def group(noun: str) -> str:
    return "sign" if noun == SIGN else "shape" if noun in SHAPES else "thing"


def near(match, box, by: int = 2) -> bool:
    pairs = zip(match.box, box, strict=True)
    return all(abs(a - SIGHT * b) <= by for a, b in pairs)


def measure(n: int, size: int) -> None:
    records = [
        world.compose(world.Grammar(split=("train", "held_out")[i % 2]), SEED, i)
        for i in range(n)
    ]
    images = world.draw(records, size)
    seen, places = to_sight(images), 0
    there, absent, read = {}, {}, []
    for i, record in enumerate(records):
        name, sure, behind = read_background(seen[i])
        places += name == record.background and sure >= 0.5
        own = dict.fromkeys(item.noun for item in record.items)
        others = dict.fromkeys(item.noun for item in records[i - 1].items)
        others = [noun for noun in others if noun not in own]
        view = View(prepared(seen[i : i + 1])[0], behind, min(size, SIGHT))
        found = search(view, list(own), least=0)
        for item in record.items:
            right = [
                m.score for m in found if m.noun == item.noun and near(m, item.box)
            ]
            there.setdefault(group(item.noun), []).append(max(right, default=0.0))
            if item.noun == SIGN:
                read.append(read_sign(images[i], item.box)[0] == item.words)
        if others:
            found = search(view, others, least=-9)
            for noun in others:
                best = max((m.score for m in found if m.noun == noun), default=0.0)
                absent.setdefault(group(noun), []).append(best)
    print(
        f"{size} px: backgrounds read {places} of {n}; signs {sum(read)} of {len(read)}"
    )
    for title, scores in (("there", there), ("absent", absent)):
        for name, values in sorted(scores.items()):
            values = torch.tensor(values)
            sure, listed = levels(name)
            low, middle, high = values.quantile(
                torch.tensor([0.02, 0.5, 0.98])
            ).tolist()
            print(
                f"  {title:6} {name:5} {len(values):4}: 2 % below {low:.2f}, "
                f"half {middle:.2f}, 2 % above {high:.2f}; "
                f"{(values >= sure).float().mean():.1%} found, "
                f"{(values < listed).float().mean():.1%} not listed"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    for size in SIZES:
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200, size)
