"""How GLIDE is trained: its grammar, its holes, both of its recipes."""

import dataclasses
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_glide import hole, noise, world_words

from mmlearn import weights, world
from mmlearn.diffusion import Schedule
from mmlearn.glide import (
    GLIDE,
    PADDING,
    NoisedCLIP,
    TextUNet,
    as_8_bit,
    known_part,
    tokenize,
)
from mmlearn.glide.grammar import COLOURS, GRAMMAR, NOUNS, PLACES, vocabulary
from mmlearn.glide.masks import random_masks, rectangles, strokes
from mmlearn.text.bpe import split_words
from mmlearn.train import command, distributed
from mmlearn.train.recipes import glide as recipe
from mmlearn.train.recipes import glide_base, noised_clip
from mmlearn.world.phrases import captions

# --- what it is taught


def test_the_grammar_has_24_nouns_by_three_artists_and_56_coloured_shapes():
    assert (len(set(NOUNS)), len(set(COLOURS)), len(set(PLACES))) == (21, 8, 8)
    assert len(GRAMMAR.artists) == 3 and len(GRAMMAR.shapes) == 7
    seen = {
        split: Counter(
            fact
            for index in range(3000)
            for fact in told(world.compose(with_split(split), 1, index))
        )
        for split in ("train", "held_out")
    }
    drawn = {(noun, artist) for noun in NOUNS for artist in GRAMMAR.artists}
    painted = {(shape, paint) for shape in GRAMMAR.shapes for paint in COLOURS}
    wanted = drawn | painted | {*PLACES, *GRAMMAR.relations, 1, 2, 3, 4}
    assert set(seen["train"]) < wanted == {*seen["train"], *seen["held_out"]}
    rules = (
        world.splits.thing_style,
        lambda shape, c: world.splits.colour_noun(c, shape),
    )
    for pairs, rule in zip((drawn, painted), rules, strict=True):
        missing = {pair for pair in pairs if rule(*pair)}
        assert missing == pairs - set(seen["train"]) and len(missing) > 3


def with_split(split: str) -> world.Grammar:
    return dataclasses.replace(GRAMMAR, split=split)


def told(scene: world.Scene):
    """The facts of a scene that a model is to learn."""
    yield from (scene.background, scene.count, *filter(None, [scene.relation]))
    for item in scene.items:
        yield item.noun, item.artist or item.colour


@pytest.mark.parametrize("split", world.SPLITS)
def test_the_vocabulary_holds_every_word_of_captions_it_was_not_gathered_from(split):
    grammar, known = with_split(split), set(vocabulary())
    said = {
        word
        for index in range(1500)
        for sentence in captions(world.compose(grammar, 7, index))
        for word in split_words(sentence)
    }
    # The one plural that training never says: its docstring tells why.
    assert said <= known
    assert list(vocabulary()) == sorted(known) and len(known) < 150


def test_holes_are_a_rectangle_a_stroke_or_everything_a_third_each():
    state = torch.get_rng_state()
    masks = random_masks(1200, 32, torch.Generator().manual_seed(0))
    assert masks.shape == (1200, 1, 32, 32) and set(masks.unique().tolist()) == {0, 1}
    again = random_masks(1200, 32, torch.Generator().manual_seed(0))
    other = random_masks(1200, 32, torch.Generator().manual_seed(1))
    assert torch.equal(masks, again) and not torch.equal(masks, other)
    assert torch.equal(torch.get_rng_state(), state)

    def kind(mask: torch.Tensor) -> str:
        y, x = mask[0].nonzero().T
        sides = [int(at.max() - at.min()) + 1 for at in (x, y)]
        filled = math.prod(sides) == len(x)
        return ("all" if len(x) == 32**2 else "rectangle") if filled else "stroke"

    assert masks.flatten(1).sum(dim=1).min() >= 10  # pixels: none is empty
    found = Counter(map(kind, masks))
    for name in ("all", "rectangle", "stroke"):
        assert abs(found[name] / 1200 - 1 / 3) < 0.05, found


