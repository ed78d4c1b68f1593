"""The bench for models that draw: a perfect one scores all, a wrong one what it should.

The stand-in model draws from its prompts' records, and the stand-in judge knows of
every picture which record it was drawn from, so that every share can be foretold.
"""

import hashlib
import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmlearn import weights, world
from mmlearn.__main__ import main
from mmlearn.evaluate import generator_bench as bench
from mmlearn.evaluate import generator_sweeps as sweeps
from mmlearn.evaluate.generators import (
    GENERATORS,
    readable,
    shape_prompts,
    with_split,
)
from mmlearn.evaluate.judged import corrected, judge_readings
from mmlearn.evaluate.nearest import nearest
from mmlearn.evaluate.prompts import Prompt, load_prompts
from mmlearn.evaluate.reading import Reading
from mmlearn.evaluate.wall import MARGIN, SIDE, wall
from mmlearn.show.pictures import enlarge, to_pictures
from mmlearn.text_to_image import GRAMMAR, TextToImage, split, vocabulary
from mmlearn.world.grammar import compose
from mmlearn.world.render import draw
from mmlearn.world.splits import held_out

PROMPTS = shape_prompts(GRAMMAR)
# The same captions, in other places: what a model that never copies would draw.
ELSEWHERE = {
    p.id: replace(other.record, background=p.record.background)
    for p, other in zip(PROMPTS, shape_prompts(GRAMMAR, seed=1), strict=True)
}
HOW = bench.Settings(samples=2)
PX = 32


class Painter:
    """A model that knows the record of each of its prompts, and draws it.

    change(prompt, i, guidance) -> the record that picture i is drawn from instead.
    told: picture to record, of all that it or anyone drew.
    """

    image_size = PX

    def __init__(self, prompts=PROMPTS, change=lambda p, i, g: p.record):
        self.prompts, self.change = {p.text: p for p in prompts}, change
        self.told, self.drawn = {}, 0

    def generate(self, prompts, *, guidance, steps, sampler, seed, progress):
        records = []
        for i, text in enumerate(prompts):
            blank = compose(GRAMMAR, seed, i) if not text else None
            records.append(blank or self.change(self.prompts[text], i, guidance))
        self.drawn += len(prompts)
        return self.known(records)

    def known(self, records):
        images = draw(records, PX)
        self.told |= zip(map(key, images), records, strict=True)
        return images

    def judge(self, images, records, prompts):
        readings = [Reading.of(self.told[key(image)]) for image in images]
        return judge_readings(records, readings, prompts)


def key(image):
    return image.numpy().tobytes()


def features(images):
    return F.avg_pool2d(images, 2).flatten(1)


def measured(model, prompts=PROMPTS, how=HOW, card=None):
    model.known([p.record for p in prompts])
    training = model.known([compose(GRAMMAR, 0, i) for i in range(150)])
    return bench.bench(model, prompts, model.judge, training, features, how, card)


def rows_of(found, name):
    return {r["category"]: r for r in found.rows if r["pictures"] == name}


def shares(found, name):
    return {category: row["share"] for category, row in rows_of(found, name).items()}


def other_colour(record):
    colours = GRAMMAR.colours
    item = record.items[0]
    colour = colours[(colours.index(item.colour) + 1) % len(colours)]
    return replace(record, items=(replace(item, colour=colour),))


@pytest.fixture(scope="module")
def perfect():
    return measured(Painter(change=lambda p, i, g: ELSEWHERE[p.id]))


