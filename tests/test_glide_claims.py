"""GLIDE's claims can come out either way: planted models win and lose them.

The stand-in models draw from their prompts' records, and the stand-in judge knows of
every picture which record it was drawn from.
"""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from painter import PX, Painter, fits, shares
from PIL import Image
from tiny_glide import randomised
from torch import nn

from mmlearn import world
from mmlearn.__main__ import main
from mmlearn.clip import CLIP
from mmlearn.evaluate import generator_phrases as phrases
from mmlearn.evaluate import generator_tools
from mmlearn.evaluate import glide_breaks as broken
from mmlearn.evaluate import glide_guidance as guided
from mmlearn.evaluate import glide_inpainting as filled
from mmlearn.evaluate import glide_relations as related
from mmlearn.evaluate.clauses import clauses
from mmlearn.evaluate.generator_bench import Settings
from mmlearn.evaluate.generator_kinds import by_kind
from mmlearn.evaluate.generators import GENERATORS
from mmlearn.evaluate.glide_aims import AIMS, aims
from mmlearn.evaluate.prompts import held_out_rules
from mmlearn.evaluate.scene_prompts import SEED, scene_prompts
from mmlearn.glide import GLIDE
from mmlearn.glide.grammar import GRAMMAR
from mmlearn.nn.time_embedding import TimeEmbedding, sinusoids
from mmlearn.train.recipes.noised_clip import untrained
from mmlearn.world.grammar import compose
from mmlearn.world.phrases import PLACING
from mmlearn.world.render import draw
from mmlearn.world.splits import held_out

PROMPTS = scene_prompts(GRAMMAR)
FEW = scene_prompts(GRAMMAR, 3, 1)
PAIRS = related.pairs_of(GRAMMAR, 8)
HOLES = filled.hole_prompts(GRAMMAR, 6)
HOW = Settings(samples=1, steps=2, guidance=3.0, sampler="ddim")
CARD = {"relation": {"sensitivity": (90, 100), "specificity": (90, 100)}}


# What is asked.


def test_scene_prompts_are_balanced_new_and_say_what_is_held_out():
    kinds = Counter((p.record.kind, p.split) for p in PROMPTS)
    assert kinds == {
        **{(kind, "seen"): 24 for kind in GRAMMAR.kinds},
        **{(kind, "held_out"): 12 for kind in GRAMMAR.kinds},
        ("single", "held_out"): 24,
    }
    assert len({p.text for p in PROMPTS}) == len({p.id for p in PROMPTS}) == 156
    for p in PROMPTS:
        assert p.text == world.caption(p.record)
        assert bool(held_out_rules(p.record)) == (p.split == "held_out")
    assert not any(held_out(p.record) for p in PROMPTS if p.split == "seen")
    numbers = Counter(
        (p.split, p.record.count) for p in PROMPTS if p.record.kind == "count"
    )
    assert numbers == {
        (split, n): times
        for split, times in (("seen", 6), ("held_out", 3))
        for n in (1, 2, 3, 4)
    }
    places = Counter(p.record.relation for p in PROMPTS if p.split == "seen")
    assert {places[r] for r in GRAMMAR.relations} == {6}
    asked = Counter(c.category for p in PROMPTS for c in clauses(p.record))
    assert asked["binding"] >= 30 and asked["relation"] == 36


def test_no_scene_that_is_asked_for_is_of_training():
    assert SEED != 0 and scene_prompts(GRAMMAR) == PROMPTS
    trained = {compose(GRAMMAR, 0, i).replace(index=0) for i in range(500)}
    for p in (*PROMPTS, *HOLES, *(p for pair in PAIRS for p in pair)):
        assert p.record.replace(index=0) not in trained


def test_a_grammar_with_too_few_scenes_is_refused():
    one = replace(
        GRAMMAR, things=(), shapes=("star",), colours=("red",), kinds=("single",)
    )
    with pytest.raises(ValueError, match="too few 'test' scenes of the kind 'single'"):
        scene_prompts(one, seen=200)


# By kind of scene, and what was hoped.


