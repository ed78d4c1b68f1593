"""What `mmlearn evaluate clip` measures: CLIP's claims, by name."""

from mmlearn import weights
from mmlearn.clip import CLIP
from mmlearn.evaluate import clip, clip_aims, clip_controls
from mmlearn.train.recipes.clip import unread

OF_A_CHECKPOINT = {
    "aims": clip_aims.aims,
    "naming": clip.naming,
    "templates": clip.templates,
    "retrieval": clip.retrieval,
    "pairs": clip.pairs,
    "ascent": clip_controls.ascent,
}
TRAINED_ANEW = {
    "towers": clip_controls.towers,
    "robustness": clip_controls.robustness,
    "breaks": clip_controls.breaks,
}
FURTHER = {
    "naming": lambda size, seeds: {"unread": unread()},
    "ascent": lambda size, seeds: {"size": size, "seed": seeds[0]},
}
CLAIMS = (*OF_A_CHECKPOINT, *TRAINED_ANEW)


def measure(name: str, size: str, source: str | None, seeds: list[int]) -> dict:
    """One claim's rows and what belongs beside them, for `save_result`."""
    function = OF_A_CHECKPOINT.get(name) or TRAINED_ANEW[name]
    about = function.__doc__.strip().splitlines()[0]
    if name in TRAINED_ANEW:
        return {"rows": function(size, seeds), "about": about, "seeds": seeds}
    directory = weights.find(source or size, "clip")
    further = FURTHER[name](size, seeds) if name in FURTHER else {}
    rows = function(CLIP.from_pretrained(directory), **further)
    if name == "aims":
        clip_aims.write_into_card(directory, rows)
    found = {"rows": rows, "about": about, "seeds": [clip.SEED]}
    return found | {"checkpoints": {directory.name: directory}}
