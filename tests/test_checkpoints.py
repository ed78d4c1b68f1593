"""Shipped checkpoints: whole, carded, and still as good as their cards say."""

import json
import subprocess
import sys

import pytest

import mmlearn as mm
from mmlearn import weights
from mmlearn.paths import data_path
from mmlearn.train.recipes import clip_lesson as recipe

SHIPPED = sorted(data_path("checkpoints").glob("*/card.json"))


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: path.parent.name)
def test_the_card_tells_how_it_was_made_and_its_hash_is_right(card):
    facts = json.loads(card.read_text())
    wanted = {"recipe", "commit", "seed", "steps", "seconds", "hardware", "scores"}
    assert wanted <= set(facts)
    assert facts["sha256"] == weights.sha256(card.parent / "model.safetensors")
    assert len(facts["curve"]) > 10


def test_clip_names_a_strangers_drawings_as_well_as_its_card_says():
    clip = mm.CLIP.from_pretrained("laptop")
    card = weights.load_card(weights.find("laptop", "clip"))
    for artist in ("noto", "twemoji"):
        found = recipe.accuracy(clip, artist, card["nouns"])
        assert found == pytest.approx(card["scores"][artist], abs=0.03)
    assert card["scores"]["twemoji"] > 10 * card["scores"]["chance"]
    assert card["scores"]["noto"] > card["scores"]["twemoji"]


def test_the_command_trains_saves_and_the_result_loads(tmp_path):
    words = ["train", "clip", "--size", "smoke", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "mmlearn", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trained = mm.CLIP.from_pretrained(tmp_path / "run" / "model")
    nouns = recipe.RECIPES["smoke"].nouns
    share = recipe.accuracy(trained, "noto", nouns)
    untrained = recipe.accuracy(mm.CLIP.from_size("smoke"), "noto", nouns)
    assert share > 2 / len(nouns) and share > untrained
