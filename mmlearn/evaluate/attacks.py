"""The attacks on the judge: pictures on which it may say what no person would.

Two kinds. A wrong yes: one clause of the record is not true of the picture, as a
person sees it, but the judge may say it is. A wrong no: the clause is true to a person,
but the judge may deny it. Each attack names the category of the clause it is about; the
first clause of that category is the one asked.

What a person answers follows from how the pictures are made; no raters were asked. Six
to eight pictures of every attack were looked at, and where a person could well answer
otherwise, the attack was made stronger or left out.

    for attack in ATTACKS:
        images, records = attack.pictures(n, seed, detector, steps)

How often each succeeds is measured by `attack_bench`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mmlearn.evaluate import attack_gradients as gradient
from mmlearn.evaluate import attack_places as place
from mmlearn.evaluate import attack_scenes as scene
from mmlearn.evaluate import attack_shapes as shape
from mmlearn.evaluate import attack_things as thing
from mmlearn.evaluate.attack_drawing import Case, changed
from mmlearn.evaluate.clauses import NOTHING_ELSE
from mmlearn.evaluate.detector import Detector


@dataclass(frozen=True)
class Attack:
    """One way to fool the judge.

    category: of the clause that is asked. person: what a person answers to it. make:
    (n, seed) to pictures and records, or (detector, n, seed, steps) if ``by_gradient``.
    """

    name: str
    category: str
    person: bool
    make: Callable[..., Case]
    by_gradient: bool = False

    @property
    def sees(self) -> str:
        """What a person sees in its pictures, in a sentence."""
        return SEES[self.name]

    def pictures(
        self, n: int, seed: int, detector: Detector | None = None, steps: int = 10
    ) -> Case:
        """``n`` pictures (n, 3, 64, 64) in [-1, 1] and the records asked of them.

        A pure function of (n, seed), for an attack by gradient also of the detector
        and the number of steps. Raises ValueError for such an attack without detector.
        """
        if not self.by_gradient:
            return self.make(n, seed)
        if detector is None:
            raise ValueError(
                f"{self.name!r} climbs a detector's gradient: give it a detector"
            )
        return self.make(detector, n, seed, steps)


TILTED = {"things": (), "shapes": ("square", "star", "heart", "triangle")}

# Category, name, pictures. A person says no:
WRONG_YES = {
    "existence": {
        "a third of a thing": changed(thing.a_third),
        "left and right": changed(thing.chimera),
        "head and foot": changed(thing.head_to_foot),
        "a puzzle": changed(thing.puzzle),
        "hardly there": changed(thing.faint(0.02)),
        "blurred away": thing.blurred,
        "its lookalike": thing.lookalike,
        "its name on a sign": place.labelled,
        "half a shape": shape.half_shape,
        "stretched shapes": shape.stretched,
        "a hexagon for a cube": shape.instead("cube", "hexagon"),
        "a hexagon for a circle": shape.instead("circle", "hexagon"),
        "a pentagon for a star": shape.instead("star", "pentagon"),
        "a trapezoid for a triangle": shape.instead("triangle", "trapezoid"),
        "a top for a heart": shape.instead("heart", "top"),
        "a leaning square": shape.instead("square", "leaning"),
    },
    "count": {
        "one more, tiny": scene.one_more(9),
        "one more, at the edge": scene.one_more(20, 0.6),
        "nine for four or five": scene.nine,
    },
    "colour": {
        "no colour of the world": shape.between_colours,
        "half and half": shape.in_parts(2),
        "three stripes": shape.in_parts(3),
        "checks": shape.checked,
    },
    "binding": {"both colours on both": shape.two_toned},
    "relation": {
        "hovering": scene.hovering,
        "boxes that touch": scene.by_the_box,
    },
    "style": {
        "a silhouette as a 3D render": thing.as_style("fluent_3d", thing.silhouette),
        "lines as a 3D render": thing.as_style("fluent_3d", None, "openmoji_line"),
    },
    "background": {"two places": place.two_places},
    "words": {
        "two letters wrong": place.misspelt(place.two_letters),
        "a digit for a letter": place.misspelt(place.a_digit),
        "backwards": place.misspelt(place.backwards),
    },
    NOTHING_ELSE: {
        "two tiny things more": scene.with_corner(scene.tiny, 2, 2),
        "peeking in": scene.with_corner(scene.peeking, -17),
        "half hidden": scene.half_hidden,
        "a thing without a word": scene.with_corner(scene.unnamed),
        "letters": scene.with_corner(scene.letters),
        "a scrawl": scene.scrawled,
    },
}
# A person says no, and the detector's own gradient helps to say yes:
BY_GRADIENT = {
    "existence": {
        "renamed by 2/255": gradient.renamed(2),
        "renamed by 4/255": gradient.renamed(4),
        "renamed by 8/255": gradient.renamed(8),
        "completed by 8/255": gradient.completed(8),
        "noise that climbed": gradient.from_noise,
        "a square stuck on": gradient.stuck_on(18),
    },
    "colour": {"repainted by 8/255": gradient.repainted(8)},
    "background": {"moved by 8/255": gradient.elsewhere(8)},
    NOTHING_ELSE: {
        "hidden by 4/255": gradient.overlooked(4),
        "hidden by 8/255": gradient.overlooked(8),
    },
}
# A person says yes:
WRONG_NO = {
    "existence": {
        "behind bars": changed(thing.barred),
        "a line drawing": thing.by_hand_of("openmoji_line"),
        "upside down": changed(thing.turned(180)),
        "on its side": changed(thing.turned(90)),
        "tilted": changed(thing.turned(30)),
        "mirrored": changed(thing.mirrored),
        "a ghost": changed(thing.faint(0.4)),
        "an outlined drawing": thing.by_hand_of("openmoji"),
        "a fourth artist's": thing.by_hand_of("twemoji"),
        "black and white": changed(thing.grey),
        "a negative": changed(thing.negative),
        "too near": thing.of_side(84),
        "far away": thing.of_side(13),
        "in the dark": thing.dark,
        "squashed": thing.squashed,
        "a tilted shape": changed(thing.turned(20), **TILTED),
        "a star of six points": shape.instead("star", "six points"),
    },
    "count": {"a crowd of three": scene.crowded},
    "colour": {"a glossy shape": shape.glossy},
    "relation": {"neighbours that overlap": scene.overlapping},
    "background": {
        "other stripes and dots": place.other_stripes,
        "in a black frame": place.framed,
    },
    "words": {
        "another typeface": place.signs(place.other_letters),
        "light on dark": place.signs(place.light_on_dark),
    },
    "size": {"somewhat bigger": scene.somewhat_bigger},
    NOTHING_ELSE: {"a restless background": place.restless},
}
DENIED_BY_GRADIENT = {"existence": {"denied by 8/255": gradient.denied(8)}}

# What a person sees, by the attack's name.
SEES = {
    "a third of a thing": "A scrap: two thirds of the thing are cut away.",
    "left and right": "A chimera, half this thing and half that.",
    "head and foot": "A chimera, one thing's top on another's bottom.",
    "a puzzle": "Four pieces of a thing, each in a wrong place.",
    "hardly there": "An empty place: the thing is at 2 % opacity.",
    "blurred away": "A blot: the picture is blurred beyond recognition.",
    "its lookalike": "Another thing, of much the same form and colours.",
    "its name on a sign": "A sign with the thing's name, and no such thing.",
    "half a shape": "A half circle, half a heart, and so on.",
    "stretched shapes": "An ellipse for a circle, an oblong for a square.",
    "a hexagon for a cube": "A flat hexagon.",
    "a hexagon for a circle": "A hexagon: six corners.",
    "a pentagon for a star": "A pentagon.",
    "a trapezoid for a triangle": "A triangle without its top: four corners.",
    "a top for a heart": "A spinning top: a heart without its cleft.",
    "a leaning square": "A parallelogram: no right angle.",
    "one more, tiny": "One more than asked for, small but plain to see.",
    "one more, at the edge": "One more than asked for, cut off by the edge.",
    "nine for four or five": "Nine, in three rows.",
    "no colour of the world": "Grey for white, lime for yellow, beige for orange.",
    "half and half": "A shape in two colours, half in each.",
    "three stripes": "A shape in three colours, a third in each.",
    "checks": "Checked in two colours; asked for is their mixture.",
    "both colours on both": "Both shapes are half in one colour, half in the other.",
    "hovering": "Two things, air between them: neither stands on the other.",
    "boxes that touch": "Two shapes apart: only the boxes around them touch.",
    "a silhouette as a 3D render": "A flat outline, filled with one colour.",
    "lines as a 3D render": "Black lines, no colour and no shade.",
    "two places": "The right half of the picture is another place.",
    "two letters wrong": "Two letters are others, of a like form.",
    "a digit for a letter": "A digit stands where a letter should.",
    "backwards": "The word runs from its last letter to its first.",
    "two tiny things more": "Two small things besides, in the corners.",
    "peeking in": "A third of another thing, at the edge.",
    "half hidden": "Another thing, half behind the first.",
    "a thing without a word": "A thing besides that the judge knows no word for.",
    "letters": "A word stands in a corner.",
    "a scrawl": "Someone scrawled around the thing with a pen.",
    "renamed by 2/255": "Its lookalike, and noise of 2/255 that is hardly seen.",
    "renamed by 4/255": "Its lookalike, and noise of 4/255 that is hardly seen.",
    "renamed by 8/255": "Its lookalike, and noise of 8/255 that is hardly seen.",
    "completed by 8/255": "A third of the thing, and noise of 8/255.",
    "noise that climbed": "Coloured noise, and no thing.",
    "a square stuck on": "Another thing, and a square of noise in a corner.",
    "repainted by 8/255": "Another colour, and noise of 8/255 that is hardly seen.",
    "moved by 8/255": "Clouds of colour, and noise of 8/255 that is hardly seen.",
    "hidden by 4/255": "Two things, and noise of 4/255 that is hardly seen.",
    "hidden by 8/255": "Two things, and noise of 8/255 that is hardly seen.",
    "upside down": "The thing, upside down.",
    "on its side": "The thing, lying on its side.",
    "tilted": "The thing, tilted by 30 degrees.",
    "mirrored": "The thing, facing the other way.",
    "a ghost": "The thing, shining through at 40 % opacity.",
    "a line drawing": "The thing, in black lines, by another hand.",
    "an outlined drawing": "The thing, in outlines and colours, by another hand.",
    "a fourth artist's": "The thing, as another artist draws it.",
    "black and white": "The thing, without its colours.",
    "a negative": "The thing, in the opposite colours.",
    "behind bars": "The thing, behind four bars that cover a quarter.",
    "too near": "The thing, so large that the edges cut it.",
    "far away": "The thing, 13 pixels wide.",
    "in the dark": "The thing, with a quarter of the light.",
    "squashed": "The thing, 8 wide to 5 tall or the other way.",
    "a tilted shape": "The shape, tilted by 20 degrees.",
    "a star of six points": "A star with six points.",
    "a crowd of three": "Three, each half in front of the next.",
    "a glossy shape": "The shape in its colour, lit from above.",
    "neighbours that overlap": "One left of the other, their edges overlapping.",
    "somewhat bigger": "One is 1.3 times as wide as the other.",
    "other stripes and dots": "Stripes or dots, but blue ones.",
    "in a black frame": "The place, in a black frame.",
    "another typeface": "The word, in another typeface and small letters.",
    "light on dark": "The word, in light letters on a dark board.",
    "a restless background": "One thing before coloured noise.",
    "denied by 8/255": "The thing, and noise of 8/255 that is hardly seen.",
}


def _all(person: bool, table: dict, **options) -> tuple[Attack, ...]:
    return tuple(
        Attack(name, category, person, make, **options)
        for category, makes in table.items()
        for name, make in makes.items()
    )


ATTACKS = (
    *_all(False, WRONG_YES),
    *_all(False, BY_GRADIENT, by_gradient=True),
    *_all(True, WRONG_NO),
    *_all(True, DENIED_BY_GRADIENT, by_gradient=True),
)
