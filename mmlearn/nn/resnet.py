"""The residual network, as CLIP uses it for images.

ResNet-50 (He et al. 2015) with three changes (Radford et al. 2021, section 2.4):

* the ResNet-D improvements ("Bag of tricks", He et al. 2019, figure 2): a stem of
  three 3x3 convolutions, and an average pool in each shortcut that changes size;
* "antialiased rect-2 blur pooling" ("Making convolutional networks shift-invariant
  again", Zhang 2019): before every second pixel is dropped, each is blurred with its
  neighbours. A 2x2 box filter read at every second pixel *is* a 2x2 average pool, so
  after the first convolution every stride is one, and so is the stem's pool;
* attention in place of the global average that other ResNets end with.

As in the released code (`ModifiedResNet`), and not said in the paper: the attention's
output projection is the map to the joint space, so that no other one follows.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmlearn.nn.attention import Attention

STRIDE = 32  # pixels of an image, along a side, to one place of the last map
EXPANSION = 4  # a block is four times as wide outside as at its 3x3 convolution


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that divides the side by stride; the batch norm has the bias."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class Stem(nn.Module):
    """Images (n, 3, h, w) to (n, width, h/4, w/4): three convolutions, then a pool."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = conv(3, width // 2, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = conv(width // 2, width // 2, 3)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = conv(width // 2, width, 3)
        self.bn3 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        return self.pool(x)


class Bottleneck(nn.Module):
    """Narrow (1x1), look around (3x3), widen (1x1), and add what came in.

    x: (n, inputs, h, w) to (n, 4 width, h/stride, w/stride). The stride is an average
    pool after the 3x3 convolution, and one before the 1x1 of the shortcut.
    """

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)
            )
        # Each block starts as its shortcut (He et al. 2019, 3.1, "zero γ").
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.pool(y)))
        return F.relu(y + self.shortcut(x))


class AttentionPool(nn.Module):
    """A map (n, width, side, side) to features (n, embed): one question to all places.

    "The query is conditioned on the global average-pooled representation of the
    image" (2.4): the mean place goes first, and only it asks; keys and values are the
    mean and every place. Where a place lies is told by the learned positions.
    """

    def __init__(self, side: int, width: int, heads: int, embed: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(side**2 + 1, width) * width**-0.5)
        self.attention = Attention(width, heads)
        self.attention.out = nn.Linear(width, embed)  # to the joint space, not back
        for layer in self.attention.children():
            nn.init.normal_(layer.weight, std=width**-0.5)  # as in the released code

    def forward(self, x: Tensor) -> Tensor:
        x = rearrange(x, "n w y x -> n (y x) w")
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positions
        return self.attention(x[:, :1], source=x)[:, 0]


class ResNet(nn.Module):
    """Images (n, 3, size, size) to features (n, embed) in the joint space.

    layers: the number of blocks of each of the four stages, (3, 4, 6, 3) in RN50. The
    side of the map is size/4 in the first and halves from stage to stage; its width
    is 4 `width` in the first and doubles, so that the attention at the end is 32
    `width` wide: in RN50 (width 64), 32 heads of 64.
    """

    def __init__(
        self,
        image_size: int,
        width: int,
        layers: Sequence[int],
        embed: int,
        head_width: int = 64,
    ):
        super().__init__()
        if len(layers) != 4 or min(layers) < 1:
            raise ValueError(
                f"a ResNet has four stages of at least one block, not {tuple(layers)}."
            )
        if image_size % STRIDE:
            raise ValueError(
                f"images of {image_size} px cannot be halved five times: a ResNet "
                f"takes multiples of {STRIDE}."
            )
        if width % 2:
            raise ValueError(
                f"the stem starts at half the width: {width} should be even."
            )
        self.stem, self.stages = Stem(width), nn.ModuleList()
        outside = width
        for n, blocks in enumerate(layers):
            stage, inside = nn.Sequential(), width * 2**n
            for i in range(blocks):
                stride = 2 if n > 0 and i == 0 else 1  # the stem's pool was the first
                stage.append(Bottleneck(outside, inside, stride))
                outside = EXPANSION * inside
            self.stages.append(stage)
        side, heads = image_size // STRIDE, outside // head_width
        self.pool = AttentionPool(side, outside, heads, embed)

    def maps(self, images: Tensor) -> Tensor:
        """What the last stage sees, place by place: (n, 32 width, size/32, size/32)."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.maps(images))
