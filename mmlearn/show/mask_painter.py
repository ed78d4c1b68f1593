"""A mask that the reader draws, square by square, over a picture.

    canvas = show.painter(picture, alt="A cat; the right half is to be painted anew")
    canvas.mask          # (h, w), 1 where to paint: as `GLIDE.inpaint` takes it

Live, a click on a square marks it or takes the mark back. With ``MMLEARN_STATIC=1`` the
picture is shown with the marks it begins with, as for every widget.
"""

import os

import torch
from torch import Tensor

from mmlearn.show.figures import check_alt, display_png
from mmlearn.show.pictures import grid
from mmlearn.show.widgets import picture_tag, show_box

SQUARE = 30  # screen pixels
VEIL = 0.25  # how much of the picture is still seen under the mask


class Painter:
    """The canvas that `painter` shows; ``mask`` (h, w) is what is marked now."""

    def __init__(self, picture: Tensor, marked: Tensor):
        self.picture, self.marked = picture, marked  # (3, h, w), (cells, cells) of bool

    @property
    def mask(self) -> Tensor:
        """(h, w) of 1 where to paint, and 0 where the picture stays."""
        side = self.picture.shape[-1] // len(self.marked)
        squares = self.marked.float()
        return squares.repeat_interleave(side, 0).repeat_interleave(side, 1)

    @property
    def veiled(self) -> Tensor:
        """The picture (3, h, w), paler where it is to be painted anew."""
        kept = 1 - (1 - VEIL) * self.mask
        return self.picture * kept + (1 - kept) * 0.4


def painter(
    picture: Tensor, *, alt: str, marked=None, cells: int = 8, scale: int = 4
) -> Painter:
    """Show a picture (3, h, w) in [-1, 1] under ``cells`` by ``cells`` squares.

    marked: (cells, cells), true where the mask begins marked; by default the right
    half. alt: what the picture shows, and what of it is marked. ValueError for another
    shape, or for sides that the squares do not divide.
    """
    check_alt(alt, "show.painter")
    if picture.ndim != 3 or len(picture) != 3 or picture.shape[1] != picture.shape[2]:
        raise ValueError(
            f"a painter takes one square picture (3, side, side), not "
            f"{tuple(picture.shape)}"
        )
    if picture.shape[1] % cells:
        raise ValueError(
            f"a picture of {picture.shape[1]} px cannot be cut into {cells} squares a "
            "side"
        )
    if marked is None:
        marked = (torch.arange(cells) >= cells // 2).expand(cells, cells)
    marked = torch.as_tensor(marked).bool().clone()
    if marked.shape != (cells, cells):
        raise ValueError(
            f"marked says of each square whether to paint it, ({cells}, {cells}), not "
            f"{tuple(marked.shape)}"
        )
    canvas = Painter(picture.detach().cpu(), marked)
    shown = grid(canvas.veiled[None].clamp(-1, 1), scale=scale)
    if os.environ.get("MMLEARN_STATIC") == "1":
        display_png(shown, alt)
    else:
        show_live(canvas, alt, scale, shown)
    return canvas


def show_live(canvas: Painter, alt: str, scale: int, shown) -> None:
    """Squares to click on, beside the picture as it is marked."""
    import ipywidgets as w

    cells = len(canvas.marked)
    size = w.Layout(width=f"{SQUARE}px", height=f"{SQUARE}px", margin="1px")
    view = w.HTML(value=picture_tag(shown, alt))

    def redraw(change):
        row, column = divmod(buttons.index(change["owner"]), cells)
        canvas.marked[row, column] = change["new"]
        change["owner"].button_style = "warning" if change["new"] else ""
        image = grid(canvas.veiled[None].clamp(-1, 1), scale=scale)
        view.value = picture_tag(image, alt)

    buttons = []
    for number, on in enumerate(canvas.marked.flatten().tolist()):
        row, column = divmod(number, cells)
        button = w.ToggleButton(
            value=on,
            layout=size,
            button_style="warning" if on else "",
            tooltip=f"row {row + 1}, column {column + 1}",
        )
        button.observe(redraw, names="value")
        buttons.append(button)
    squares = w.GridBox(
        buttons,
        layout=w.Layout(grid_template_columns=f"repeat({cells}, {SQUARE + 2}px)"),
    )
    show_box(w.HBox([squares, view]), shown, alt)
