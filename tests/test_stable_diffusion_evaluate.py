"""Stable Diffusion's aims and claims can come out either way: planted models win and
lose them."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from painter import PX, Eyes, Painter, fits, shares
from PIL import Image
from tiny_stable_diffusion import CONFIG, SECOND_CONFIG, noise, pictures, tiny

from mmlearn import world
from mmlearn.__main__ import main
from mmlearn.evaluate import generator_tools, glide_aims
from mmlearn.evaluate import stable_diffusion_aims as hoped
from mmlearn.evaluate import stable_diffusion_breaks as broken
from mmlearn.evaluate import stable_diffusion_negative as led_away
from mmlearn.evaluate import stable_diffusion_peer as peer
from mmlearn.evaluate import stable_diffusion_reconstruction as kept
from mmlearn.evaluate import stable_diffusion_speed as timed
from mmlearn.evaluate import stable_diffusion_walk as walked
from mmlearn.evaluate.generator_bench import Settings, judged
from mmlearn.evaluate.generators import GENERATORS
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE
from mmlearn.evaluate.prompts import fingerprint
from mmlearn.evaluate.results import load_result
from mmlearn.evaluate.scene_prompts import scene_prompts
from mmlearn.glide.grammar import GRAMMAR
from mmlearn.stable_diffusion import StableDiffusion, first_noise, lerp, slerp
from mmlearn.train.recipes import stable_diffusion as recipe
from mmlearn.world.grammar import Lot
from mmlearn.world.render import draw

LISTED = GENERATORS["stable-diffusion"]
PROMPTS = LISTED.prompts()
FEW = scene_prompts(GRAMMAR, 3, 1)
HOW = Settings(samples=1, steps=2, guidance=3.0, sampler="dpmpp_2m")


class Coder(Painter):
    """A painter with latents: pictures times 2. It spoils some of what it decodes."""

    device, own = "cpu", 2.0

    def __init__(self, prompts, spoilt=lambda images: images, **options):
        super().__init__(prompts, **options)
        self.spoilt, self.scale = spoilt, self.own

    def encode(self, images):
        return self.scale * images

    def decode(self, latents):
        return self.spoilt(latents / self.scale)

    def generate(self, prompts, **options):
        images = super().generate(prompts, **options)
        return self.decode(images * self.own).clamp(-1, 1)

    def edit(self, images, prompts, strength, **options):
        """Right, if the noise is as much as latents of its own scale expect."""
        right = self.scale == self.own
        return self.generate(prompts) if right else torch.zeros_like(images)


# What is asked, and what training showed.


def test_stable_diffusion_is_asked_what_glide_is_in_its_own_way():
    assert (LISTED.steps, LISTED.guidance, LISTED.sampler) == (20, 3, "dpmpp_2m")
    assert LISTED.plan["scales"] == (0, 1, 1.5, 2, 3, 4, 6)
    assert PROMPTS == GENERATORS["glide"].prompts()
    for name in ("relations", "phrases", "inpainting"):
        assert LISTED.claims[name] == GENERATORS["glide"].claims[name]
    for result in ("glide-aims", "glide-bench"):
        assert load_result(result)["prompts"]["sha256"] == fingerprint(PROMPTS)


def test_the_nearest_scenes_are_sought_where_training_showed_all():
    plan, seed = recipe.revised("laptop", 0)
    run = recipe.Encoded(None, plan, plan.steps, seed, course=recipe.REVISION)
    shown = LISTED.training(6, 0, 16)
    first = shown.records[0].index
    chunk, rest = divmod(first, plan.rows * plan.batch)
    assert rest == 0 and 0 < chunk < plan.steps / run.length - 1
    (last,) = run.lesson(plan.steps // run.length).shows
    assert run.lesson(chunk).shows == (last,) != run.lesson(chunk - 1).shows
    grammar = replace(recipe.TAUGHT, split="train", **last)  # as in `encode_row`
    taught = world.scenes(6, seed, 16, start=first, grammar=grammar)
    assert shown.records == taught.records
    assert {r.kind for r in LISTED.training(40, 0, 16).records} == set(GRAMMAR.kinds)


# What was hoped.


def tools_of(model):
    return SimpleNamespace(model=model, judge=model.judge)


def drawn_by(change):
    model = Coder(PROMPTS)
    images = model.known([change(p.record) for p in PROMPTS])
    return model, judged(model.judge, images, PROMPTS)


def test_more_is_hoped_than_of_glide_and_a_perfect_model_reaches_it():
    for own, theirs in zip(hoped.AIMS, glide_aims.AIMS, strict=True):
        assert (own[0], *own[2:]) == (theirs[0], *theirs[2:])
        assert (own[1] is None) == (theirs[1] is None)
        assert own[1] is None or own[1] > theirs[1]
    model, verdicts = drawn_by(lambda record: record)
    rows = hoped.aims(PROMPTS, verdicts, None, tools_of(model))
    assert all(row["met"] for row in rows if row["aim"] is not None)
    beside = [row for row in rows if row.get("GLIDE's") is not None]
    theirs = {r["question"]: r["share"] for r in load_result("glide-aims")["rows"]}
    for row in beside[: len(theirs)]:
        assert row["GLIDE's"] == theirs[row["question"]] and row["better"]
    assert {"all: existence", "all: whole prompt"} <= {r["question"] for r in beside}
    assert sum(row["aim"] is not None for row in rows) == 9


def test_a_model_worse_than_glide_is_said_to_be_worse():
    model, verdicts = drawn_by(lambda record: PROMPTS[0].record)
    rows = hoped.aims(PROMPTS, verdicts, None, tools_of(model))
    drawn = [r for r in rows if "better" in r and r["category"] != "nothing else"]
    assert len(drawn) > 12 and not any(row["better"] for row in drawn)
    some = hoped.beside(rows[:1], PROMPTS[:9], "glide-aims", "question")
    assert some[0]["GLIDE's"] is None and some[0]["better"] is None  # others were asked


def test_corrected_shares_are_compared_with_corrected_ones():
    own = {"share": 0.5, "low": 0.4, "high": 0.6, "corrected": 0.9}
    theirs = {"share": 0.6, "low": 0.5, "high": 0.7, "corrected": 0.8}
    theirs |= {"corrected_low": 0.7, "corrected_high": 0.9}
    assert hoped._compared(own, theirs)["better"]
    found = hoped._compared(own | {"corrected": None}, theirs)
    assert found["GLIDE's"] == 0.6 and not found["better"]


def test_reconstructions_that_lose_things_miss_the_aim():
    def sometimes(images):
        lost = torch.arange(len(images)) % 10 == 0
        return torch.where(lost[:, None, None, None], 0 * images, images)

    rows = hoped.kept(model := Coder(PROMPTS, sometimes), PROMPTS, model.judge)
    assert [row["met"] for row in rows] == [False, False]
    assert 0.85 < rows[0]["share"] < 0.95 and rows[0]["n"] == len(PROMPTS)
    assert rows[0]["low"] < rows[0]["share"] < rows[0]["high"]


def test_a_picture_that_takes_longer_than_a_second_misses_the_aim(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(hoped, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(Painter):
        def generate(self, prompts, **options):
            assert options["steps"] == 20 and options["guidance"] > 1
            assert len(prompts) == 1
            now[0] += self.takes
            return super().generate(prompts, **options)

    model = Slow(PROMPTS)
    for model.takes, met in ((0.9, True), (1.1, False)):
        row = hoped.quick(model, PROMPTS)
        assert row["met"] is met and row["n"] == hoped.TIMED
        assert row["seconds a picture"] == pytest.approx(model.takes)


# Reconstructions.


def test_what_is_left_is_counted_against_what_was_right_before():
    model = Painter(FEW)
    real = draw([p.record for p in FEW], PX)
    before = judged(model.judge, real, FEW)
    half = real.clone()
    half[::2] = 0
    after = judged(model.judge, half, FEW)
    n, k = len(FEW), len(FEW) // 2
    share, low, high = kept.of_real(after, before)
    assert share == k / n and 0 < low < share < high < 1
    assert kept.of_real(before, after)[0] == n / k  # against what was right before
    share, low, high = kept.of_real(before, before, ALL_CLAUSES)
    assert (share, high) == (1, 1) and 0.8 < low < 1  # so few are no proof
    nothing = judged(model.judge, 0 * real, FEW)
    assert kept.of_real(before, nothing) is None


def test_psnr_is_of_values_between_0_and_1():
    real = torch.zeros(2, 3, 4, 4)
    other = real.clone()
    other[1] = 0.2
    assert kept.psnr(other, real) == pytest.approx([100, 20], abs=1e-4)


def test_the_judge_tells_reconstructions_from_their_controls():
    model = Coder(FEW)
    claim = kept.reconstruction(model, FEW, model.judge, HOW, None)
    found = shares(claim)
    assert found["real scenes", WHOLE] == found["reconstructed", WHOLE] == 1
    for name in ("another scene's, reconstructed", "noise for latents"):
        assert found[name, WHOLE] < 0.2
    assert found[f"latents divided by {kept.SCALE}", WHOLE] == 0
    rows = {(r["pictures"], r["category"]): r for r in claim.rows}
    assert rows["reconstructed", WHOLE]["of the real"] == 1
    assert rows["reconstructed", WHOLE][kept.PSNR] == 100
    assert rows["noise for latents", WHOLE][kept.PSNR] < 20
    assert fits(claim) and kept.PSNR not in rows["real scenes", WHOLE]
    blurred = Coder(FEW, lambda images: 0.9 * images)
    found = shares(kept.reconstruction(blurred, FEW, blurred.judge, HOW, None))
    assert found["reconstructed", WHOLE] == 0


def test_a_wrong_scale_is_that_of_the_decoder_alone():
    model, images = tiny(), pictures(2)
    latents = model.vae.encode(images).mode * model.scale
    wanted = model.vae.decode(latents / 0.2).clamp(-1, 1)
    with torch.no_grad():
        assert torch.allclose(kept.painted(model, images, 0.2), wanted, atol=1e-5)
        assert (kept.painted(model, images) - wanted).abs().max() > 1e-2


# Negative prompts.


class Choosy(Painter):
    """Draws shapes red, or in the next colour that is not to be."""

    def __init__(self, heeds=lambda colour, without: colour in without):
        super().__init__([])
        self.heeds = heeds

    def generate(self, prompts, *, negative, **options):
        return self.known(
            [
                led_away._record(
                    next(c for c in GRAMMAR.colours if not self.heeds(c, without)),
                    text.split()[-1],
                )
                for text, without in zip(prompts, negative, strict=True)
            ]
        )


@pytest.mark.parametrize(
    ("heeds", "kept_by"),
    [
        (lambda colour, without: colour in without.split(), (1, 1, 1, 0, 0)),
        (lambda colour, without: False, (1, 1, 1, 1, 1)),  # it does not listen
        (lambda colour, without: without and colour == "red", (1, 0, 0, 0, 0)),
    ],
)
def test_a_negative_prompt_is_told_from_one_that_nobody_hears(heeds, kept_by):
    model, shapes = Choosy(heeds), GRAMMAR.shapes
    claim = led_away.negative(model, GRAMMAR, shapes, Eyes(model), HOW)
    assert tuple(row["share"] for row in claim.rows) == kept_by
    assert all(row["existence"] == 1 for row in claim.rows)
    assert fits(claim) and claim.rows[0]["n"] == len(shapes)


def test_what_is_led_away_from_is_not_what_stands_beside_it():
    shapes, colours = ("star", "heart") * 20, ("red", "blue") * 20
    said = led_away.negatives(GRAMMAR, shapes, colours, Lot(0))
    assert said["its colour"][:2] == ["a red star", "a blue heart"]
    assert said["its colour, the word"] == list(colours)
    for own, other, thing in zip(
        colours, said["another colour"], said["a thing"], strict=True
    ):
        assert own not in other.split() and own not in thing.split()
        assert other.split()[-1] in ("star", "heart")


def test_a_colour_that_was_not_read_is_drawn_by_lot():
    model = Painter([])
    record = world.arrange("green star")
    readings = model.read(torch.cat([model.known([record]), torch.zeros(1, 3, PX, PX)]))
    found = led_away.colours_of(readings, ["star"] * 2, GRAMMAR.colours, Lot(0))
    assert found[0] == "green" and found[1] in GRAMMAR.colours


# Halfway between noises.


class Walker(Painter):
    """Draws what it should from noise of the right length only."""

    def __init__(self, prompts):
        super().__init__(prompts)
        smoke = StableDiffusion.from_size("smoke")
        self.config, self.unet = smoke.config, smoke.unet

    def generate(self, prompts, *, noise, **options):
        images = super().generate(prompts, **options)
        good = (walked.lengths(noise) - 1).abs() < 0.15
        return torch.where(good, images, 0.5 * images)


def test_noise_from_the_line_is_too_short_and_its_pictures_tell():
    model = Walker(FEW)
    claim = walked.walk(model, FEW, model.judge, HOW)
    rows = {row["start"]: row for row in claim.rows}
    short = rows.pop("halfway along the line")
    assert short["share"] == 0 and short["length of noise"] == pytest.approx(
        2**-0.5, abs=0.03
    )
    assert all(row["share"] == 1 for row in rows.values()) and len(rows) == 5
    real = rows.pop("real scenes")
    for row in rows.values():
        assert row["length of noise"] == pytest.approx(1, abs=0.03)
    assert short["pixel std"] == pytest.approx(0.5 * real["pixel std"], rel=1e-2)
    assert short["pixel std low"] < short["pixel std"] < short["pixel std high"]
    assert fits(claim)


def test_both_ways_halfway_are_as_far_from_either_end():
    a, b = noise(3, 4, 8, 8), noise(3, 4, 8, 8, seed=1)
    for way in (lerp, slerp):
        middle = walked.halfway(way, a, b)
        for i in range(3):
            assert torch.allclose(middle[i], way(a[i], b[i], 0.5))
    flat = torch.zeros(1, 3, 4, 4)
    flat[:, 0] = 1  # of one colour: nothing differs
    assert walked.spread(flat) == [0]


# Broken scales.


def test_another_scale_leaves_the_model_and_its_weights_alone():
    model = tiny()
    other = broken.scaled(model, 1.0)
    assert model.scale == 0.3 and other.scale == 1 and other.unet is model.unet
    latents = noise(1, 4, 8, 8)
    with torch.no_grad():
        assert other.decode(0.3 * latents).equal(model.vae.decode(0.3 * latents))
        assert not other.decode(latents).equal(model.decode(latents))
        # What goes in and out unchanged does not feel it.
        x = pictures(1)
        there = other.decode(other.encode(x)), model.decode(model.encode(x))
        assert torch.allclose(*there, atol=1e-4)


def test_breaks_tell_a_wrong_scale_from_the_right_one():
    model = Coder(FEW)
    claim = broken.breaks(model, FEW, model.judge, HOW)
    found = shares(claim)
    for task in ("drawn", "edited"):
        assert found[task, "its own"] == found["real scenes", None] == 1
        assert found[task, "none (1)"] == found[task, "0.18215"] == 0
    assert found["drawn, captions exchanged", "its own"] < 0.2
    assert fits(claim) and model.scale == Coder.own


def test_edits_of_another_scale_are_other_edits():
    model, images = tiny(), pictures(1)
    one, same, other = (
        broken.edited(m, images, ["a red star"], HOW)
        for m in (model, model, broken.scaled(model, 1.0))
    )
    assert one.equal(same) and not torch.allclose(one, other, atol=1e-2)


# Speed.


def test_rivals_take_turns_and_the_slower_one_is_said_to_be_slower():
    now, order = [0.0], []

    def rival(name, takes):
        def draws(texts, x):
            order.append(name)
            now[0] += takes * len(texts)
            return torch.zeros(len(texts), 3, 4, 4)

        return draws

    rivals = {"mmlearn": rival("mmlearn", 1.0), "diffusers": rival("diffusers", 1.5)}
    texts, x = ["a", "b", "c"], torch.zeros(3, 4, 2, 2)
    found = timed.in_turns(rivals, texts, x, 1, 2, clock=lambda: now[0])
    assert order[:4] == ["mmlearn", "diffusers", "diffusers", "mmlearn"]
    assert found.seconds == {"mmlearn": [1.0] * 6, "diffusers": [1.5] * 6}
    assert found.images["mmlearn"].shape == (3, 3, 4, 4)
    found = timed.in_turns(rivals, texts, x, 3, 1, clock=lambda: now[0])
    assert found.seconds["diffusers"] == [1.5]


def test_a_median_has_its_interval():
    found = timed.median_of("s", [1.0, 2.0, 3.0, 4.0, 100.0])
    assert found["s"] == 3 and found["s low"] < 3 < found["s high"]


def test_the_table_shows_who_draws_other_pictures():
    model = Walker(FEW[:3])
    first = draw([p.record for p in FEW[:3]], PX)

    def others(texts, noise):
        return model.generate(texts, noise=noise) * 0.75

    def ours(texts, noise):
        return model.generate(texts, noise=noise)

    rivals = {"mmlearn": ours, "diffusers": others}
    claim = timed.speed(model, rivals, FEW[:3], model.judge, HOW)
    rows = {(r["at once"], r["drawn by"]): r for r in claim.rows}
    assert rows[1, "mmlearn"]["share"] == 1 and rows[3, "diffusers"]["share"] == 0
    apart = rows[1, "diffusers"]["largest difference"]
    assert apart == pytest.approx(0.25 * first.abs().max().item(), rel=1e-2)
    assert rows[1, "mmlearn"]["times ours"] == 1 and fits(claim)


@pytest.mark.parametrize("config", [CONFIG, SECOND_CONFIG])
def test_a_pipeline_with_our_weights_draws_our_pictures(config):
    pytest.importorskip("diffusers")
    model, how = tiny(config), Settings(1, 4, 3.0, "dpmpp_2m")
    rivals, x = timed.rivals_of(model, how), first_noise(model, 0, range(2))
    texts = ["a red star", "two blue cubes"]
    ours, *others = (draws(texts, x) for draws in rivals.values())
    assert len(others) == 2 and ours.std() > 0.1
    for found in others:
        assert (found - ours).abs().max() < 1e-4
    weaker = Settings(1, 4, 2.0, "dpmpp_2m")
    pipe = peer.pipeline(model)
    assert (peer.theirs(model, pipe, texts, x, weaker) - ours).abs().max() > 1e-3


def test_without_diffusers_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match="pip install diffusers, or name the other"):
        peer.pipeline(tiny())


# The command.


GLIDES = ("relations", "phrases")  # tried in GLIDE's own tests


def test_the_command_writes_the_claims_of_stable_diffusion(
    tmp_path, monkeypatch, capsys
):
    pytest.importorskip("diffusers")
    painter = Painter([])  # knows no picture: all that it is shown is wrong
    monkeypatch.setattr(generator_tools, "load_judge", lambda source: Eyes(painter))
    monkeypatch.setitem(hoped.GUIDED, "steps", 2)
    monkeypatch.setattr(timed, "TIMES", {"one": 1, "all": 1})
    model = StableDiffusion.from_size("smoke")
    model.words = None
    saved = model.save_pretrained(tmp_path / "model", {"seed": 0})
    claims = [name for name in LISTED.claims if name not in GLIDES]
    words = ["--weights", str(saved), "--out", str(tmp_path), "--size", "smoke"]
    words += ["--steps", "2", "--only", "bench", *claims]
    assert main(["evaluate", "stable-diffusion", *words]) == 0
    printed = capsys.readouterr().out
    for name in claims:
        result = json.loads((tmp_path / f"stable-diffusion-{name}.json").read_text())
        only = f"python -m mmlearn evaluate stable-diffusion --only {name}"
        assert result["command"].startswith(only) and result["about"]
        used = {"own stable-diffusion", "judge-laptop", "clip-laptop"}
        assert set(result["checkpoints"]) == used
        assert result["rows"] and f"stable-diffusion-{name}.json" in printed
        with Image.open(tmp_path / f"stable-diffusion-{name}-wall.png") as page:
            page.verify()
    rows = json.loads((tmp_path / "stable-diffusion-aims.json").read_text())["rows"]
    assert rows[-1]["category"] == "time" and not rows[0]["met"]
    # An untrained model leaves what is outside of holes as it was, to the last bit.
    path = tmp_path / "stable-diffusion-inpainting.json"
    rows = json.loads(path.read_text())["rows"]
    assert {row["changed outside"] for row in rows} == {0}


def test_the_speed_sets_its_sampler_itself(capsys):
    words = ["--only", "speed", "--sampler", "ddim"]
    assert main(["evaluate", "stable-diffusion", *words]) == 2
    error = capsys.readouterr().err
    assert "leave --sampler out" in error and error.count("\n") == 1
