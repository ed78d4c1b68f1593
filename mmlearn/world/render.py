"""From records to pixels: the same tensor code on every device.

Pixels are packed, four bytes in one integer, and blended one layer of items at a
time: all first items of all scenes, then all second ones. Every pixel of every item
of a layer is one entry of a long vector, so nothing is padded and nothing loops.
"""

import torch

from mmlearn.world.backgrounds import background
from mmlearn.world.scene import Scene
from mmlearn.world.sprite_row import MOST_PIXELS, sprite_row
from mmlearn.world.words import WorldError

SMALLEST, LARGEST = 16, 1024
AT_ONCE = 64  # scenes; more would leave the processor's cache


def draw(scenes: list[Scene], size: int = 64, device: str | torch.device = "cpu"):
    """Draw records: ``n`` scenes -> ``(n, 3, size, size)`` float32 in [-1, 1].

    ``size`` is 16 to 1,024 pixels; the same record shows the same scene at each.
    Raises :class:`WorldError` for another size or for an empty list.
    """
    if not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise WorldError(
            f"a picture is {SMALLEST} to {LARGEST} pixels wide, a whole number, "
            f"not {size!r}"
        )
    if not scenes:
        raise WorldError("no scenes were given to draw: give at least one record")
    device = torch.device(device)
    images = torch.empty(len(scenes), 3, size, size, device=device)
    for start in range(0, len(scenes), AT_ONCE):
        pixels = _pixels(scenes[start : start + AT_ONCE], size, device)
        for channel in range(3):
            value = (pixels >> (8 * channel)) & 0xFF
            images[start : start + AT_ONCE, channel] = value
    return images.div_(127.5).sub_(1)


def _pixels(scenes: list[Scene], size: int, device: torch.device) -> torch.Tensor:
    """The scenes as packed pixels, ``(n, size, size)`` int32."""
    row = sprite_row(device)
    if row.used > MOST_PIXELS:
        row.clear()
    canvas = _paint_backgrounds(scenes, size, device)
    for layer in range(max(len(scene.items) for scene in scenes)):
        _blend_layer(canvas, scenes, layer, size, row)
    return canvas.view(len(scenes), size, size)


def _paint_backgrounds(scenes, size: int, device) -> torch.Tensor:
    """All backgrounds, one after another: (n * size * size,) int32."""
    places = [(scene.background, scene.variant) for scene in scenes]
    distinct = {place: i for i, place in enumerate(dict.fromkeys(places))}
    pictures = torch.stack([background(*place, size) for place in distinct]).to(device)
    order = torch.tensor([distinct[place] for place in places], device=device)
    return pictures[order].view(-1)


def _blend_layer(canvas, scenes, layer: int, size: int, row) -> None:
    """Blend item ``layer`` of every scene that has one into the canvas, in place."""
    table = []
    for number, scene in enumerate(scenes):
        if len(scene.items) > layer:
            item = scene.items[layer]
            left, top, right, bottom = item.box
            width = max(1, round((right - left) * size))
            height = max(1, round((bottom - top) * size))
            x, y = (
                min(round(left * size), size - width),
                min(round(top * size), size - height),
            )
            corner = (number * size + y) * size + x
            table.append(
                (corner, width, width * height, row.place(item, width, height))
            )
    corner, width, pixels, start = torch.tensor(
        table, dtype=torch.int32, device=row.device
    ).T
    ends = pixels.cumsum(0, dtype=torch.int32)
    total = int(ends[-1])
    which = torch.repeat_interleave(pixels, output_size=total)
    # Within its picture, pixel k stands at row k // width, column k % width.
    k = (
        torch.arange(total, dtype=torch.int32, device=row.device)
        - (ends - pixels)[which]
    )
    wide = width[which]
    target = corner[which] + k + (k // wide) * (size - wide)
    canvas[target] = _over(row.pixels[start[which] + k], canvas[target])


def _over(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Porter and Duff's "over" on packed premultiplied pixels, two bytes at a time.

    above + below * (255 - alpha) / 255 in whole numbers, so that every device rounds
    alike. Each int32 is split into its even and its odd bytes, which leaves every
    byte room for a product; (p + 128 + (p + 128 >> 8)) >> 8 is p / 255, rounded.
    """
    lanes = 0x00FF00FF
    rest = 255 - ((above >> 24) & 0xFF)
    even = (below & lanes) * rest + 0x00800080
    odd = ((below >> 8) & lanes) * rest + 0x00800080
    even = ((even + ((even >> 8) & lanes)) >> 8) & lanes
    odd = (odd + ((odd >> 8) & lanes)) & ~lanes
    return above + (even | odd)
