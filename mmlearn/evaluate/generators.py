"""The text-to-image models that the bench can ask, and what each of them is asked.

    GENERATORS["text-to-image"].prompts()       # what it can be asked to draw
    readable(load_prompts(), grammar)           # ours, as far as a model knows them

A model of the book is whatever draws pictures from sentences in one way (`Draws`). Each
is loaded when it is asked for, not before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Protocol

from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.prompts import Prompt, held_out_rules
from mmlearn.world import layout
from mmlearn.world.backgrounds import VARIANTS
from mmlearn.world.grammar import Grammar, Lot, clashes
from mmlearn.world.scene import SHAPES, SIGN, Item, Scene

SEED = 20_220_534  # of the shapes' places in what is asked, and of no training


class Draws(Protocol):
    """What every text-to-image model of the book does.

    generate: pictures (n, 3, h, w) in [-1, 1], one for each of n prompts; "" asks for
    nothing in particular. The same arguments give the same pictures.
    """

    image_size: int

    def generate(
        self,
        prompts: Sequence[str],
        *,
        steps: int,
        guidance: float,
        sampler: str,
        seed: int,
        progress: bool,
    ) -> Tensor:
        """Pictures (n, 3, h, w) in [-1, 1] for n prompts."""


@dataclass(frozen=True)
class Generator:
    """One model, and all that measuring it takes.

    load: a saved directory to the model. prompts: those whose every word it knows.
    training: (n, seed, size) to the first n scenes that training from this seed saw,
    drawn at ``size`` pixels. steps, guidance, sampler: what it is asked with unless
    one says otherwise.
    claims: what it alone is measured for, name to module (`generator_claims`). aims:
    (prompts, verdicts, card, tools) to a table of what was hoped of it and what came
    of it; tools: `generator_tools.Tools`.
    plan: how much of it is measured, where that differs from `generator_request.Plan`.
    """

    name: str
    load: Callable[[Path], Draws]
    prompts: Callable[[], list[Prompt]]
    training: Callable[[int, int, int], world.Batch]
    steps: int = 20
    guidance: float = 2.0
    sampler: str = "dpmpp_2m"
    claims: Mapping[str, str] = field(default_factory=dict)
    aims: Callable[..., list[dict]] | None = None
    plan: Mapping[str, object] = field(default_factory=dict)


def shape_prompts(grammar: Grammar, seed: int = SEED) -> list[Prompt]:
    """Every shape of a grammar in each of its colours, once, on a background by lot.

    A pure function of both. "held_out" are the colours that training never shows of a
    shape. A shape that no background lets one see is left out. Raises ValueError for a
    grammar without single shapes.
    """
    if "single" not in grammar.kinds or not grammar.shapes:
        raise ValueError(
            "only a grammar of single shapes has prompts for them: give it the kind "
            "'single' and a shape"
        )
    lot, prompts = Lot(seed << 66), []
    for shape, colour in product(grammar.shapes, grammar.colours):
        places = [b for b in grammar.backgrounds if not clashes(shape, None, colour, b)]
        if not places:
            continue
        record = Scene(
            "single",
            lot.pick(places),
            (Item(shape, layout.single(lot.between)[0], colour),),
            variant=int(lot.between(0, VARIANTS)),
            phrasing=lot.random(),
        )
        name, text = f"{colour}-{shape}", world.caption(record)
        prompts.append(with_split(Prompt(name, "colors", text, record=record)))
    return prompts


def with_split(prompt: Prompt) -> Prompt:
    """The prompt with the split that its record has, or with none if it has no record.

    A reader's own file need not say which combinations training never showed.
    """
    held = prompt.record is not None and held_out_rules(prompt.record)
    split = "held_out" if held else "seen"
    return replace(prompt, split=split if prompt.record else None)


def readable(prompts: Sequence[Prompt], grammar: Grammar) -> list[Prompt]:
    """The prompts with a record of which a grammar holds every word.

    Noun, colour, artist, background, kind, relation and number must all be in it; a
    tinted thing needs a grammar that tints. Prompts without a record are left out.
    """
    return [p for p in prompts if p.record is not None and _within(p.record, grammar)]


def _within(record: Scene, grammar: Grammar) -> bool:
    counted = record.kind in ("count", "row")
    return (
        record.kind in grammar.kinds
        and record.background in grammar.backgrounds
        and (record.relation is None or record.relation in grammar.relations)
        and (not counted or record.count in grammar.counts)
        and all(_known(item, grammar) for item in record.items)
    )


def _known(item: Item, grammar: Grammar) -> bool:
    if item.noun == SIGN:
        return True  # its kind of scene is in the grammar
    if item.colour is not None and item.colour not in grammar.colours:
        return False
    if item.noun in SHAPES:
        return item.noun in grammar.shapes
    tinted = item.colour is None or grammar.tinted > 0
    return item.noun in grammar.things and item.artist in grammar.artists and tinted


def _load_text_to_image(directory: Path) -> Draws:
    from mmlearn.text_to_image import TextToImage

    return TextToImage.from_pretrained(directory)


def _text_to_image_prompts() -> list[Prompt]:
    from mmlearn.text_to_image import GRAMMAR

    return shape_prompts(GRAMMAR)


def _text_to_image_training(n: int, seed: int, size: int) -> world.Batch:
    from mmlearn.text_to_image import GRAMMAR

    return world.scenes(n, seed, size, grammar=GRAMMAR)


def _load_glide(directory: Path) -> Draws:
    from mmlearn.glide import GLIDE

    return GLIDE.from_pretrained(directory)


def _load_stable_diffusion(directory: Path) -> Draws:
    from mmlearn.stable_diffusion import StableDiffusion

    return StableDiffusion.from_pretrained(directory)


def _glide_prompts() -> list[Prompt]:
    from mmlearn.evaluate.scene_prompts import scene_prompts
    from mmlearn.glide.grammar import GRAMMAR

    return scene_prompts(GRAMMAR)


def _glide_training(n: int, seed: int, size: int) -> world.Batch:
    from mmlearn.train.recipes.glide import ALL, COURSE, RECIPES

    part = RECIPES["laptop"]["base"]
    before = max(lesson.until for lesson in COURSE if lesson.shows is not ALL)
    first = int(before * part.steps) * part.batch  # the earlier ones showed less
    return _of_lesson(ALL, n, seed, size, first)


def _stable_diffusion_training(n: int, seed: int, size: int) -> world.Batch:
    from mmlearn.train.recipes.stable_diffusion import REVISION, Encoded, revised

    plan, seed = revised("laptop", seed)
    run = Encoded(None, plan, plan.steps, seed, course=REVISION)
    shown = [run.lesson(chunk).shows for chunk in range(plan.steps // run.length)]
    first = shown.index(shown[-1]) * plan.rows * plan.batch
    return _of_lesson(*shown[-1], n, seed, size, first)


def _of_lesson(shows: dict, n: int, seed: int, size: int, first: int) -> world.Batch:
    """Scenes of training from number ``first`` on, in a lesson of a course."""
    from mmlearn.train.recipes.glide import TAUGHT

    grammar = replace(TAUGHT, **shows)
    return world.scenes(n, seed, size, start=first, grammar=grammar)


def _glide_aims(prompts, verdicts, card, tools) -> list[dict]:
    """What was hoped of GLIDE before it was trained, and what came of it."""
    from mmlearn.evaluate.glide_aims import aims

    return aims(prompts, verdicts, card)


def _stable_diffusion_aims(*asked) -> list[dict]:
    """What was hoped of Stable Diffusion, and what came of it, beside GLIDE's."""
    from mmlearn.evaluate.stable_diffusion_aims import aims

    return aims(*asked)