def test_holes_are_as_large_at_every_size():
    for make, least, most in ((rectangles, 0.08, 0.7), (strokes, 0.02, 0.8)):
        for size in (16, 64):
            lot = torch.Generator().manual_seed(2)
            shares = make(500, size, lot).flatten(1).mean(dim=1)
            assert least < shares.min() and shares.max() < most
            assert abs(shares.mean() - 0.3) < 0.1, (make, size)


@pytest.fixture
def shown(monkeypatch):
    """Every batch of scenes that a recipe asks the world for."""
    batches, scenes = [], world.scenes

    def showing(*words, **options):
        batches.append(scenes(*words, **options))
        return batches[-1]

    monkeypatch.setattr(recipe.world, "scenes", showing)
    return batches


def planned(monkeypatch, name: str, size: str = "smoke") -> SimpleNamespace:
    """What `train_stage` of 100 steps would run: its model, loss, batches and part."""
    runs = []
    monkeypatch.setattr(recipe, "run", lambda *words, **more: runs.append(words))
    recipe.train_stage(name, size, out=None, steps=100)
    names = ("stage", "loss", "batches", "part")
    return SimpleNamespace(**dict(zip(names, runs[0], strict=True)))


def test_the_upsampler_sees_scenes_and_their_small_pictures(shown, monkeypatch):
    plan = planned(monkeypatch, "upsampler")
    for index in (0, 30):
        images, tokens, small = plan.batches(index)
        records, n = shown[-1].records, plan.part.batch
        assert [r.index for r in records] == [*range(index * n, (index + 1) * n)]
        assert torch.equal(images, shown[-1].images)
        assert torch.equal(small, as_8_bit(world.draw(records, 32)))
        assert torch.equal(tokens, tokenize(shown[-1].captions, world_words(), 24))


def test_the_base_takes_its_lessons_in_order(shown, monkeypatch):
    plan = planned(monkeypatch, "base")
    assert plan.loss is recipe.base_loss
    told = {
        index: plan.batches(index)[2:]
        for index in (0, 8, 9, 15, 16, 28, 29, 51, 52, 85, 86, 99)
    }
    assert [*told.values()] == [
        (lesson.hushed, lesson.noisy) for lesson in recipe.COURSE for _ in range(2)
    ]
    assert [told[0][0], told[99][0]] == [1.0, 0.25]

    def seen(indices) -> dict[str, set]:
        records = [r for i in indices if plan.batches(i) for r in shown[-1].records]
        items = [item for r in records for item in r.items]
        return {
            "places": {r.background for r in records},
            "kinds": {r.kind for r in records},
            "relations": {r.relation for r in records},
            "painted": {(i.noun, i.colour) for i in items if not i.artist},
            "artists": {item.artist for item in items if item.artist},
            "nouns": {item.noun for item in items if item.artist},
        }

    four, more, few = seen(range(9)), seen(range(9, 16)), seen(range(16, 29))
    plain, everything = seen(range(29, 52)), seen(range(52, 100))
    for early in (four, more, few):
        assert early["places"] == {"white"}
        assert early["kinds"] == {"single", "pair", "relation"} == plain["kinds"]
    assert not four["nouns"] and not more["nouns"]
    assert four["relations"] == {"left of", "right of", None}
    assert more["relations"] == {*GRAMMAR.relations, None}
    assert len(four["painted"]) == 4 and len(more["painted"]) == 15  # one is held out
    assert few["artists"] == {"noto"} and few["nouns"] == set(recipe.FEW["things"])
    assert plain["places"] == {"white", "grey", "light blue", "lavender"}
    assert everything["places"] == set(PLACES) and len(everything["artists"]) == 3
    assert everything["kinds"] == {"single", "pair", "relation", "count"}
    assert everything["nouns"] == set(NOUNS) == plain["nouns"]


