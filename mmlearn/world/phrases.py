"""What a caption says of a scene, in several phrasings.

Every phrasing of one scene states the same facts. Whether the background and the
style are named is the scene's own choice (``scene.says``), so that captions are
sometimes short, as people's are.
"""

from mmlearn.world import artwork
from mmlearn.world.scene import SHAPES, SIGN, Item, Scene
from mmlearn.world.words import article

NUMBERS = ("no", "one", "two", "three", "four", "five")

PLACES = {
    "white": ("on a white background", "against a white background"),
    "grey": ("on a grey background", "against a grey background"),
    "light blue": ("on a light blue background", "against a light blue background"),
    "lavender": ("on a lavender background", "against a lavender background"),
    "striped": ("on a striped background", "on a background of stripes"),
    "dotted": ("on a dotted background", "on a background of dots"),
    "tiled": ("on a tiled floor", "on a floor of tiles"),
    "meadow": ("in a meadow", "in the meadow"),
    "beach": ("on the beach", "on a beach"),
    "sea": ("at sea", "out at sea"),
    "night": ("at night", "on a starry night"),
    "snow": ("in the snow", "on a snowy day"),
}
_RELATIONS = {
    "left of": (
        "{a} to the left of {b}",
        "{a} on the left and {b} on the right",
    ),
    "right of": (
        "{a} to the right of {b}",
        "{b} on the left and {a} on the right",
    ),
    "above": ("{a} above {b}", "{a} over {b}", "{a} at the top and {b} at the bottom"),
    "below": ("{a} below {b}", "{a} under {b}", "{b} at the top and {a} at the bottom"),
    "on top of": ("{a} on top of {b}", "{b} with {a} on top"),
}
# How captions say who stands where, and whether beside each name or between both.
PLACING = {
    "on the left and": "beside",
    "at the top and": "beside",
    "to the left of": "between",
    "to the right of": "between",
    "above": "between",
    "over": "between",
    "below": "between",
    "under": "between",
}


def name_of(item: Item, plural: bool = False) -> str:
    """What an item is called, its colour first: "red cube", "green dogs"."""
    if plural and item.noun not in SHAPES:
        noun = artwork.concepts()[item.noun].plural or item.noun
    else:
        noun = item.noun + ("s" if plural else "")
    return f"{item.colour} {noun}" if item.colour else noun


def _a(item: Item) -> str:
    if item.noun == SIGN:
        return f'a sign that says "{item.words}"'
    return article(name_of(item))


def _phrasings(scene: Scene) -> list[str]:
    first, *others = scene.items
    if scene.kind == "single":
        return [_a(first)]
    if scene.kind == "count":
        many = f"{NUMBERS[scene.count]} {name_of(first, plural=scene.count > 1)}"
        return [many]
    if scene.kind == "row":
        many = f"{NUMBERS[scene.count]} {name_of(first, plural=True)}"
        return [f"{many} in a row", f"a row of {many}"]
    if scene.kind == "relation":
        a, b = _a(first), _a(others[0])
        return [pattern.format(a=a, b=b) for pattern in _RELATIONS[scene.relation]]
    if scene.kind == "sizes":
        named = [f"a {item.size} {name_of(item)}" for item in scene.items]
        other = [
            name.replace("a big", "a large").replace("a small", "a little")
            for name in named
        ]
        return [
            f"{named[0]} and {named[1]}",
            f"{named[1]} next to {named[0]}",
            " and ".join(other),
        ]
    if scene.kind == "pair":
        a, b = _a(first), _a(others[0])
        return [f"{a} and {b}", f"{b} and {a}"]
    says = f'"{first.words}"'
    word = "words" if " " in first.words else "word"
    signs = [
        f"a sign that says {says}",
        f"a sign saying {says}",
        f"a sign with the {word} {says}",
    ]
    return [f"{_a(others[0])} under {sign}" for sign in signs] if others else signs


def captions(scene: Scene) -> list[str]:
    """Every phrasing of a scene's caption, without doubles."""
    style = artwork.STYLES.get(scene.artist) if "style" in scene.says else None
    frames = (
        ["{}", "a picture of {}"] if style is None else [f"{article(style)} of {{}}"]
    )
    if style is None and scene.kind == "single":
        frames.append("there is {}")
    places = PLACES[scene.background] if "background" in scene.says else ("",)
    found = [
        f"{frame.format(phrase)} {place}".rstrip()
        for frame in frames
        for phrase in _phrasings(scene)
        for place in places
    ]
    return list(dict.fromkeys(found))


def caption(scene: Scene) -> str:
    """The phrasing that the scene chose for itself."""
    found = captions(scene)
    return found[min(int(scene.phrasing * len(found)), len(found) - 1)]


def saying(scene: Scene, phrase: str) -> list[str]:
    """Those of a scene's captions in which a phrase of `PLACING` stands."""
    return [text for text in captions(scene) if f" {phrase} " in text]