def test_shape_prompts_ask_for_every_shape_in_every_colour_once():
    pairs = [(p.record.items[0].noun, p.record.items[0].colour) for p in PROMPTS]
    assert len(set(pairs)) == len(pairs) == len({p.id for p in PROMPTS})
    assert set(pairs) == {(s, c) for s in GRAMMAR.shapes for c in GRAMMAR.colours}
    assert PROMPTS == shape_prompts(GRAMMAR)
    for p in PROMPTS:
        assert p.text == world.caption(p.record) and set(split(p.text)) <= set(
            vocabulary()
        )
        assert p.split == ("held_out" if held_out(p.record) else "seen")
    records = [compose(GRAMMAR, 0, i) for i in range(3000)]
    trained = {(r.items[0].noun, r.items[0].colour) for r in records}
    told = {pair for pair, p in zip(pairs, PROMPTS, strict=True) if p.split == "seen"}
    assert trained == told and told != set(pairs)
    with pytest.raises(ValueError, match="single shapes"):
        shape_prompts(world.Grammar(kinds=("pair",)))


def test_a_perfect_generator_scores_what_real_scenes_score_and_no_control_does(perfect):
    assert set(shares(perfect, "the model's: all").values()) == {1}
    assert shares(perfect, "real scenes") == shares(perfect, "the model's: all")
    for control in ("another caption's scenes", "unconditional samples"):
        found = shares(perfect, control)
        assert found["whole prompt"] < 0.2 and found["existence"] < 0.4, control
    assert shares(perfect, "nearest training scenes")["whole prompt"] < 1
    names = list(dict.fromkeys(row["pictures"] for row in perfect.rows))
    assert names.index("the model's: all") == 4  # controls stand above
    assert perfect.images.shape == (len(PROMPTS), 2, 3, PX, PX)


def test_planted_wrong_colours_lower_the_colour_and_nothing_else():
    wrong = {p.id for p in PROMPTS[::4]}
    planted = Painter(
        change=lambda p, i, g: other_colour(p.record) if p.id in wrong else p.record
    )
    card = {"colour": {"sensitivity": (90, 100), "specificity": (80, 100)}}
    rows = rows_of(measured(planted, card=card), "the model's: all")
    right = 1 - len(wrong) / len(PROMPTS)
    for category, row in rows.items():
        if category in ("colour", "whole prompt"):
            assert row["share"] == pytest.approx(right, abs=1e-4)
        elif category != "all clauses":
            assert row["share"] == 1, category
    # Rogan & Gladen by hand: (s + 0.8 - 1) / (0.9 + 0.8 - 1)
    by_hand = (right - 0.2) / 0.7
    assert rows["colour"]["corrected"] == pytest.approx(min(1, by_hand), abs=1e-4)
    assert by_hand == pytest.approx(corrected(right, 0.9, 0.8)) and by_hand < 1
    assert rows["existence"]["corrected"] is None  # the card has no such category


def test_exchanged_colours_lower_colour_and_binding_and_nothing_else():
    words = {"kinds": ["pair"], "things": [], "name_background": 1.0}
    records = [r for r in world.scenes(40, 8, 16, **words).records if two(r)][:12]
    pairs = [
        with_split(Prompt(str(i), "colors", f"{i} {world.caption(r)}", record=r))
        for i, r in enumerate(records)
    ]
    model = Painter(pairs, lambda p, i, g: exchanged(p.record))
    found = shares(measured(model, pairs), "the model's: all")
    lowered = {category for category, share in found.items() if share < 1}
    assert lowered == {"colour", "binding", "all clauses", "whole prompt"}
    assert found["binding"] == found["colour"] == found["whole prompt"] == 0


def two(record):
    a, b = record.items
    return a.noun != b.noun and a.colour != b.colour


def exchanged(record):
    a, b = record.items
    items = replace(a, colour=b.colour), replace(b, colour=a.colour)
    return replace(record, items=items)


