"""What our GLIDE is taught to draw: a part of the world, small enough for a CPU.

    world.scenes(64, seed=0, size=32, grammar=GRAMMAR)

Twenty-one nouns by three artists, seven shapes (cubes among them) in eight colours,
and eight backgrounds; one thing, two with or without a relation, or up to four of one.
"""

from functools import lru_cache

from mmlearn import world
from mmlearn.text.bpe import split_words
from mmlearn.world.phrases import captions

NOUNS = (
    *("cat", "dog", "pig", "frog", "penguin", "fish", "butterfly", "ladybug", "tree"),
    *("pine tree", "cactus", "mushroom", "apple", "banana", "strawberry", "carrot"),
    *("house", "bus", "car", "rocket", "umbrella"),
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
PLACES = (
    *("white", "grey", "light blue", "lavender"),
    *("meadow", "beach", "night", "snow"),
)
GRAMMAR = world.Grammar(
    things=NOUNS,
    colours=COLOURS,
    backgrounds=PLACES,
    kinds=("single", "pair", "relation", "count"),
    relations=("left of", "right of", "above", "below"),
    counts=(1, 2, 3, 4),
    tinted=0.0,
)


@lru_cache(1)
def vocabulary() -> tuple[str, ...]:
    """The words of `GRAMMAR`'s captions, in alphabetical order.

    Gathered from 4,000 scenes of training in all their phrasings, which say each word
    many times.
    """
    said = (
        sentence
        for index in range(4_000)
        for sentence in captions(world.compose(GRAMMAR, 0, index))
    )
    return tuple(sorted({word for text in said for word in split_words(text)}))
