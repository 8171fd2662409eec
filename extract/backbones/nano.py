"""Nano: a 3-D CNN of 0.66 million parameters for the synthetic world, milliseconds a clip on one core.

Four convolutions, 16 frames of 64x64 in, a map of 192 x 4 x 4 x 4 out. Its features are that map averaged over cells of
2 x 2 x 2 and flattened to 1536 numbers: averaged over everything, they would keep too little of where and when
for a student to recover motion from.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from extract.backbones.base import Backbone
from extract.cues.cue import Scale
from features.computing.exporting import exporting
from flow.decode.geometry import Geometry

WIDTH = 24  # channels after the first block; doubled by each further one


class Block(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU; padded so that only the stride shrinks the map."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
        )


class Nano(Backbone):
    """(B, channels, 16, 64, 64) as prepared -> (B, 1536), which is (B, 192, 2, 2, 2) flattened."""

    name = "nano"
    geometry = Geometry(short_side=64, crop=64)
    map_shape = (8 * WIDTH, 2, 2, 2)
    dim = 8 * WIDTH * 8
    parting = "body.4"  # the first two convolutions are three quarters of the time
    # To about -2..2 whatever the cue: at 64 pixels, a motion of 2 pixels a frame is a large one.
    scales: ClassVar[Mapping[str, Scale]] = {
        "rgb": lambda x: x / 64 - 2,
        "flow": lambda x: x / 2.0,
        "gradient": lambda x: x / 24.0,
    }

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        shrink = nn.MaxPool3d((1, 2, 2))
        self.body = nn.Sequential(
            Block(self.channels, WIDTH, (3, 5, 5), (2, 2, 2)),
            shrink,
            Block(WIDTH, 2 * WIDTH, (3, 3, 3), (1, 1, 1)),
            shrink,
            Block(2 * WIDTH, 4 * WIDTH, (3, 3, 3), (2, 1, 1)),
            shrink,
            Block(4 * WIDTH, 8 * WIDTH, (3, 3, 3), (1, 1, 1)),
        )
        self.cells = nn.AdaptiveAvgPool3d((2, 2, 2))

    def layers(self) -> Mapping[str, nn.Module]:
        return {f"body.{number}": layer for number, layer in enumerate(self.body)}

    def finish(self, x: Tensor) -> Tensor:
        """The map of cells, flattened into D."""
        sizes = [divmod(size, cells) for size, cells in zip(x.shape[2:], self.map_shape[1:], strict=True)]
        if exporting() and not any(rest for _, rest in sizes):  # ONNX knows cells of one size only
            return F.avg_pool3d(x, [whole for whole, _ in sizes]).flatten(1)
        return self.cells(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.body(x))
