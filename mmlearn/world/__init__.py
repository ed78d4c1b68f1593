"""The world: artwork by several artists, and scenes whose every fact is known.

batch = mm.world.scenes(64, seed=0, size=64)     # .images .captions .records
mm.world.draw(batch.records, size=256)           # the same scenes, larger
mm.world.twin(batch.records[0], "colour")        # one fact changed
mm.world.drawings(32, concepts=["fox", "bus"…])  # single drawings, all different
mm.world.folder("my_pictures")                   # a reader's own
"""

from mmlearn.world import artwork
from mmlearn.world.artwork import (
    ARTISTS,
    FAR_ARTISTS,
    NEAR_ARTIST,
    STYLES,
    TRAIN_ARTISTS,
    concepts,
    credit,
    everyday,
    find,
    sprites,
)
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.batches import Batch, different_scenes, drawings, scenes
from mmlearn.world.by_hand import arrange
from mmlearn.world.grammar import Grammar, compose
from mmlearn.world.own_pictures import folder
from mmlearn.world.pairs import FACTS, facts, twin
from mmlearn.world.phrases import caption, captions
from mmlearn.world.render import draw
from mmlearn.world.scene import COLOURS, KINDS, RELATIONS, SHAPES, Item, Scene
from mmlearn.world.splits import SPLITS, held_out
from mmlearn.world.words import WorldError

__all__ = [
    "ARTISTS",
    "BACKGROUNDS",
    "COLOURS",
    "FACTS",
    "FAR_ARTISTS",
    "KINDS",
    "NEAR_ARTIST",
    "RELATIONS",
    "SHAPES",
    "SPLITS",
    "STYLES",
    "TRAIN_ARTISTS",
    "Batch",
    "Grammar",
    "Item",
    "Scene",
    "WorldError",
    "arrange",
    "artwork",
    "caption",
    "captions",
    "compose",
    "concepts",
    "credit",
    "different_scenes",
    "draw",
    "drawings",
    "everyday",
    "facts",
    "find",
    "folder",
    "held_out",
    "scenes",
    "sprites",
    "twin",
]