def bench_of(change=lambda record: record):
    painter = Painter([])
    images = painter.known([change(p.record) for p in PROMPTS])
    names = [p.id for p in PROMPTS]
    return painter.judge(images, [p.record for p in PROMPTS], names)


def test_by_kind_tells_kinds_numbers_and_held_out_rules_apart():
    def fewer(record):  # never more than two of anything
        return record.replace(items=record.items[:2])

    rows = by_kind(PROMPTS, bench_of(fewer))
    found = {(r["scenes"], r["split"], r["category"]): r["share"] for r in rows}
    for kind in GRAMMAR.kinds:
        right = 0.5 if kind == "count" else 1
        for said in ("all", "seen", "held out"):
            assert found[kind, said, "whole prompt"] == right
    assert found["count", "all", "count"] == 0.5
    by_number = [found[f"count: {n}", "all", "whole prompt"] for n in ("two", "three")]
    assert by_number == [1, 0]
    rules = {r["scenes"] for r in rows if r["scenes"].startswith("held out")}
    assert {"held out: colour", "held out: thing-style", "held out: count"} <= rules
    assert by_kind([p for p in PROMPTS if p.record.kind == "single"], []) == []


def exchanged(record):
    a, b = record.items
    items = replace(a, colour=b.colour), replace(b, colour=a.colour)
    return record.replace(items=items)


def test_aims_are_met_by_a_perfect_model_and_missed_by_planted_faults():
    rows = aims(PROMPTS, bench_of())
    assert [r["question"] for r in rows] == [a[0] for a in AIMS]
    assert all(r["met"] is (None if r["aim"] is None else True) for r in rows)

    def faulty(record):
        if record.kind in ("pair", "relation") and not any(
            item.artist for item in record.items
        ):
            return exchanged(record)
        return record

    missed = {
        r["question"] for r in aims(PROMPTS, bench_of(faulty)) if r["met"] is False
    }
    # Shapes of one noun, told apart by their colours, also stand the wrong way round.
    assert "two things: colours bound" in missed
    assert not any("one" in question for question in missed)
    bound = {"binding": {"sensitivity": (100, 100), "specificity": (20, 100)}}
    row = next(
        r for r in aims(PROMPTS, bench_of(), bound) if r["category"] == "binding"
    )
    assert row["corrected"] is not None and row["met"]


# The claims.


def test_the_two_sentences_of_a_pair_say_the_same_in_either_order():
    assert len({pair[0].id for pair in PAIRS}) == len(PAIRS) == 8
    for n, (one, other) in enumerate(PAIRS):
        assert one.id == other.id and one.text != other.text
        a, b = one.record, other.record
        assert a.relation == b.relation == GRAMMAR.relations[n % 4]
        assert a.background == b.background and a.variant == b.variant
        assert [i.noun for i in a.items] == [i.noun for i in b.items][::-1]
        assert {i.box for i in a.items} == {i.box for i in b.items}
        assert not held_out(a) and not held_out(b)


def test_relations_tell_a_model_that_reads_order_from_one_that_does_not():
    both = [p for pair in PAIRS for p in pair]
    model = Painter(both)
    claim = related.relations(model, PAIRS, model.judge, HOW, CARD)
    found = shares(claim)
    for whose in ("real scenes", "the model's"):
        assert found[whose, "own sentence"] == found[whose, "both of a pair"] == 1
        assert found[whose, "exchanged sentence"] == 0
    assert claim.rows[1]["corrected"] == 1 and claim.rows[3]["corrected"] is None
    assert claim.rows[1]["prompts"] == 8 and claim.rows[1]["n"] == 16
    assert fits(claim) and claim.images.shape[:2] == (8, 2)

    firsts = {p.record: pair[0].record for pair in PAIRS for p in pair}
    blind = Painter(both, lambda record, options: firsts[record])
    found = shares(related.relations(blind, PAIRS, blind.judge, HOW))
    assert found["the model's", "things named"] == 1
    for by in ("own sentence", "exchanged sentence"):
        assert found["the model's", by] == 0.5
    assert found["the model's", "both of a pair"] == 0

    def sideways(record, options):  # up and down it never gets right
        return firsts[record] if record.relation in ("above", "below") else record

    found = shares(
        related.relations(uneven := Painter(both, sideways), PAIRS, uneven.judge, HOW)
    )
    assert found["the model's, across", "own sentence"] == 1
    assert found["the model's, up", "own sentence"] == 0.5


