"""Batches of drawings, and a reader's own folder of pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

import mmlearn as mm
from mmlearn import world
from mmlearn.world.words import WorldError


def test_no_concept_and_no_caption_stands_twice():
    for index in range(4):
        batch = mm.world.drawings(100, seed=1, index=index, size=16)
        assert len(set(batch.captions)) == 100
        assert len({r.items[0].noun for r in batch.records}) == 100
    again = mm.world.drawings(100, seed=1, index=3, size=16)
    assert again.captions == batch.captions
    assert torch.equal(again.images, batch.images)


def test_drawings_of_any_concept_and_only_of_the_artists_asked_for():
    names = mm.world.find("food-drink")
    batch = mm.world.drawings(20, concepts=names, artists=["twemoji"], size=32)
    assert {r.artist for r in batch.records} == {"twemoji"}
    assert all("{" not in caption for caption in batch.captions)


@pytest.fixture
def pictures(tmp_path):
    rows = ["file,caption"]
    for i, mode in enumerate(("RGB", "RGBA", "L")):
        pixels = np.full((40, 50, len(mode)), 40 * i, np.uint8).squeeze()
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append(f'{i}.png,"picture {i}, mine"')
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_folder_gives_the_same_batches(pictures):
    mine = mm.world.folder(pictures, size=32)
    batch = mine.batch(3, seed=0, index=5)
    assert batch.images.shape == (3, 3, 32, 32) and batch.images.dtype == torch.float32
    assert sorted(batch.captions) == [f"picture {i}, mine" for i in range(3)]
    assert torch.equal(batch.images, mine.batch(3, seed=0, index=5).images)
    first = mine.images[mine.names.index("0.png")]
    assert torch.all(first == -1)
    transparent = mine.images[mine.names.index("1.png")]
    assert torch.all(transparent > 0.3)  # seen on white


def harmed(change):
    def make(folder):
        change(folder)
        mm.world.folder(folder)

    return make


def rewrite(text):
    return harmed(lambda f: (f / "captions.csv").write_text(text))


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda f: mm.world.folder(f / "nowhere"), "there is no folder"),
        (harmed(lambda f: (f / "captions.csv").unlink()), "write one with the header"),
        (
            harmed(lambda f: (f / "2.png").write_bytes(b"x" * 99)),
            "cannot be read as a pict",
        ),
        (harmed(lambda f: (f / "2.png").unlink()), "a caption for 2.png but no such"),
        (rewrite("file,caption\n0.png,a\n1.png,b"), "the picture 2.png but no caption"),
        (rewrite("file,caption\n0.png,a\n0.png,b"), "two captions for 0.png"),
        (rewrite("file,caption\n0.png, "), "line 2 .* must be a file and its caption"),
        (rewrite("name,text\n0.png,a"), "must be file,caption"),
        (lambda f: mm.world.folder(f).batch(4), "holds 3 pictures, so n cannot be 4"),
    ],
)
def test_a_bad_folder_gets_one_clear_sentence(pictures, act, sentence):
    with pytest.raises(WorldError, match=sentence):
        act(pictures)


def test_a_truncated_picture_is_refused(pictures):
    whole = (pictures / "1.png").read_bytes()
    (pictures / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorldError, match=r"1.png cannot be read as a picture"):
        mm.world.folder(pictures)


def test_a_split_keeps_held_out_drawings_out_of_training():
    styles = world.splits.thing_style
    everyday = world.everyday()
    trained = world.drawings(len(everyday), 1, split="train").records
    kept_out = {
        i.noun for r in world.drawings(30, split="held_out").records for i in r.items
    }
    assert not any(styles(r.items[0].noun, r.items[0].artist) for r in trained)
    assert len(kept_out) == 30
    number = sum(any(styles(n, a) for a in world.TRAIN_ARTISTS) for n in everyday)
    with pytest.raises(world.WorldError, match=f"only {number} were given"):
        world.drawings(number + 1, split="held_out")


def test_captions_of_drawings_say_no_more_than_they_may():
    plain = world.drawings(60, may_say=())
    assert not any(" on " in c or " in " in c or " at " in c for c in plain.captions)
    styled = world.drawings(60, may_say=("style",)).captions
    assert any("flat drawing" in c or "3D render" in c for c in styled)


def test_a_drawing_named_as_a_shape_is_drawn_by_its_artist():
    batch = world.drawings(1, concepts=["star"], artists=["twemoji"])
    assert batch.records[0].items[0].artist == "twemoji"


def test_different_scenes_have_different_captions_and_batches_share_none():
    words = {"things": ("fox", "dog", "bus"), "kinds": ("single",), "tinted": 0.0}
    words |= {"shapes": (), "backgrounds": ("white", "snow"), "name_style": 0.0}
    first = world.different_scenes(12, 5, index=0, **words)
    assert len(set(first.captions)) == 12
    again = world.different_scenes(12, 5, index=0, **words)
    assert first.records == again.records
    other = world.different_scenes(12, 5, index=1, **words)
    assert not {r.index for r in first.records} & {r.index for r in other.records}
    with pytest.raises(world.WorldError, match="different captions"):
        world.different_scenes(100, 5, **words)