def test_no_recipe_sees_the_scenes_that_the_last_part_begins_with():
    parts = [part for plan in recipe.RECIPES.values() for part in plan.values()]
    assert max(part.steps * part.batch for part in parts) < recipe.INPAINTING


def test_two_processes_see_in_a_step_what_one_sees(shown, monkeypatch):
    for name in ("base", "upsampler"):
        plan = planned(monkeypatch, name)
        whole = plan.batches(16)  # the first step of the third lesson
        with monkeypatch.context() as patch:
            patch.setattr(distributed, "world", lambda: 2)
            halves = [plan.batches(2 * 16 + rank) for rank in (0, 1)]
        for parts in zip(whole, *halves, strict=True):
            both, *each = parts
            if isinstance(both, torch.Tensor):
                assert torch.equal(both, torch.cat(each))
            else:
                assert each == [both, both]


def test_a_hushed_caption_is_heard_through_keys_and_values_alone():
    stage = GLIDE.from_size("smoke", upsampler=False).base
    tokens = torch.full((3, 24), 300)
    tokens[:, 4:] = PADDING
    tokens[1:, 1] = 301
    empty = stage.read(torch.full((1, 24), PADDING))
    plain = stage.read(tokens)
    hushed = recipe.hushed_reading(
        stage, tokens, torch.tensor([[True], [True], [False]])
    )
    near = {"atol": 1e-6, "rtol": 1e-5}
    assert torch.allclose(hushed.vector[:2], empty.vector.expand(2, -1), **near)
    assert torch.allclose(hushed.vector[2], plain.vector[2], **near)
    assert not torch.allclose(hushed.vector[0], plain.vector[0], **near)
    for mine, theirs in zip(hushed.text_kv, plain.text_kv, strict=True):
        assert all(map(lambda a, b: torch.allclose(a, b, **near), mine, theirs))
    assert not torch.allclose(hushed.text_kv[0][0][0], hushed.text_kv[0][0][1], **near)


@pytest.mark.parametrize(("hushed", "noisy"), [(0.0, 0.0), (0.75, 1.0)])
def test_times_and_hushed_captions_are_drawn_as_the_lesson_says(
    monkeypatch, hushed, noisy
):
    stage, seen = GLIDE.from_size("smoke", upsampler=False).base, []

    def reading(stage, tokens, withheld):
        seen.append((tokens, withheld))

    def guess(x_t, t, said):
        seen.append(t)
        return torch.zeros(len(x_t), 6, *x_t.shape[2:])

    monkeypatch.setattr(recipe, "hushed_reading", reading)
    monkeypatch.setattr(stage, "guess", guess)
    batch = (torch.zeros(2000, 3, 4, 4), torch.full((2000, 24), 300), hushed, noisy)
    recipe.base_loss(stage, batch, torch.Generator().manual_seed(0))
    (tokens, withheld), t = seen
    assert withheld.shape == (2000, 1)
    assert withheld.float().mean() == pytest.approx(hushed, abs=0.04)
    left_out = (tokens == PADDING).all(dim=1).float()
    assert left_out.mean() == pytest.approx(0.2, abs=0.04)
    expected = 1000 * (1 + noisy) / (2 + noisy)  # of a density that rises as t^noisy
    assert t.float().mean() == pytest.approx(expected, abs=20)
    assert t.min() < 100 and 990 < t.max() < 1000