def test_a_model_is_asked_only_what_its_grammar_knows():
    ours = load_prompts()
    assert readable(ours, world.Grammar(things=world.everyday())) == [
        p for p in ours if p.record
    ]
    shapes = world.Grammar(things=(), kinds=("pair", "relation"), relations=("above",))
    for p in (found := readable(ours, shapes)):
        assert {i.noun for i in p.record.items} <= set(world.SHAPES)
        assert p.record.kind in shapes.kinds and p.record.relation in (None, "above")
    assert found and readable(PROMPTS, GRAMMAR) == PROMPTS
    for words in (
        {"colours": ("red",)},
        {"backgrounds": ("grey",)},
        {"shapes": ("star",)},
    ):
        (name, (word,)), fewer = next(iter(words.items())), replace(GRAMMAR, **words)
        for p in PROMPTS:
            item = p.record.items[0]
            said = {"colours": item.colour, "shapes": item.noun}
            kept = said.get(name, p.record.background) == word
            assert (p in readable(PROMPTS, fewer)) == kept
    counted = world.arrange("red star", count=3)
    asked = [Prompt("x", "counting", "three red stars", "seen", counted)]
    for counts, kept in (((1, 2), 0), ((3,), 1)):
        assert len(readable(asked, world.Grammar(things=(), counts=counts))) == kept
    tinted = [Prompt("x", "colors", "x", "seen", world.arrange("green dog"))]
    for share, kept in ((0.0, 0), (0.5, 1)):
        assert len(readable(tinted, world.Grammar(tinted=share))) == kept


def test_a_record_says_its_split_where_a_readers_file_does_not():
    for p in PROMPTS:
        assert with_split(replace(p, split=None)) == p
    assert with_split(Prompt("x", "reddit", "a dream", "seen")).split is None


def test_seen_and_held_out_are_told_apart():
    forgetful = Painter(
        change=lambda p, i, g: (
            other_colour(p.record) if p.split == "held_out" else p.record
        )
    )
    found = measured(forgetful)
    n = sum(p.split == "seen" for p in PROMPTS)
    seen, held = (rows_of(found, f"the model's: {s}") for s in ("seen", "held out"))
    assert (seen["colour"]["share"], held["colour"]["share"]) == (1, 0)
    assert (seen["colour"]["prompts"], held["colour"]["prompts"]) == (
        n,
        len(PROMPTS) - n,
    )
    assert {r["split"] for r in found.prompts if r["wrong"]} == {"held_out"}


def test_by_prompt_counts_right_wrong_and_open_pictures():
    prompts, how = PROMPTS[:3], bench.Settings(samples=4)
    target = prompts[1].id

    def change(p, i, g):  # of the second prompt every other picture is wrong
        return other_colour(p.record) if p.id == target and i % 2 else p.record

    model = Painter(prompts, change)
    images = bench.asked(model, prompts, how)
    verdicts = bench.judged(
        model.judge, images.flatten(0, 1), bench.each(prompts, how.samples)
    )
    unsure = replace(verdicts[8], answers=(None,) * len(verdicts[8].answers))
    rows = bench.by_prompt(prompts, [*verdicts[:8], unsure, *verdicts[9:]])
    counts = [(r["pictures"], r["right"], r["wrong"], r["abstained"]) for r in rows]
    assert counts == [(4, 4, 0, 0), (4, 2, 2, 0), (4, 3, 0, 1)]
    assert rows[1]["wrong in"] == {"colour": 2} and rows[0]["wrong in"] == {}
    assert rows[2]["open in"]["colour"] == 1


def test_a_prompt_without_a_record_is_not_judged():
    with pytest.raises(ValueError, match="'a dream' has no record"):
        bench.judged(None, torch.zeros(1, 3, 8, 8), [Prompt("x", "reddit", "a dream")])


def test_many_pictures_are_drawn_from_one_seed_after_the_other():
    texts = [PROMPTS[0].text] * 70
    seeds = []

    class Counting(Painter):
        def generate(self, prompts, *, seed, **options):
            seeds.append((len(prompts), seed))
            return super().generate(prompts, seed=seed, **options)

    assert len(bench.drawn(Counting(), texts, replace(HOW, seed=5))) == 70
    assert seeds == [(64, 5), (6, 6)]
    assert replace(HOW, seed=5).seeds(70) == [5, 6]
    wrong = Painter()
    wrong.image_size = 64
    with pytest.raises(ValueError, match=r"shape \(1, 3, 64, 64\)"):
        bench.drawn(wrong, texts[:1], HOW)


