"""A pathway of Slow or SlowFast: a ResNet-50 over frames, whose blocks look at neighbouring frames in some stages.

The stem and the blocks of a pathway are its modules "0" to "4". Each has the names `conv` and `bn`, or in blocks those
of their three units a, b, c and of their shortcut.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = (3, 4, 6, 3)  # in the stages of a ResNet-50
EXPANSION = 4  # channels out of a block / inside it


class Unit(nn.Sequential):
    """Convolution without bias, padded to keep its size, batch normalisation, and ReLU where it is wanted."""

    def __init__(
        self, channels_in: int, channels_out: int, time: int = 1, side: int = 1, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            channels_in, channels_out, (time, side, side), (1, stride, stride), (time // 2, side // 2, side // 2),
            bias=False,
        )  # fmt: skip
        self.bn = nn.BatchNorm3d(channels_out)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if relu:
            self.relu = nn.ReLU()


class Stem(Unit):
    """The first layer: 7 x 7 pixels of `time` frames at a time, then a quarter of the size in each direction."""

    def __init__(self, channels_in: int, channels_out: int, time: int) -> None:
        super().__init__(channels_in, channels_out, time, side=7, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(super().forward(x), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Block(nn.Module):
    """A bottleneck: `time` frames in its first unit, 3 x 3 pixels and the stride in its second."""

    def __init__(self, channels_in: int, inside: int, time: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.a, self.b = Unit(channels_in, inside, time), Unit(inside, inside, side=3, stride=stride)
        self.c = Unit(inside, EXPANSION * inside, relu=False)
        self.shortcut = Unit(channels_in, EXPANSION * inside, stride=stride, relu=False) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.c(self.b(self.a(x))) + kept)


class Pathway(nn.Sequential):
    """Stem and four stages of `width` channels, `times` the frames that they look at.

    added: channels that arrive from another pathway at each of the stages, beside those of the stage before.
    """

    def __init__(self, channels_in: int, width: int, times: Sequence[int], added: Sequence[int] = (0, 0, 0, 0)) -> None:
        super().__init__(Stem(channels_in, width, times[0]))
        channels = width
        for stage, (number, more) in enumerate(zip(BLOCKS, added, strict=True)):
            inside, layers = width * 2**stage, nn.Sequential()
            channels += more
            for block in range(number):
                stride = 2 if stage and not block else 1
                layers.append(Block(channels, inside, times[stage + 1], stride, shortcut=not block))
                channels = EXPANSION * inside
            self.append(layers)