GLIDE_CLAIMS = {
    "relations": "mmlearn.evaluate.glide_relations",
    "phrases": "mmlearn.evaluate.generator_phrases",
    "inpainting": "mmlearn.evaluate.glide_inpainting",
    "break": "mmlearn.evaluate.glide_breaks",
    "clip-guidance": "mmlearn.evaluate.glide_guidance",
    "stages": "mmlearn.evaluate.glide_stages",
}
STABLE_DIFFUSION_CLAIMS = {
    "relations": GLIDE_CLAIMS["relations"],
    "phrases": GLIDE_CLAIMS["phrases"],
    "inpainting": GLIDE_CLAIMS["inpainting"],
    "reconstruction": "mmlearn.evaluate.stable_diffusion_reconstruction",
    "negative": "mmlearn.evaluate.stable_diffusion_negative",
    "walk": "mmlearn.evaluate.stable_diffusion_walk",
    "break": "mmlearn.evaluate.stable_diffusion_breaks",
    "speed": "mmlearn.evaluate.stable_diffusion_speed",
}
GENERATORS = {
    "text-to-image": Generator(
        "text-to-image",
        _load_text_to_image,
        _text_to_image_prompts,
        _text_to_image_training,
    ),
    "glide": Generator(
        "glide",
        _load_glide,
        _glide_prompts,
        _glide_training,
        guidance=3.0,
        sampler="ddim",
        claims=GLIDE_CLAIMS,
        aims=_glide_aims,
        plan={"samples": 2, "each": 1, "scales": (0, 1, 2, 3, 6)},
    ),
    "stable-diffusion": Generator(
        "stable-diffusion",
        _load_stable_diffusion,
        _glide_prompts,
        _stable_diffusion_training,
        guidance=3.0,
        claims=STABLE_DIFFUSION_CLAIMS,
        aims=_stable_diffusion_aims,
        plan={"samples": 2, "each": 1, "scales": (0, 1, 1.5, 2, 3, 4, 6)},
    ),
}
