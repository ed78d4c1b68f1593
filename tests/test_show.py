"""Pictures carry alt text, keep their pixels, and refuse bad input in one sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

import mmlearn as mm


def batch(n=3, size=32):
    return (
        torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    )


def test_pixels_become_crisp_squares_of_the_right_colour():
    image = torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 32, 32)
    grid = np.asarray(mm.show.grid(image))
    middle = grid[grid.shape[0] // 2, grid.shape[1] // 2]
    assert middle.tolist() == [0, 128, 255]
    assert mm.show.grid(image, scale=2).width < mm.show.grid(image, scale=4).width


def test_alt_text_comes_from_titles(pictures):
    mm.show.images(batch(), ["a fox", "a dog", "a house"])
    assert pictures[0][1] == "3 pictures: a fox; a dog; a house"
    with pytest.raises(ValueError, match="needs alt="):
        mm.show.images(batch())


@pytest.mark.parametrize(
    "images, words",
    [
        (torch.zeros(3, 32), r"not \(3, 32\)"),
        (torch.zeros(2, 32, 32, 3), "move the channels to the front"),
        (torch.full((1, 3, 8, 8), 200.0), "divide by 127.5"),
        (torch.full((1, 3, 8, 8), -3.0), r"must lie in \[-1, 1\].*clamp"),
        (torch.full((1, 3, 8, 8), torch.nan), "not numbers"),
        ([], "empty"),
    ],
)
def test_bad_images_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        mm.show.images(images, alt="something that is not there")


def test_titles_are_counted(pictures):
    with pytest.raises(ValueError, match="each of the 3 pictures, not 2"):
        mm.show.images(batch(), ["a", "b"])
    with pytest.raises(ValueError, match="each of the 2 rows, not 3"):
        mm.show.images(batch(4), row_titles=["a", "b", "c"], columns=2)


def test_charts_describe_themselves(pictures):
    mm.show.lines({"train": [4.2, 1.0]}, reference={"ln 64": 4.16}, title="CLIP")
    mm.show.bars(["fox", "dog"], [0.7, 0.3], truth="fox")
    mm.show.matrix(torch.eye(2), ["a fox", "a dog"], ["fox", "dog"])
    lines, bars, matrix = (alt for _, alt, _ in pictures)
    assert "from 4.2 to 1" in lines and "ln 64 (4.16)" in lines
    assert "fox 0.70" in bars and "the right answer is fox" in bars
    assert "a fox → fox 1.00; a dog → dog 1.00" in matrix


def test_charts_draw_on_given_axes_and_show_nothing(pictures):
    fig, (left, right) = mm.show.axes(1, 2)
    mm.show.lines([3, 2, 1], ax=left)
    mm.show.matrix(torch.eye(3), ax=right)
    assert pictures == []
    mm.show.figure(fig, alt="a falling line beside a diagonal matrix")
    assert len(pictures) == 1


def test_bad_charts_are_refused():
    with pytest.raises(ValueError, match="2 labels for 1 values"):
        mm.show.bars(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="non-empty list of numbers"):
        mm.show.lines({"train": []})
    with pytest.raises(ValueError, match="2 rows, but 1 labels"):
        mm.show.matrix(torch.eye(2), rows=["a"])
    with pytest.raises(ValueError, match="at least 15 characters"):
        mm.show.figure(mm.show.axes()[0], alt="a plot")


def test_a_figure_is_opaque_and_small(pictures):
    fig, ax = mm.show.axes()
    ax.plot([1, 2], label="line")
    ax.legend()
    mm.show.figure(fig, alt="one line that rises from 1 to 2")
    image = pictures[0][0]
    assert image.mode == "RGB" and image.size == (500, 320)
    red, green, blue = image.getpixel((1, 1))
    assert min(red, green, blue) > 200, "paper, so that dark ink reads on dark pages"


def draw(t, style="flat"):
    return Image.new("RGB", (64, 48), (int(t), 0, 0))


def test_a_static_widget_is_one_labelled_picture(pictures):
    mm.show.widget(draw, alt="A red square, redder with t", t=(0, 200), style=["flat"])
    ((image, alt, extra),) = pictures
    assert "t = 0 | t = 100 | t = 200" in alt and extra is None
    assert image.width > 3 * 64 and image.height > 48


def test_static_settings_can_be_chosen(pictures):
    settings = [{"t": 5}, {"t": 7, "style": "3D"}]
    mm.show.widget(
        draw, alt="A red square, redder with t", static=settings, t=(0, 9), style="x"
    )
    assert "t = 5 | t = 7, style = 3D" in pictures[0][1]


def test_a_live_widget_redraws_and_reports_errors(pictures, monkeypatch):
    import ipywidgets as w

    def fails_at_9(t):
        if t == 9:
            raise ValueError("nine is too much")
        return draw(t)

    monkeypatch.setenv("MMLEARN_STATIC", "0")
    slider = w.IntSlider(3, 0, 9)
    mm.show.widget(fails_at_9, alt=lambda t: f"A red square at t = {t}", t=slider)
    (_, alt, extra) = pictures[0]
    assert alt == "A red square at t = 3" and len(extra) == 1
    ((mime, bundle),) = extra.items()
    box = w.widgets.widget._instances[bundle["model_id"]]
    view, said = box.children[-1], box.children[-2]
    before = view.value
    slider.value = 4
    assert view.value != before and "t = 4" in view.value and mime.endswith("view+json")
    slider.value = 9
    assert "nine is too much" in said.value and "t = 4" in view.value
    slider.value = 5
    assert said.value == ""


@pytest.mark.parametrize("spec", [5, (1,), (5, 1), (0, 9, 0), (0, 9, 1, 20), [], None])
def test_bad_controls_are_refused(spec):
    with pytest.raises(ValueError, match=r"control|slider"):
        mm.show.widget(draw, alt="A red square, redder with t", t=spec)


def test_a_widget_checks_its_names():
    with pytest.raises(ValueError, match="does not fit the controls"):
        mm.show.widget(draw, alt="A red square, redder with t", other=(0, 9))
    with pytest.raises(ValueError, match="names no control"):
        mm.show.widget(
            draw, alt="A red square, redder with t", static=[{"x": 1}], t=(0, 9)
        )
