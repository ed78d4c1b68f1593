"""Shipped checkpoints: whole, carded, and still as good as their cards say."""

import json
import subprocess
import sys

import pytest

import mmlearn as mm
from mmlearn import weights
from mmlearn.evaluate.clip import named, retrieval
from mmlearn.paths import data_path
from mmlearn.train.recipes import clip as shipped
from mmlearn.train.recipes import clip_lesson as recipe
from mmlearn.train.recipes.glide import scores as scores_of_glide
from mmlearn.train.recipes.noised_clip import scores as scores_of_noised_clip

SHIPPED = sorted(data_path("checkpoints").glob("*/card.json"))


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: path.parent.name)
def test_the_card_tells_how_it_was_made_and_its_hash_is_right(card):
    facts = json.loads(card.read_text())
    wanted = {"recipe", "commit", "seed", "steps", "seconds", "hardware", "scores"}
    assert wanted <= set(facts)
    assert facts["sha256"] == weights.sha256(card.parent / "model.safetensors")
    assert len(facts["curve"]) > 10


def test_clip_names_drawings_as_well_as_its_card_says():
    clip = mm.CLIP.from_pretrained("laptop")
    scores = weights.load_card(weights.find("laptop", "clip"))["scores"]
    for asked, artist, split in (
        ("named, seen", "noto", "train"),
        ("named, new artist", "twemoji", None),
    ):
        found = named(clip, mm.world.everyday(), artist, split=split, times=2)
        share = sum(found.values()) / len(found)
        assert share == pytest.approx(scores[asked][artist], abs=0.04)
        assert share > 20 / len(found)  # guessing names one of them


def test_clip_finds_the_caption_of_a_new_scene_as_often_as_its_card_says():
    clip = mm.CLIP.from_pretrained("laptop")
    scores = weights.load_card(weights.find("laptop", "clip"))["scores"]
    found = retrieval(clip, n=100, galleries=2)
    for row in found:
        if row["recall at"] == 1:
            on_card = scores[f"{row['way']}, recall at 1 of 100"][row["split"]]
            assert row["share"] == pytest.approx(on_card, abs=0.08)


def test_what_is_kept_from_the_training_is_never_shown():
    names, unread = shipped.further_names(), set(shipped.unread())
    assert not unread & {*names, *mm.world.everyday()}
    for index in range(3):
        single = shipped.drawings(96, 0, index)
        scenes = shipped.scenes(96, 0, index)
        assert len(set(single.captions)) == len(set(scenes.captions)) == 96
        for record in (*single.records, *scenes.records):
            assert not mm.world.held_out(record)
            assert record.artist in (None, *mm.world.TRAIN_ARTISTS)
            assert not unread & {item.noun for item in record.items}


def test_the_command_trains_saves_and_the_result_loads(tmp_path):
    words = ["train", "clip-lesson", "--size", "smoke", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "mmlearn", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trained = mm.CLIP.from_pretrained(tmp_path / "run" / "model")
    nouns = recipe.RECIPES["smoke"].nouns
    share = recipe.accuracy(trained, "noto", nouns)
    untrained = recipe.accuracy(mm.CLIP.from_size("smoke"), "noto", nouns)
    assert share > 2 / len(nouns) and share > untrained


def test_glides_base_hears_its_captions_as_well_as_its_card_says():
    card = weights.load_card(weights.find("laptop", "glide"))["scores"]
    found = scores_of_glide(mm.GLIDE.from_pretrained("laptop"), n=64)
    for name, error in found.items():
        assert error == pytest.approx(card[name], rel=0.15), name
    own, others, none = (
        found[f"base, {x} captions"] for x in ("own", "others'", "empty")
    )
    assert own < 0.85 * none < 0.5 * others


def test_the_noised_clip_finds_captions_as_well_as_its_card_says():
    card = weights.load_card(weights.find("laptop", "noised-clip"))["scores"]
    found = scores_of_noised_clip(mm.NoisedCLIP.from_pretrained("laptop"))
    for name, share in found.items():
        assert share == pytest.approx(card[name], abs=0.05), name
    shares = list(found.values())
    assert shares[0] > 50 / 128 and shares[-1] > 10 / 128  # guessing finds one
