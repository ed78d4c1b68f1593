"""At the released GLIDE's sizes, the U-Net has the released tensors: shapes and order.

The layout is written out here by hand; with the text transformer's tensors it adds up
to the published numbers, so neither the table nor the net can be wrong alone.
"""

import math
import re

import pytest
import torch

from mmlearn.nn.unet import UNet, UNetConfig

# The released GLIDE, unrolled by hand: channels in units of 192, "a>b" is a residual
# block from a to b ("a+s" where s are handed across), "*" an attention after it, "v" or
# "^" a block that halves or doubles.
BASE = """
1>1 1>1 1>1 v1   1>2* 2>2* 2>2* v2   2>3* 3>3* 3>3* v3   3>4* 4>4* 4>4*
4>4* 4>4
4+4>4* 4+4>4* 4+4>4* 4+3>4* ^4   4+3>3* 3+3>3* 3+3>3* 3+2>3* ^3
3+2>2* 2+2>2* 2+2>2* 2+1>2* ^2   2+1>1 1+1>1 1+1>1 1+1>1
"""
UPSAMPLER = """
1>1 1>1 v1   1>1 1>1 v1   1>2 2>2 v2   2>2* 2>2* v2   2>4* 4>4* v4   4>4* 4>4*
4>4* 4>4
4+4>4* 4+4>4* 4+4>4* ^4   4+4>4* 4+4>4* 4+2>4* ^4   4+2>2* 2+2>2* 2+2>2* ^2
2+2>2 2+2>2 2+1>2 ^2   2+1>1 1+1>1 1+1>1 ^1   1+1>1 1+1>1 1+1>1
"""
RELEASED = {
    "base": (
        BASE,
        {"image_size": 64, "multiples": (1, 2, 3, 4), "blocks": 3},
        (385_030_726, 783, 308_728_902),
    ),
    "upsampler": (
        UPSAMPLER,
        {"image_size": 256, "multiples": (1, 1, 2, 2, 4, 4), "blocks": 2}
        | {"channels_in": 6},
        (398_361_286, 797, 322_059_462),
    ),
}


def glide_unet_shapes(table: str, inputs: int, text: int = 512) -> list[tuple]:
    """Every tensor of the released U-Net, in the order of its layers."""
    shapes = []

    def layer(*weight):
        shapes.extend([weight, weight[:1]])

    def norm(width):
        shapes.extend([(width,), (width,)])

    layer(768, 192), layer(768, 768), layer(768, text)  # time; `transformer_proj`
    layer(192, inputs, 3, 3)
    for entry in table.split():
        numbers = [192 * int(x) for x in re.findall(r"\d", entry)]
        width, given = numbers[-1], sum(numbers[:-1]) or numbers[-1]
        norm(given), layer(width, given, 3, 3)
        layer(2 * width, 768)
        norm(width), layer(width, width, 3, 3)
        if given != width:
            layer(width, given, 1, 1)
        if "*" in entry:
            norm(width), layer(3 * width, width)
            layer(2 * width, text), layer(width, width)  # published as (…, …, 1)
    norm(192), layer(6, 192, 3, 3)
    return shapes


def glide_text_shapes(width: int = 512, layers: int = 16) -> list[tuple]:
    """Every tensor of the released text transformer, which is another chapter's."""
    shapes = [(50_257, width), (128, width), (128, width), (width,), (width,)]
    for _ in range(layers):
        for rows, columns in ((3, 1), (1, 1), (4, 1), (1, 4)):
            shapes += [(rows * width, columns * width), (rows * width,)]
        shapes += 4 * [(width,)]
    return shapes


@pytest.mark.parametrize("name", RELEASED)
def test_the_released_glide_has_these_tensors(name):
    table, sizes, (total, tensors, own) = RELEASED[name]
    config = UNetConfig(
        width=192,
        attention_at=(32, 16, 8),
        head_width=64,
        channels_out=6,
        text_width=512,
        vector_width=512,
        dropout=0.1,
        **sizes,
    )
    with torch.device("meta"):
        state = UNet(config).state_dict()
    published = glide_unet_shapes(table, config.channels_in)
    assert [tuple(x.shape) for x in state.values()] == published
    assert sum(x.numel() for x in state.values()) == own
    whole = published + glide_text_shapes()
    assert len(whole) == tensors and sum(map(math.prod, whole)) == total