def test_a_phrase_places_both_things_and_a_model_is_asked_in_each_by_itself():
    asked = {name: phrases.phrased(GRAMMAR, name, 3) for name in PLACING}
    for name, prompts in asked.items():
        assert all(f" {name} " in p.text for p in prompts)
        assert all(p.record.relation and not held_out(p.record) for p in prompts)
    every = [p for prompts in asked.values() for p in prompts]
    assert len({p.id for p in every}) == len(every) == 24
    swapped = {p.record: world.twin(p.record, "order") for p in asked["over"]}
    model = Painter(every, lambda record, options: swapped.get(record, record))
    claim = phrases.phrases(model, asked, model.judge, HOW)
    for row in claim.rows:  # one scene may be asked for in several phrases
        wrong = [p.record in swapped for p in asked[row["phrase"]]]
        assert row["share"] == pytest.approx(1 - sum(wrong) / 3, abs=1e-3)
    found = {row["phrase"]: row["share"] for row in claim.rows}
    assert found["over"] == 0 and found["to the left of"] == 1
    assert {r["existence"] for r in claim.rows} == {1}
    assert fits(claim) and len(claim.images) == 24
    assert claim.prompts[:8] == [prompts[0] for prompts in asked.values()]


def test_both_pictures_of_a_pair_start_from_the_same_noise():
    asked = []

    class Noting(Painter):
        def generate(self, prompts, **options):
            asked.append(options)
            return super().generate(prompts, **options)

    model = Noting([p for pair in PAIRS for p in pair])
    related.relations(model, PAIRS, model.judge, HOW)
    assert len(asked) == 2 and asked[0] == asked[1]


class Filler(Painter):
    """Fills holes with the real scene's pixels where it is told what to draw."""

    def __init__(self, prompts, spills=0.0):
        super().__init__(prompts)
        self.spills = spills

    def inpaint(self, images, mask, prompts, **options):
        inside = self.generate([text or HOLES[0].text for text in prompts])
        if not any(prompts):
            inside = images.roll(1, dims=2)
        return images * (1 - mask) + inside * mask + self.spills


def test_holes_show_the_first_thing_and_nothing_of_the_second():
    given, masks = filled.holes(HOLES, 64)
    real = draw([p.record for p in HOLES], 64)
    apart = ((given - real).abs().amax(dim=1, keepdim=True) > 0).float()
    assert (apart * (1 - masks)).sum() == 0  # outside, given and real are one
    assert (apart.sum(dim=(1, 2, 3)) > 50).all()  # the second was there
    assert (
        masks.unique().tolist() == [0, 1] and (masks.mean(dim=(1, 2, 3)) < 0.25).all()
    )
    for p in HOLES:
        first, second = p.record.items
        assert first.noun != second.noun


def test_inpainting_tells_words_that_are_obeyed_from_a_hole_left_alone():
    model = Filler(HOLES)
    claim = filled.inpainting(model, HOLES, model.judge, HOW)
    found = shares(claim)
    for name in ("real scenes", "filled by the prompt"):
        assert found[name, "existence"] == found[name, "whole prompt"] == 1
    for name in ("the hole left grey", "filled without words"):
        assert found[name, "existence"] == found[name, "whole prompt"] == 0
    assert {row["n"] for row in claim.rows if row["category"] == "existence"} == {6}
    assert {row["changed outside"] for row in claim.rows} == {0}
    assert fits(claim) and claim.images.shape[1] == 4
    spilling = Filler(HOLES, spills=0.01)
    rows = filled.inpainting(spilling, HOLES, spilling.judge, HOW).rows
    assert rows[-1]["changed outside"] == pytest.approx(0.01, abs=1e-5)


