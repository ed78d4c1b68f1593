"""A moving picture is one PNG of all its frames, which every page can show."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import mmlearn as mm
from mmlearn.show import moving

FRAMES = torch.linspace(-1, 1, 6)[:, None, None, None].expand(6, 3, 16, 16)


def test_all_frames_are_kept_in_their_order_and_for_as_long_as_was_said():
    pictures = moving.to_pictures(FRAMES)
    with Image.open(io.BytesIO(moving.moving_png(pictures, 0.2))) as png:
        assert png.format == "PNG" and png.n_frames == 6 and png.info["loop"] == 0
        seen = []
        for frame in range(6):
            png.seek(frame)
            assert png.info["duration"] == 200
            seen.append(np.asarray(png.convert("RGB"))[8, 8].tolist())
    assert seen == [np.asarray(p)[8, 8].tolist() for p in pictures]


def test_colours_that_no_palette_holds_are_kept_as_they_are():
    lot = torch.Generator().manual_seed(0)
    noise = torch.rand(4, 3, 64, 64, generator=lot) * 2 - 1
    pictures = moving.to_pictures(noise)
    with Image.open(io.BytesIO(moving.moving_png(pictures, 0.1))) as png:
        png.seek(3)
        assert (np.asarray(png.convert("RGB")) == np.asarray(pictures[3])).all()


def test_it_says_what_it_shows(capsys):
    mm.show.animation(FRAMES, alt="A square that turns from black to white")
    assert "from black to white" in capsys.readouterr().out


@pytest.mark.parametrize(
    "frames, how, words",
    [
        (FRAMES[:1], {}, "at least two frames"),
        ([FRAMES[0], torch.zeros(3, 8, 8)], {"scale": 1}, "must have one size"),
        (FRAMES, {"seconds": 0.01}, "at least 0.05 seconds"),
        (FRAMES, {"alt": "it moves"}, "needs alt="),
    ],
)
def test_bad_frames_are_refused(frames, how, words):
    with pytest.raises(ValueError, match=words):
        mm.show.animation(frames, **{"alt": "A square, lighter and lighter"} | how)
