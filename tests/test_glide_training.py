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


def test_the_bases_first_twentieth_shows_one_thing_on_white(shown, monkeypatch):
    runs = []
    monkeypatch.setattr(recipe, "run", lambda *words, **options: runs.append(words))
    for name in ("base", "upsampler"):
        recipe.train_stage(name, "smoke", out=None, steps=100)
        _, _, batches, part = runs[-1]
        for index in (0, 4, 5, 30):
            images, tokens, *small = batches(index)
            easy = name == "base" and index < 5
            records = shown[-1].records
            plain = {(r.kind, r.background) for r in records} == {("single", "white")}
            assert plain == easy
            assert torch.equal(images, shown[-1].images)
            assert [r.index for r in records] == [
                *range(index * part.batch, (index + 1) * part.batch)
            ]
            assert torch.equal(tokens, tokenize(shown[-1].captions, world_words(), 32))
            wanted = [as_8_bit(world.draw(records, 32))] if name == "upsampler" else []
            assert all(map(torch.equal, small, wanted)) and len(small) == len(wanted)
    shows = [
        part.steps * part.batch for r in recipe.RECIPES.values() for part in r.values()
    ]
    assert max(shows) < recipe.INPAINTING


def test_the_bases_last_half_shows_more_scenes_of_two(shown, monkeypatch):
    runs = []
    monkeypatch.setattr(recipe, "run", lambda *words, **options: runs.append(words))

    def share_of_two(indices) -> float:
        kinds = [
            record.kind for i in indices if batches(i) for record in shown[-1].records
        ]
        return sum(kind in ("pair", "relation") for kind in kinds) / len(kinds)

    for name, late in (("base", 5 / 8), ("upsampler", 1 / 3)):
        recipe.train_stage(name, "smoke", out=None, steps=100)
        _, _, batches, _ = runs[-1]
        assert share_of_two(range(10, 50)) == pytest.approx(1 / 3, abs=0.12)
        assert share_of_two(range(50, 90)) == pytest.approx(late, abs=0.12)


def test_both_stages_learn_to_fill_the_same_holes(monkeypatch):
    model, seen = GLIDE.from_size("smoke").for_inpainting(), {}
    images, low_res = noise(6, 3, 64, 64), noise(6, 3, 32, 32, seed=1)
    tokens = torch.full((6, 32), 300)

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