def test_flipped_reads_sines_as_cosines_and_leaves_the_model_alone():
    model = GLIDE.from_size("smoke")
    before = {name: x.clone() for name, x in model.state_dict().items()}
    other = broken.flipped(model)
    assert all(x.equal(before[name]) for name, x in model.state_dict().items())
    whole, wrong = (
        [m for m in x.modules() if isinstance(m, TimeEmbedding)] for x in (model, other)
    )
    assert len(whole) == len(wrong) == 2
    t = torch.tensor([0, 10, 500])
    for one, two in zip(whole, wrong, strict=True):
        cosines, sines = sinusoids(t, one.width).chunk(2, dim=1)
        by_hand = one.fc2(nn.functional.silu(one.fc1(torch.cat([sines, cosines], 1))))
        assert torch.allclose(two(t), by_hand, atol=1e-6)
        assert not torch.allclose(two(t), one(t), atol=1e-3)


def test_breaks_measures_each_damage_on_the_same_prompts():
    def unguided(record, options):
        plain = record.replace(background="striped")
        return plain if options["guidance"] == 1 else record

    model = Painter(FEW, unguided)
    claim = broken.breaks(model, FEW, model.judge, HOW)
    found = {row["damage"]: row for row in claim.rows}
    assert found["nothing"]["share"] == found["nothing"]["existence"] == 1
    assert found["no guidance"]["existence"] == 1
    assert found["no guidance"]["background"] == 0
    assert found["captions exchanged"]["share"] < 0.2
    assert found["sine for cosine"]["share"] == 1  # a painter knows no time
    assert fits(claim) and {row["n"] for row in claim.rows} == {len(FEW)}


def test_exchanged_captions_are_worse_told_only_if_the_base_listens():
    deaf = GLIDE.from_size("smoke", upsampler=False).eval()  # its last layer is zero
    told, other = ([p.text for p in side] for side in (FEW, FEW[1:] + FEW[:1]))
    assert broken.error(deaf, FEW, told) == broken.error(deaf, FEW, other)
    hears = GLIDE(randomised(deaf.base, 0), tokenizer=deaf.tokenizer)
    assert broken.error(hears, FEW, told) == broken.error(hears, FEW, told)
    assert broken.error(hears, FEW, told) != broken.error(hears, FEW, other)
    assert broken.error(Painter(FEW), FEW, told) is None


@pytest.fixture(scope="module")
def clips():
    return untrained("smoke", 0).eval(), CLIP.from_size("smoke", seed=1).eval()


class Led(Painter):
    """Right when it leads itself; led by a CLIP, it draws the next prompt's scene."""

    base = GLIDE.from_size("smoke", upsampler=False).base

    def __init__(self, prompts):
        super().__init__(prompts, self.follow)
        records = [p.record for p in prompts]
        self.next = dict(zip(records, records[1:] + records[:1], strict=True))

    def follow(self, record, options):
        assert options["sampler"] == "ddpm" and options["upsample"] is False
        if options.get("clip") is not None:
            assert options["guidance"] == 1 and options["clip_guidance"] > 0
            return self.next[record]
        return record if options["guidance"] > 1 else self.next[record]


def test_clip_guidance_is_judged_by_more_than_the_clip_that_leads(clips):
    model = Led(FEW)
    claim = guided.by_leader(model, *clips, FEW, model.judge, HOW, (3.0,), (1.0, 9.0))
    found = shares(claim)
    assert found["real scenes", None] == found["itself", 3.0] == 1
    for led in (("nothing", 1.0), ("CLIP", 1.0), ("CLIP", 9.0)):
        assert found[led] < 0.2
    scores = {row["led by"]: row for row in claim.rows}
    for name in (guided.LEADER, guided.OTHER):
        assert scores["itself"][name] == scores["real scenes"][name]
        assert scores["itself"][name] != scores["CLIP"][name]
        low, high = (scores["CLIP"][f"{name} {end}"] for end in ("low", "high"))
        assert -1 <= low <= scores["CLIP"][name] <= high <= 1
    assert fits(claim) and claim.size == 32


