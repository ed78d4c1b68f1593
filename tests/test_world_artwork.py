"""The artwork: complete, credited, unharmed, and honest about what it lacks."""

import json
import shutil

import numpy as np
import pytest

import mmlearn as mm
from mmlearn.paths import data_path
from mmlearn.world import artwork
from mmlearn.world.words import WorldError


@pytest.mark.parametrize("artist", mm.world.ARTISTS)
def test_every_concept_is_drawn_by_every_artist(artist):
    for name, concept in mm.world.concepts().items():
        alpha = artwork.sprite(name, artist)[..., 3]
        assert (alpha > 128).mean() > (0.02 if artist == "openmoji_line" else 0.05), (
            name
        )
        edge = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert edge.max() < 128, name  # nothing touches the border
        assert concept.everyday == (concept.plural is not None)


@pytest.mark.parametrize("artist", mm.world.TRAIN_ARTISTS)
def test_larger_sizes_show_the_same_drawing(artist):
    for name in mm.world.everyday()[::20]:
        small, other = on_black(name, artist, 64), on_black("kite", artist, 64)
        for size in (128, 256):
            k = size // 64
            shrunk = on_black(name, artist, size).reshape(64, k, 64, k, 3).mean((1, 3))
            assert abs(shrunk - small).mean() < 0.3 * abs(shrunk - other).mean()


def on_black(name: str, artist: str, size: int) -> np.ndarray:
    rgba = artwork.sprite(name, artist, size).astype(float)
    return rgba[..., :3] * rgba[..., 3:] / 255


def test_concepts_are_held_out_by_subgroup_and_never_everyday_ones():
    concepts = mm.world.concepts().values()
    held = [concept for concept in concepts if concept.split == "held_out"]
    assert 0.05 < len(held) / (len(concepts) - len(mm.world.everyday())) < 0.15
    assert not any(concept.everyday for concept in held)


def test_every_set_has_its_licence_and_credit():
    phrases = {
        "noto": "Apache License",
        "fluent_flat": "Microsoft",
        "fluent_3d": "Microsoft",
        "twemoji": "Attribution 4.0 International",
        "openmoji": "ShareAlike 4.0 International",
        "openmoji_line": "ShareAlike 4.0 International",
    }
    for artist, phrase in phrases.items():
        assert phrase in data_path("artwork", artist, "LICENSE").read_text()
        about = json.loads(data_path("artwork", artist, "credit.json").read_text())
        assert about["credit"] in mm.world.credit(artist)
        assert "rasterised" in mm.world.credit(artist)
    assert set(phrases) == set(mm.world.ARTISTS)


def test_find_looks_in_names_groups_and_keywords():
    assert "fox" in mm.world.find("fox")
    assert "fox" in mm.world.find("animals-nature")
    assert mm.world.find("no such thing") == []


@pytest.fixture
def copied_pack(tmp_path, monkeypatch):
    """A pack of which one file can be harmed, with nothing cached."""
    copy = tmp_path / "artwork"
    copy.mkdir()
    for name in ("SHA256SUMS", "concepts.json", "noto"):
        source = data_path("artwork", name)
        if source.is_dir():
            shutil.copytree(source, copy / name)
        else:
            shutil.copy(source, copy / name)
    monkeypatch.setattr(artwork, "data_path", lambda *p: tmp_path.joinpath(*p))
    artwork._sheet.cache_clear()
    yield copy
    artwork._sheet.cache_clear()


def test_a_damaged_sheet_is_named_and_refused(copied_pack):
    sheet = copied_pack / "noto" / "everyday_64.webp"
    sheet.write_bytes(sheet.read_bytes()[:-100])
    with pytest.raises(
        WorldError, match=r"noto/everyday_64.webp is damaged .*restore it"
    ):
        artwork.sprite("fox", "noto")


def test_a_missing_sheet_is_named_and_refused(copied_pack):
    (copied_pack / "noto" / "everyday_64.webp").unlink()
    with pytest.raises(WorldError, match=r"noto/everyday_64.webp is missing"):
        artwork.sprite("fox", "noto")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: mm.world.sprites(["fxo"], "noto"),
            "no concept 'fxo': did you mean 'fox'",
        ),
        (
            lambda: mm.world.sprites(["fox"], "picasso"),
            "no artist 'picasso': it knows noto",
        ),
        (
            lambda: mm.world.sprites(["fox"], "noto", 65),
            "64 or 128 or 256 pixels, not 65",
        ),
        (lambda: mm.world.sprites([], "noto"), "give at least one name"),
        (lambda: mm.world.scenes(0), "n must be a whole number, at least 1"),
        (lambda: mm.world.scenes(2, size=8), "16 to 1024 pixels wide"),
        (lambda: mm.world.scenes(2, seed=-1), "seed must be a whole number"),
        (lambda: mm.world.scenes(2, colours=["mauve"]), "no colour 'mauve'"),
        (lambda: mm.world.scenes(2, backgrounds=["sand"]), "no background 'sand'"),
        (lambda: mm.world.scenes(2, things=["cheese"]), "no everyday noun 'cheese'"),
        (lambda: mm.world.scenes(2, thing=["fox"]), "did you mean 'things'"),
        (lambda: mm.world.scenes(2, kinds="single"), "a list of kind of scenes was"),
        (lambda: mm.world.scenes(2, split="val"), "no split 'val'"),
        (lambda: mm.world.draw([]), "give at least one record"),
        (
            lambda: mm.world.drawings(3, concepts=["fox"]),
            "3 different drawings needs 3",
        ),
        (lambda: mm.world.drawings(1, concepts=["fax"]), "no concept 'fax'"),
        (lambda: mm.world.arrange("cube"), "a cube needs a colour, such as 'red cube'"),
        (lambda: mm.world.arrange("green fox"), "a fox cannot be painted green"),
        (lambda: mm.world.arrange("mauve cube"), "no colour 'mauve'"),
        (lambda: mm.world.arrange("fox", relation="above"), "needs two nouns, not one"),
        (lambda: mm.world.arrange("fox", "cat", count=2), "only a single noun"),
        (lambda: mm.world.arrange(words="far too long"), "one or two words"),
        (lambda: mm.world.Scene.from_dict({"kind": "single"}), "no record of a scene"),
    ],
)
def test_bad_words_get_one_clear_sentence(call, sentence):
    with pytest.raises(WorldError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