def test_the_base_starts_with_states_that_tell_words_apart(monkeypatch):
    plain = recipe.untrained("laptop", 0).base.text
    apart = planned(monkeypatch, "base", "laptop").stage.text
    captions = ["a red star to the left of a blue heart", "three cats in the snow"]
    tokens = tokenize(captions, world_words(), 24)

    def apart_by(text) -> float:
        """How unlike the states of a caption are, beside those of two captions."""
        words = [
            row[said != PADDING] for row, said in zip(text(tokens), tokens, strict=True)
        ]
        within = torch.stack([w.var(dim=0).mean() for w in words]).mean()
        return (
            within / torch.stack([w.mean(dim=0) for w in words]).var(dim=0).mean()
        ).item()

    assert apart_by(apart) > 2 * apart_by(plain)
    upsampler = planned(monkeypatch, "upsampler").stage.text
    alike = recipe.untrained("smoke", 0).upsampler.text.state_dict()
    assert all(torch.equal(alike[k], x) for k, x in upsampler.state_dict().items())


def test_both_stages_learn_to_fill_the_same_holes(monkeypatch):
    model, seen = GLIDE.from_size("smoke").for_inpainting(), {}
    images, low_res = noise(6, 3, 64, 64), noise(6, 3, 32, 32, seed=1)
    tokens = torch.full((6, 24), 300)

    def spied(stage, x, t, tokens, small=None, known=None):
        seen[stage.config.upsamples] = tokens, small, known
        return torch.zeros(len(x), 6, *x.shape[2:])

    monkeypatch.setattr(TextUNet, "forward", spied)
    batch, lot = (images, tokens, low_res), torch.Generator().manual_seed(3)
    loss, terms = recipe.inpainting_loss(model, batch, lot)
    assert torch.equal(loss, terms["base"] + terms["upsampler"])
    (said, none, small), (also, given, known) = seen[False], seen[True]
    assert torch.equal(said, also) and none is None and given is low_res
    keep = known[:, 3:]
    assert torch.equal(known, known_part(images, 1 - keep))
    assert torch.equal(small[:, 3:], 1 - F.max_pool2d(1 - keep, 2))  # known whole
    assert torch.equal(small[:, :3], low_res * small[:, 3:])