def test_the_leading_clips_score_is_what_its_guidance_climbs(clips):
    noised, _ = clips
    images, texts = draw([p.record for p in FEW[:3]], 32), [p.text for p in FEW[:3]]
    with torch.no_grad():
        seen = noised.encode_image(images, torch.zeros(3, dtype=torch.long))
        said = noised.clip.encode_text(noised.clip.tokenize(texts))
    wanted = nn.functional.cosine_similarity(seen, said)
    assert torch.allclose(torch.tensor(guided.leading(noised, images, texts)), wanted)


def test_a_judge_that_is_not_shipped_has_no_card_at_any_size(saved):
    tools = generator_tools.Tools(Painter(FEW), {}, card_lines="no card")
    assert tools.card_at(64) == (None, "no card")
    tools.card = CARD
    assert tools.card_at(PX)[0] is CARD  # the models' own size
    other, lines = tools.card_at(64)
    assert other is not CARD and "relation" in lines


# The command.


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = GLIDE.from_size("smoke").for_inpainting()
    folder = tmp_path_factory.mktemp("saved") / "model"
    return model.save_pretrained(folder, {"seed": 0})


def test_the_command_writes_the_claims_of_glide_alone(
    saved, tmp_path, monkeypatch, capsys
):
    painter = Painter([])  # knows no picture: all that it is shown is wrong
    monkeypatch.setattr(generator_tools, "load_judge", lambda source: painter.judge)
    noised = untrained("smoke", 0).save_pretrained(tmp_path / "noised", {})
    found = SimpleNamespace(find=lambda size, kind: noised)
    monkeypatch.setattr(guided, "weights", found)
    claims = ("bench", "relations", "phrases", "inpainting", "break", "clip-guidance")
    words = ["--weights", str(saved), "--out", str(tmp_path), "--size", "smoke"]
    words += ["--steps", "2", "--only", *claims]
    assert main(["evaluate", "glide", *words]) == 0
    printed = capsys.readouterr().out
    for name in claims[1:]:
        result = json.loads((tmp_path / f"glide-{name}.json").read_text())
        assert result["command"].startswith("python -m mmlearn evaluate glide --only")
        assert result["about"] and result["commit"] and result["seeds"] == [0]
        used = {"own glide", "judge-laptop", "clip-laptop"}
        used |= {"own noised-clip"} if name == "clip-guidance" else set()
        assert set(result["checkpoints"]) == used
        assert result["settings"]["steps"] == 2 and result["prompts"]["n"] >= 3
        assert result["settings"]["guidance"] and result["rows"]
        assert f"glide-{name}.json" in printed
        with Image.open(tmp_path / f"glide-{name}-wall.png") as page:
            page.verify()
    for part in ("kinds", "aims"):
        assert json.loads((tmp_path / f"glide-{part}.json").read_text())["rows"]
    # An untrained model leaves what is outside of holes as it was, to the last bit.
    rows = json.loads((tmp_path / "glide-inpainting.json").read_text())["rows"]
    assert {row["changed outside"] for row in rows} == {0}


def test_glide_is_asked_with_its_settings_and_shown_what_it_was_trained_on():
    listed = GENERATORS["glide"]
    assert (listed.steps, listed.guidance, listed.sampler) == (20, 3, "ddim")
    assert listed.prompts() == PROMPTS
    kinds = {r.kind for r in listed.training(40, 0, 16).records}
    assert kinds == set(GRAMMAR.kinds)  # not the easy ones that came first


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "beauty"], "relations, phrases, inpainting, break"),
        (["--only", "clip-guidance", "--steps", "9"], "leave --steps out"),
        (["--only", "relations", "--prompts", "x.csv"], "leave --prompts out"),
    ],
)
def test_a_bad_request_gets_one_sentence(words, says, capsys):
    assert main(["evaluate", "glide", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_model_that_fills_no_holes_gets_one_sentence(tmp_path, monkeypatch, capsys):
    plain = GLIDE.from_size("smoke").save_pretrained(tmp_path / "model", {"seed": 0})
    monkeypatch.setattr(generator_tools, "load_judge", lambda source: Painter([]).judge)
    words = ["--size", "smoke", "--weights", str(plain), "--only", "inpainting"]
    assert main(["evaluate", "glide", *words, "--out", str(tmp_path)]) == 2
    assert "not trained to fill holes" in capsys.readouterr().err
