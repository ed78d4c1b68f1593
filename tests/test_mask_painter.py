"""A mask is what the reader marked, at the picture's size, and bad input is refused."""

import pytest
import torch

import mmlearn as mm

ALT = "A red square; its right half is marked"


def picture(side=32):
    return torch.full((3, side, side), 0.5)


def test_the_mask_is_what_is_marked_square_by_square(pictures):
    marked = torch.zeros(4, 4)
    marked[0, 3] = 1
    mask = mm.show.painter(picture(), alt=ALT, marked=marked, cells=4).mask
    assert mask.shape == (32, 32) and mask[:8, 24:].all() and mask.sum() == 64
    assert pictures[0][1] == ALT


def test_by_default_the_right_half_is_marked_and_looks_paler(pictures):
    canvas = mm.show.painter(picture(), alt=ALT)
    assert canvas.mask[:, 16:].all() and not canvas.mask[:, :16].any()
    assert torch.equal(canvas.veiled[:, :, :16], picture()[:, :, :16])
    assert not torch.isclose(canvas.veiled[:, :, 16:], picture()[:, :, 16:]).any()


def test_a_click_marks_a_square_and_another_takes_it_back(pictures, monkeypatch):
    import ipywidgets as w

    monkeypatch.setenv("MMLEARN_STATIC", "0")
    canvas = mm.show.painter(picture(), alt=ALT, cells=4)
    ((mime, bundle),) = pictures[0][2].items()
    squares, view = w.widgets.widget._instances[bundle["model_id"]].children
    before = view.value
    squares.children[4].value = True  # the second row's first
    assert canvas.mask[8:16, :8].all() and view.value != before
    squares.children[4].value = False
    assert not canvas.mask[:, :16].any() and view.value == before
    assert mime.endswith("view+json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"picture": torch.zeros(1, 3, 32, 32)}, "one square picture"),
        ({"picture": torch.zeros(3, 32, 16)}, "one square picture"),
        ({"cells": 5}, "cannot be cut into 5 squares"),
        ({"marked": torch.ones(3, 3)}, "marked says of each square"),
        ({"alt": ""}, "alt"),
    ],
)
def test_a_painter_refuses_what_does_not_fit(options, said):
    words = {"picture": picture(), "alt": ALT} | options
    with pytest.raises(ValueError, match=said):
        mm.show.painter(words.pop("picture"), **words)