# --- the recipes, at smoke size


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The base alone, and then the whole recipe in the folder around it."""
    out = tmp_path_factory.mktemp("glide")
    glide_base.train("smoke", out=out / "base", progress=False)
    alone = (out / "base" / "state.pt").read_bytes()
    recipe.train("smoke", out=out, progress=False)
    return SimpleNamespace(out=out, alone=alone, card=weights.load_card(out / "model"))


def test_a_part_trained_alone_is_found_finished(run):
    assert (run.out / "base" / "state.pt").read_bytes() == run.alone
    assert run.card["parts"]["base"]["steps"] == 12
    wanted = {"glide", "glide_base", "glide_upsampler", "noised_clip"}
    assert wanted <= set(command.known_models())


def test_the_card_tells_of_all_three_parts(run):
    wanted = {"recipe", "commit", "seed", "steps", "seconds", "hardware", "curve"}
    assert {*wanted, "parts", "scores", "sha256"} <= set(run.card)
    assert run.card["recipe"].endswith("mmlearn train glide --size smoke --seed 0")
    parts, curve = run.card["parts"], run.card["curve"]
    assert list(parts) == ["base", "upsampler", "inpainting"]
    assert run.card["steps"] == sum(p["steps"] for p in parts.values()) == 12 + 6 + 4
    assert curve == parts["base"]["curve"] and len(parts["inpainting"]["curve"]) > 0
    whose = [
        f"{stage}, {told} captions"
        for stage in ("base", "upsampler")
        for told in ("own", "others'", "empty")
    ]
    assert list(run.card["scores"]) == whose
    assert all(0 < error < 2 for error in run.card["scores"].values())


def test_what_was_trained_comes_back_draws_and_fills_holes(run):
    model = GLIDE.from_pretrained(run.out / "model")
    assert model.words == frozenset(vocabulary()) and model.image_size == 64
    state = torch.load(run.out / "inpainting" / "state.pt", weights_only=True)["ema"]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, state[name].half().float()), name
    for stage in (model.base, model.upsampler):
        assert stage.unet.first.weight[:, 48:112].any()  # has learned to look
    fast = {"steps": 2, "progress": False, "stages": {"upsampler": {"steps": 2}}}
    prompts = ["a red star at night", "two cats in the snow"]
    drawn = model.generate(prompts, **fast)
    assert drawn.shape == (2, 3, 64, 64) and drawn.std() > 0.1
    mask = F.interpolate(hole()[None, None], 64)[0, 0]
    filled = model.inpaint(drawn, mask, prompts[::-1], **fast)
    same = (filled == drawn).all(dim=1)
    assert same[:, mask == 0].all() and not same[:, mask == 1].all()


def test_a_size_without_a_recipe_is_refused():
    for train in (recipe.train, glide_base.train, noised_clip.train):
        with pytest.raises(ValueError, match="smoke, laptop, gpu, not 'paper'"):
            train("paper", out=None)


def test_the_noised_clip_sees_each_picture_with_the_noise_of_its_own_t():
    images, seen, schedule = torch.full((400, 3, 16, 16), 0.5), [], Schedule.cosine()

    class Listener(torch.nn.Module):
        logit_scale = torch.zeros(1)

        def forward(self, x_t, t, tokens):
            seen.append((x_t, t, tokens))
            return noise(400, 4), noise(400, 4, seed=1)

    tokens = torch.arange(400)[:, None]
    noised_clip.noised_loss(Listener(), (images, tokens), torch.Generator())
    ((x_t, t, said),) = seen
    assert torch.equal(said, tokens) and t.min() < 20 and t.max() > 980
    alpha, sigma = schedule.level(t, images)
    added = (x_t - alpha * images) / sigma
    assert (added.flatten(1).std(dim=1) - 1).abs().max() < 0.15
    assert added.flatten(1).mean(dim=1).abs().max() < 0.15 and abs(added.mean()) < 0.01


def test_the_noised_clips_batches_hold_no_caption_twice_and_are_shared(monkeypatch):
    model = noised_clip.untrained("smoke", 0)
    batch = noised_clip.batches(model, noised_clip.RECIPES["smoke"], 0)
    images, tokens = batch(3)
    assert images.shape == (16, 3, 32, 32) and len(tokens.unique(dim=0)) == 16
    monkeypatch.setattr(distributed, "world", lambda: 2)
    for rank in (0, 1):
        half = batch(2 * 3 + rank)
        assert torch.equal(half[0], images[rank::2])
        assert torch.equal(half[1], tokens[rank::2])


def test_the_noised_clips_score_counts_the_pictures_that_find_their_caption():
    """A model that is right while there is little noise, and then always wrong."""
    heard = []

    def encode(x_t, t):
        heard.append(x_t)
        return torch.eye(128).roll(int(t[0] > 300), 0)

    clip = SimpleNamespace(
        config=SimpleNamespace(image_size=16),
        tokenizer=lambda texts: torch.zeros(len(set(texts)), 1),
        encode_text=lambda tokens: 3 * torch.eye(128)[: len(tokens)],
    )
    model = SimpleNamespace(clip=clip, times=torch.zeros(1), encode_image=encode)
    found = {f"own caption of 128, t = {t}": float(t < 300) for t in (0, 250, 500, 750)}
    assert noised_clip.scores(model) == found
    spread = [x.std().item() for x in heard]
    assert heard[0].abs().max() < 1.5 and spread[3] == pytest.approx(1, abs=0.1)


def test_the_noised_clips_recipe_trains_it_and_its_times(tmp_path):
    noised_clip.train("smoke", out=tmp_path, progress=False)
    model = NoisedCLIP.from_pretrained(tmp_path / "model")
    assert model.times.any() and model.clip.config.image_size == 32
    card = weights.load_card(tmp_path / "model")
    assert card["recipe"].endswith("train noised-clip --size smoke --seed 0")
    assert card["steps"] == 10 and card["scores"] == noised_clip.scores(model)