def test_a_copier_is_nearer_to_training_scenes_than_a_perfect_generator(perfect):
    trained = [compose(GRAMMAR, 0, i) for i in range(150)]
    copier = measured(Painter(change=lambda p, i, g: trained[i % 150]))

    def nearer(found):
        return {r["prompts"]: r["nearer"] for r in found.distances if "nearer" in r}

    assert nearer(copier)["all"] > 0.9 and nearer(perfect)["all"] < 0.2
    own = [r for r in copier.distances if r["pictures"] == "the model's"]
    new = [r for r in copier.distances if r["pictures"] == "new real scenes"]
    assert [r["prompts"] for r in own] == ["all", "seen", "held out"]
    for a, b in zip(own, new, strict=True):
        assert a["median"] < 1e-3 < b["median"]
    few = measured(Painter(PROMPTS[:5]), PROMPTS[:5]).distances
    assert next(r["nearer"] for r in few if "nearer" in r) is None


def test_a_copy_is_nearest_to_what_it_copies():
    training = draw([compose(GRAMMAR, 0, i) for i in range(40)], PX)
    which, distance = nearest(training.flip(0), training, features, at_once=7)
    assert which.tolist() == list(range(39, -1, -1)) and distance.max() < 1e-4
    fresh = draw([compose(GRAMMAR, 99, i) for i in range(20)], PX)
    assert nearest(fresh, training, features)[1].median() > 1e-3
    with pytest.raises(ValueError, match="at least one of both"):
        nearest(fresh[:0], training, features)


def test_guidance_has_a_row_a_scale_and_sees_a_model_that_ignores_its_prompt():
    prompts = PROMPTS[:4]

    def change(p, i, guidance):  # at 0 anything, differently each time
        return compose(GRAMMAR, 7, i) if guidance == 0 else p.record

    model = Painter(prompts, change)
    found = sweeps.by_guidance(model, prompts, model.judge, features, HOW)
    assert [r["guidance"] for r in found.rows] == list(sweeps.SCALES) == [0, 1, 2, 4, 8]
    assert found.rows[0]["share"] < 0.5 and {r["share"] for r in found.rows[1:]} == {1}
    apart = [r["diversity"] for r in found.rows]
    assert apart[0] > 0.01 and apart[1:] == [pytest.approx(0, abs=1e-4)] * 4
    assert found.images.shape == (4, 5, 3, PX, PX) and len(found.verdicts) == 20
    assert found.verdicts[5].prompt == prompts[1].id  # prompt by prompt
    assert found.heads == [f"guidance {scale}" for scale in (0, 1, 2, 4, 8)]
    one = sweeps.by_guidance(
        model, prompts, model.judge, features, replace(HOW, samples=1), (2,)
    )
    assert one.rows[0]["diversity"] is None
    with pytest.raises(ValueError, match="at least two"):
        sweeps.diversity(torch.zeros(1, 1, 3, 8, 8), features)


def test_steps_has_a_row_for_each_sampler_and_number_of_steps():
    model = Painter(PROMPTS[:2])
    found = sweeps.by_steps(model, PROMPTS[:2], model.judge, HOW)
    asked = [(r["sampler"], r["steps"]) for r in found.rows]
    assert asked == [(s, n) for s in sweeps.SAMPLERS for n in sweeps.STEPS]
    assert len(asked) == 12
    assert model.drawn == 2 + 12 * 2 * 2  # two first, off the clock
    assert all(
        r["category"] == "whole prompt" and r["share"] == 1 and r["n"] == 4
        for r in found.rows
    )
    assert found.heads[0] == "ddim 5" and found.names == ("sampler", "steps")


