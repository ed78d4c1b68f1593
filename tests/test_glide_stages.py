"""Two stages or one: both sides cost the same, and either can win."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import randomised
from torch import nn

from mmlearn import world
from mmlearn.__main__ import main
from mmlearn.evaluate import generator_tools
from mmlearn.evaluate import glide_stages as staged
from mmlearn.evaluate import glide_stages_training as training
from mmlearn.evaluate.generator_bench import Settings
from mmlearn.evaluate.judged import judge_readings
from mmlearn.evaluate.reading import Reading
from mmlearn.glide import GLIDE, as_8_bit
from mmlearn.train.recipes import glide
from mmlearn.train.recipes import glide_lesson as lesson
from mmlearn.train.recipes.glide import SLOWER, stage_loss
from mmlearn.world.grammar import compose

SHOWN = {p.record.items[0].noun: p for p in staged.asked(24)}
PROMPTS = list(SHOWN.values())[:3]  # of three different things: none is another's
HOW = Settings(samples=1, steps=2, guidance=3.0, sampler="ddim")
WAYS = ["real scenes", "two stages", "one stage", "base, enlarged"]


@pytest.fixture(scope="module")
def rivals():
    """Untrained ones, in which nothing is zero, so that every stage draws something."""
    found = training.untrained("smoke", 0)
    for seed, part in enumerate(found.plans):
        randomised(found.stage(part), seed)
    return found


@pytest.fixture(scope="module")
def large():
    return training.untrained("laptop", 0)


def by_saturation(images, records, prompts=None):
    """A judge to whom real scenes, which have colours, are right and grey is wrong."""
    vivid = (images.amax(1) - images.amin(1)).mean(dim=(1, 2)) > 0.02
    other = [records[i - 1] for i in range(len(records))]
    pairs = zip(vivid.tolist(), records, other, strict=True)
    readings = [Reading.of(own if right else wrong) for right, own, wrong in pairs]
    return judge_readings(records, readings, prompts)


# What both sides cost.


def test_two_stages_and_one_cost_the_same(large):
    two, one = (large.costs(staged.PARTS[way]) for way in WAYS[1:3])
    for name, most in (("million parameters", 0.1), ("multiplications", 0.02)):
        assert one[name] == pytest.approx(two[name], rel=most)
    base = large.costs(staged.PARTS["base, enlarged"])
    assert base["million parameters"] < two["million parameters"]
    assert base["multiplications"] < two["multiplications"]


def test_the_parts_are_the_lesson_s_and_the_shipped_ones_are_as_large(large):
    wanted = GLIDE.from_size("lesson", device="meta")
    shipped = GLIDE.from_size("laptop", device="meta")
    for part in ("base", "upsampler"):
        config = getattr(wanted, part).config
        assert large.stage(part).config == config
        heads = {"head_width": 16} if part == "base" else {}
        smaller = replace(config, context=24, **heads)
        assert smaller == getattr(shipped, part).config
    alone = lesson.untrained("laptop", 0).base.state_dict()
    assert all(alone[k].equal(x) for k, x in large.two.base.state_dict().items())
    plans, recipe = large.plans, lesson.RECIPES["laptop"]
    assert plans["base"] == recipe and (recipe.steps, recipe.batch) == (1_400, 32)
    assert plans["upsampler"].lr == glide.RECIPES["laptop"]["upsampler"].lr
    # One stage is taught as the base is, in as many steps as it can afford.
    assert plans["one stage"] == replace(recipe, steps=plans["one stage"].steps)
    assert large.one.image_size == large.two.image_size == 64


def test_multiplications_are_those_of_the_layers(rivals):
    for part in rivals.plans:
        stage, layers = rivals.stage(part), []

        def seen(layer, _, out, layers=layers):
            each = layer.weight[0].numel()  # for every number that comes out
            layers.append(out.numel() * each)

        hooks = [
            layer.register_forward_hook(seen)
            for layer in stage.modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]
        found = training.multiplications(stage)
        for hook in hooks:
            hook.remove()
        assert sum(layers) <= found < 1.2 * sum(layers)  # the rest is attention
        plan = rivals.plans[part]
        spent = training.of_training(stage, replace(plan, steps=3, batch=5))
        assert spent == 15 * found


def test_another_size_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="one of the sizes smoke, laptop, not 'gpu'"):
        training.untrained("gpu", 0)


# What both sides are taught.


def test_all_parts_see_the_lesson_s_scenes_and_the_upsampler_small_ones_too(rivals):
    made = {part: training.batches(rivals, part, 7) for part in rivals.plans}
    ours = lesson.batches(rivals.two, rivals.plans["base"], 7)
    for mine, theirs in zip(made["base"](2), ours(2), strict=True):
        assert torch.equal(mine, theirs)
    images, tokens = made["one stage"](2)
    assert images.shape[-1] == 64 and torch.equal(tokens, ours(2)[1])
    n = rivals.plans["upsampler"].batch
    pictures, told, small = made["upsampler"](1)
    assert torch.equal(told, ours(0)[1][n : 2 * n])
    assert torch.equal(pictures, made["one stage"](0)[0][n : 2 * n])
    assert torch.equal(small, as_8_bit(ours(0)[0][n : 2 * n]))


def test_all_parts_are_trained_alike_and_their_averages_draw(monkeypatch):
    taught, averages = [], []

    def recorded(stage, loss, made, plan, **options):
        taught.append((stage, loss, plan, options))
        averages.append(training.TextUNet(stage.config))
        return SimpleNamespace(ema=averages[-1], seconds=len(taught))

    monkeypatch.setattr(training, "run", recorded)
    found = training.trained("smoke", 3)
    before = training.untrained("smoke", 3)
    for (stage, loss, plan, options), part in zip(taught, before.plans, strict=True):
        assert stage.config == before.stage(part).config and loss is stage_loss
        assert plan == before.plans[part]
        assert options == {"slower": {"text": SLOWER}, "seed": 3}
    assert [found.stage(part) for part in before.plans] == averages
    seconds = {w: found.costs(staged.PARTS[w])["training seconds"] for w in WAYS[1:]}
    assert list(seconds.values()) == [1 + 2, 3, 1]


def test_what_is_asked_is_new_and_of_the_lesson():
    prompts = staged.asked(staged.MOST)
    assert len({p.text for p in prompts}) == staged.MOST
    assert {p.split for p in prompts} == {"seen"}
    shown = {compose(lesson.GRAMMAR, 0, i).replace(index=0) for i in range(2_000)}
    for p in prompts:
        assert p.text == world.caption(p.record)
        assert p.record.kind == "single" and p.record.replace(index=0) not in shown
        nouns = lesson.GRAMMAR.things + lesson.GRAMMAR.shapes
        assert p.record.items[0].noun in nouns


# What is measured.


def test_the_enlarged_row_uses_no_upsampler_and_the_two_stages_do(rivals):
    found = staged.pictures(rivals, PROMPTS, HOW)
    assert list(found) == WAYS
    assert {x.shape for x in found.values()} == {(len(PROMPTS), 3, 64, 64)}
    words = {"steps": 2, "guidance": 3.0, "sampler": "ddim", "progress": False}
    texts = [p.text for p in PROMPTS]
    small = rivals.two.generate(texts, upsample=False, **words)
    large = F.interpolate(small, scale_factor=2, mode="bilinear")
    assert torch.equal(found["base, enlarged"], large)
    assert torch.equal(found["two stages"], rivals.two.generate(texts, **words))

    other = training.untrained("smoke", 9).two.upsampler  # it knows nothing yet
    two = GLIDE(rivals.two.base, other, rivals.two.tokenizer)
    again = staged.pictures(replace(rivals, two=two), PROMPTS, HOW)
    same = [name for name in WAYS if torch.equal(found[name], again[name])]
    assert same == ["real scenes", "one stage", "base, enlarged"]


@pytest.mark.parametrize("best", WAYS[1:])
def test_any_way_can_win(best, rivals, monkeypatch):
    def planted(rivals, prompts, how):
        real = world.draw([p.record for p in prompts], 64)
        right = ("real scenes", best)
        return {way: real if way in right else 0 * real for way in WAYS}

    monkeypatch.setattr(staged, "pictures", planted)
    claim = staged.stages(rivals, PROMPTS, by_saturation, HOW)
    assert [row["pictures"] for row in claim.rows] == WAYS
    for row in claim.rows:
        won = row["pictures"] in ("real scenes", best)
        assert row["share"] == won and (row[staged.COLOUR] == 0) == won
        assert (row["existence"] == 1) == won
        low, high = (row[f"{staged.COLOUR} {end}"] for end in ("low", "high"))
        assert low <= row[staged.COLOUR] <= high


def test_each_way_stands_beside_what_it_costs(rivals):
    seconds = {"base": 5.0, "upsampler": 2.0, "one stage": 8.0}
    known = replace(rivals, seconds=seconds)
    claim = staged.stages(known, PROMPTS, by_saturation, HOW)
    rows = {row["pictures"]: row for row in claim.rows}
    parameters = {
        part: sum(p.numel() for p in rivals.stage(part).parameters())
        for part in rivals.plans
    }
    for way, parts in staged.PARTS.items():
        number = sum(parameters[part] for part in parts) / 1e6
        assert rows[way]["million parameters"] == round(number, 2)
        assert rows[way]["training seconds"] == sum(seconds[part] for part in parts)
    assert rows["two stages"]["training seconds"] == 7
    assert "million parameters" not in rows["real scenes"]
    assert claim.images.shape[:2] == (len(PROMPTS), 4) and len(claim.heads) == 4
    assert len(claim.verdicts) == 4 * len(PROMPTS)
    assert "one seed: preliminary" in claim.about


def test_the_mean_colour_error_is_of_means_and_of_nothing_else():
    real = torch.zeros(3, 3, 4, 4)
    moved = real.clone()
    moved[0] += 0.5  # a quarter of the way from black to white
    moved[1, :, :2], moved[1, :, 2:] = 0.5, -0.5  # other pixels, the same mean
    moved[2, 0], moved[2, 1] = 0.6, -0.6  # redder, less green: no mean over colours
    found = staged.mean_colour(moved, real)
    assert found == pytest.approx([0.25, 0.0, 0.2])


def test_the_command_trains_both_sides_and_writes_the_claim(
    tmp_path, monkeypatch, capsys
):
    saved = GLIDE.from_size("smoke").save_pretrained(tmp_path / "model", {"seed": 0})
    monkeypatch.setattr(generator_tools, "load_judge", lambda source: by_saturation)
    words = ["--weights", str(saved), "--out", str(tmp_path), "--size", "smoke"]
    words += ["--steps", "2", "--only", "stages"]
    assert main(["evaluate", "glide", *words]) == 0
    result = json.loads((tmp_path / "glide-stages.json").read_text())
    rows = {row["pictures"]: row for row in result["rows"]}
    assert list(rows) == WAYS and rows["real scenes"]["share"] == 1
    for way in WAYS[1:]:
        assert rows[way]["training seconds"] > 0 and rows[way]["n"] == 6
    plans = training.untrained("smoke", 0).plans
    steps = {
        part: plan["steps"] for part, plan in result["settings"]["trained"].items()
    }
    assert steps == {part: plan.steps for part, plan in plans.items()}
    printed = capsys.readouterr().out
    for part, plan in plans.items():
        assert f"training the {part}: {plan.steps} steps of {plan.batch}" in printed
    assert (tmp_path / "glide-stages-wall.png").is_file()