def test_a_wall_is_a_png_that_fits_and_holds_its_pictures(tmp_path):
    images = draw([p.record for p in PROMPTS[:6]], PX).unflatten(0, (3, 2))
    texts = [p.text for p in PROMPTS[:3]]
    model = Painter()
    model.known([p.record for p in PROMPTS])
    verdicts = bench.judged(
        model.judge, images.flatten(0, 1), bench.each(PROMPTS[:3], 2)
    )
    path = wall(tmp_path / "w.png", images, texts, verdicts, title="t", note="n " * 300)
    assert [p.name for p in tmp_path.iterdir()] == ["w.png"]  # nothing half-written
    with Image.open(path) as page:
        assert page.format == "PNG"
        page = page.convert("RGB")
    assert page.width >= 2 * MARGIN + 6 * SIDE and page.height >= 2 * MARGIN + SIDE
    tall = wall(
        tmp_path / "tall.png", images.repeat(8, 1, 1, 1, 1), texts * 8, title=""
    )
    with Image.open(tall) as more:
        assert more.height > page.height + SIDE
    found = np.asarray(page, int)[:, MARGIN : MARGIN + SIDE]
    wanted = np.asarray(enlarge(to_pictures(images[0])[0], SIDE // PX), int)
    apart = [
        np.abs(found[y : y + SIDE] - wanted).mean() for y in range(len(found) - SIDE)
    ]
    assert min(apart) < 1  # a palette may move a colour a little


def test_a_wall_of_one_picture_has_room_for_its_legend(tmp_path):
    model = Painter()
    (image,) = images = model.known([PROMPTS[0].record])
    verdicts = bench.judged(model.judge, images, PROMPTS[:1])
    path = wall(tmp_path / "w.png", image[None, None], ["a"], verdicts, title="t")
    with Image.open(path) as page:
        page = np.asarray(page.convert("RGB"), int)
    inked = np.abs(page - page[0, 0]).sum(axis=2) > 60
    assert not inked[:, -MARGIN:].any()  # no word runs into the margin


def test_a_wall_that_cannot_be_drawn_leaves_the_old_one(tmp_path):
    (tmp_path / "w.png").write_bytes(b"old")
    with pytest.raises(ValueError, match="needs 2 prompts, not 1"):
        wall(tmp_path / "w.png", torch.zeros(2, 1, 3, 8, 8), ["one"], title="")
    assert (tmp_path / "w.png").read_bytes() == b"old"


def test_the_bench_asks_with_the_models_own_defaults():
    own = inspect.signature(TextToImage.generate).parameters
    listed = GENERATORS["text-to-image"]
    for name in ("guidance", "steps", "sampler"):
        assert getattr(listed, name) == own[name].default, name
        assert getattr(bench.Settings(), name) == own[name].default, name


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    return TextToImage.from_size("smoke").save_pretrained(folder, {"seed": 3})


SMALL = ("--size", "smoke", "--steps", "2")


def evaluate(folder, out, *words):
    given = ["--weights", str(folder), "--out", str(out), *SMALL, *words]
    return main(["evaluate", "text-to-image", *given])


def test_the_command_writes_tables_walls_and_all_that_measuring_again_takes(
    untrained, tmp_path, capsys
):
    assert evaluate(untrained, tmp_path, "--seed", "4") == 0
    printed = capsys.readouterr().out
    walls = {"bench": "wall", "guidance": "guidance-wall", "steps": "steps-wall"}
    for name in walls.values():
        with Image.open(tmp_path / f"text-to-image-{name}.png") as page:
            page.verify()
    found = {p.stem: json.loads(p.read_text()) for p in tmp_path.glob("*.json")}
    parts = ("bench", "prompts", "nearest", "guidance", "steps")
    assert set(found) == {f"text-to-image-{part}" for part in parts}
    assert all(f"{name}.json" in printed for name in found)
    shipped = {
        f"{kind}-laptop": weights.find("laptop", kind) for kind in ("judge", "clip")
    }
    used = {"own text-to-image": untrained, **shipped}
    hashes = {k: weights.sha256(v / "model.safetensors") for k, v in used.items()}
    asked = bench.few(GENERATORS["text-to-image"].prompts(), 6)
    listed = json.dumps([p.to_dict() for p in asked], sort_keys=True).encode()
    for name, result in found.items():
        assert result["checkpoints"] == hashes, name
        assert result["settings"] == {
            **{"samples": 1, "steps": 2, "guidance": 2.0},
            **{"sampler": "dpmpp_2m", "seed": 4},
        }
        assert result["seeds"] == [4] and result["commit"] and result["about"]
        assert "--size smoke" in result["command"] and "--seed 4" in result["command"]
    head = found["text-to-image-bench"]
    sha = hashlib.sha256(listed).hexdigest()
    assert head["prompts"] == {"n": 6, "sha256": sha}
    assert len(found["text-to-image-prompts"]["rows"]) == 6
    assert [r["guidance"] for r in found["text-to-image-guidance"]["rows"]] == [1, 4]
    rows = found["text-to-image-steps"]["rows"]
    asked = [(r["sampler"], r["steps"]) for r in rows]
    assert asked == [(s, n) for s in ("ddim", "dpmpp_2m") for n in (2, 4)]


def test_a_readers_file_without_records_gets_a_wall_and_no_table(
    untrained, tmp_path, capsys
):
    file = tmp_path / "my prompts.csv"
    texts = [p.text for p in PROMPTS[:3]]
    file.write_text("Prompts,Category\n" + "".join(f'"{t}",Colors\n' for t in texts))
    assert evaluate(untrained, tmp_path / "out", "--prompts", str(file)) == 0
    printed = capsys.readouterr().out
    assert "No prompt has a record" in printed and "no program can judge" in printed
    (only,) = (tmp_path / "out").iterdir()
    assert only.name == "text-to-image-own-my_prompts-wall.png"
    with Image.open(only) as page:
        assert page.format == "PNG"


def test_a_readers_file_with_some_records_has_both(untrained, tmp_path, capsys):
    free = Prompt("free", "reddit", PROMPTS[0].text)
    entries = [p.to_dict() for p in (PROMPTS[0], free)]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(entries))
    assert evaluate(untrained, tmp_path, "--prompts", str(file)) == 0
    assert "1 of the 2 prompts have no record" in capsys.readouterr().out
    result = json.loads((tmp_path / "text-to-image-own-mine-bench.json").read_text())
    assert result["prompts"]["n"] == 1
    assert (tmp_path / "text-to-image-own-mine-wall.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sampler", "euler"], "'euler'"),
        (["--samples", "0"], "samples"),
        (["--steps", "0"], "steps"),
        (["--guidance", "-1"], "guidance"),
        (["--seed", "-1"], "seed"),
        (["--prompts", "mine.csv", "--only", "guidance"], "leave --prompts out"),
        (["--prompts", "nowhere.csv"], "no file of prompts nowhere.csv"),
        (["--seeds", "3"], "--seeds is for what is trained anew"),
        (["--only", "beauty"], "no claim 'beauty'; it has bench, guidance, steps"),
        (["--only", "guidance", "--guidance", "2"], "leave --guidance out"),
        (["--only", "steps", "--sampler", "ddim"], "leave --sampler out"),
        (["--size", "huge"], "'huge'"),
        (["--weights", "nowhere"], "'nowhere'"),
    ],
)
def test_a_bad_request_gets_one_sentence(words, says, capsys):
    assert main(["evaluate", "text-to-image", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_judge_that_is_not_there_gets_one_sentence(untrained, tmp_path, capsys):
    assert evaluate(untrained, tmp_path, "--judge", "nowhere") == 2
    error = capsys.readouterr().err
    assert "'nowhere'" in error and error.count("\n") == 1


def test_what_only_drawing_models_have_is_refused_for_others(capsys):
    assert main(["evaluate", "clip", "--samples", "2"]) == 2
    assert "--samples is for models that draw" in capsys.readouterr().err
