"""Slow and SlowFast, ResNet-50, 8 x 8 (Feichtenhofer et al., ICCV 2019, arXiv:1812.03982), in two variants.

64 frames are a clip. Slow sees every eighth; SlowFast every second in its fast pathway, which has an eighth of the
channels and tells the slow one what it sees, and of these 32 frames 8 in the slow one. The feature is what the
classifier is given: the average over space and time, in SlowFast of the slow pathway (2048), then of the fast (256).

|                    | `slow_r50`, `slowfast_r50`            | `slow_r50_mmaction`, `slowfast_r50_mmaction` |
|--------------------|---------------------------------------|----------------------------------------------|
| published by       | PyTorchVideo, PySlowFast              | mmaction2                                    |
| from fast to slow  | convolution, batch norm, ReLU         | convolution alone                            |
| slow frames of 32  | 0 4 8 13 17 22 26 31                  | 0 4 8 12 16 20 24 28                         |
| mean, std          | .45, .225                             | ImageNet's                                   |
| short side of 256  | bilinear in floats, size rounded down | OpenCV's, size rounded                       |
| average over space | of squares of 7 x 7 in a map of 8 x 8 | of the whole map                             |

Both cut out 256 x 256, as published for tests. A square of 7 x 7 is what a map was in training, of 224 x 224.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extract.backbones.base import Backbone
from extract.backbones.papers.layouts import MMACTION, PYSLOWFAST, PYTORCHVIDEO, Layout, in_ours
from extract.backbones.papers.resnet3d import EXPANSION, Pathway
from extract.backbones.published import fetch
from extract.backbones.scales import IMAGENET_MEAN, IMAGENET_STD, normalised
from flow.decode.geometry import Geometry

SLOW_WIDTH, FAST_WIDTH = 64, 8  # channels after the stem
SLOW_TIMES, FAST_TIMES = (1, 1, 1, 3, 3), (5, 3, 3, 3, 3)  # frames that the stem and the stages look at
SLOW_DIM, FAST_DIM = 8 * EXPANSION * SLOW_WIDTH, 8 * EXPANSION * FAST_WIDTH
SPEED = 4  # frames of the fast pathway for one of the slow
LATERAL_TIME, LATERAL_CHANNELS = 7, 2  # of the fast pathway: frames seen at once; channels told, for each of its own
META, OPENMMLAB = "https://dl.fbaipublicfiles.com/pytorchvideo", "https://download.openmmlab.com/mmaction/v1.0"


class Published(Backbone):
    """What all four share: the clips, the file of weights, and whose names of tensors are read."""

    window, stride = 64, 8
    packs = True
    batch: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}
    layouts: ClassVar[Sequence[Layout]]
    others: ClassVar[Mapping[Layout, str]]  # the backbone that reads each of the layouts of the other variant
    url: ClassVar[str]
    square: ClassVar[int]  # pixels of the last map that are averaged at a time; 0: all

    @classmethod
    def published_weights(cls, cue: str) -> Path:
        return fetch(cls.url, cls.name)

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of the publishers of this variant, or ours as a training writes them."""
        return in_ours(state, cls.layouts, cls.others, cls.name)


class Slow(Published):
    """Slow-R50 of PyTorchVideo and PySlowFast: (B, channels, 8, 256, 256) as prepared -> (B, 2048)."""

    name = "slow_r50"
    geometry = Geometry(256, 256, 0, "torchvision/1")
    steps = 8
    dim = SLOW_DIM
    map_shape: ClassVar[tuple[int, ...]] = (SLOW_DIM, 1, 1, 1)
    scales = normalised((0.45,) * 3, (0.225,) * 3)
    layouts: ClassVar[Sequence[Layout]] = (PYTORCHVIDEO, PYSLOWFAST)
    others: ClassVar[Mapping[Layout, str]] = {MMACTION: "slow_r50_mmaction"}
    url = f"{META}/model_zoo/kinetics/SLOW_8x8_R50.pyth"
    square = 7
    parting = "slow.4"

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.slow = Pathway(self.channels, SLOW_WIDTH, SLOW_TIMES)

    def layers(self) -> Mapping[str, nn.Module]:
        return {f"slow.{number}": layer for number, layer in enumerate(self.slow)}

    def finish(self, x: Tensor) -> Tensor:
        return averaged(x, self.square)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.slow(x))


class SlowMmaction(Slow):
    """Slow-R50 of mmaction2, there called SlowOnly."""

    name = "slow_r50_mmaction"
    geometry = Geometry(256, 256)
    scales = normalised(IMAGENET_MEAN, IMAGENET_STD)
    layouts = (MMACTION,)
    others: ClassVar[Mapping[Layout, str]] = dict.fromkeys((PYTORCHVIDEO, PYSLOWFAST), "slow_r50")
    url = (
        f"{OPENMMLAB}/recognition/slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb/"
        "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb_20220901-2132fc87.pth"
    )
    square = 0


class SlowFast(Published):
    """SlowFast-R50 of PyTorchVideo and PySlowFast: (B, channels, 8 and 32, 256, 256) as prepared -> (B, 2304)."""

    name = "slowfast_r50"
    geometry = Geometry(256, 256, 0, "torchvision/1")
    steps = 32
    dim = SLOW_DIM + FAST_DIM
    map_shape: ClassVar[tuple[int, ...]] = (SLOW_DIM + FAST_DIM, 1, 1, 1)
    scales = Slow.scales
    layouts: ClassVar[Sequence[Layout]] = (PYTORCHVIDEO, PYSLOWFAST)
    others: ClassVar[Mapping[Layout, str]] = {MMACTION: "slowfast_r50_mmaction"}
    url = f"{META}/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth"
    square = 7
    normalises: ClassVar[bool] = True  # what the fast pathway tells the slow one

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        fast = [FAST_WIDTH, *(FAST_WIDTH * EXPANSION * 2**stage for stage in range(3))]  # channels before each stage
        self.slow = Pathway(self.channels, SLOW_WIDTH, SLOW_TIMES, [LATERAL_CHANNELS * number for number in fast])
        self.fast = Pathway(self.channels, FAST_WIDTH, FAST_TIMES)
        self.lateral = nn.ModuleList(Lateral(channels, self.normalises) for channels in fast)

    def first_layers(self) -> tuple[str, ...]:
        return ("slow.0.conv", "fast.0.conv")

    @classmethod
    def slow_frames(cls, number: int) -> list[int]:
        """Of `number` frames of the fast pathway those that the slow one sees, the first and the last among them."""
        slow = number // SPEED
        return [frame * (number - 1) // (slow - 1) for frame in range(slow)]

    def prepare(self, clips: Tensor) -> tuple[Tensor, ...]:
        """The slow and the fast pathway: (B, channels, 8, H, W) and (B, channels, 32, H, W)."""
        fast = super().prepare(clips)
        assert isinstance(fast, Tensor)
        return fast[:, :, self.slow_frames(fast.shape[2])], fast

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        for stage, (of_slow, of_fast) in enumerate(zip(self.slow, self.fast, strict=True)):
            slow, fast = of_slow(slow), of_fast(fast)
            if stage < len(self.lateral):
                slow = torch.cat([slow, self.lateral[stage](fast)], 1)
        return torch.cat([averaged(slow, self.square), averaged(fast, self.square)], 1)


class SlowFastMmaction(SlowFast):
    """SlowFast-R50 of mmaction2."""

    name = "slowfast_r50_mmaction"
    geometry = Geometry(256, 256)
    scales = SlowMmaction.scales
    layouts = (MMACTION,)
    others: ClassVar[Mapping[Layout, str]] = dict.fromkeys((PYTORCHVIDEO, PYSLOWFAST), "slowfast_r50")
    url = (
        f"{OPENMMLAB}/recognition/slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb/"
        "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb_20220818-1cb6dfc8.pth"
    )
    square = 0
    normalises = False

    @classmethod
    def slow_frames(cls, number: int) -> list[int]:
        """Every fourth, from the first on."""
        return list(range(0, number, SPEED))


class Lateral(nn.Sequential):
    """What the fast pathway tells the slow one, at the slow one's frames."""

    def __init__(self, channels: int, normalises: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            channels, LATERAL_CHANNELS * channels, (LATERAL_TIME, 1, 1), (SPEED, 1, 1), (LATERAL_TIME // 2, 0, 0),
            bias=False,
        )  # fmt: skip
        if normalises:
            self.bn = nn.BatchNorm3d(LATERAL_CHANNELS * channels)
            self.relu = nn.ReLU()


def averaged(x: Tensor, square: int) -> Tensor:
    """(B, C, T, H, W) -> (B, C): the mean of the means of all squares of this side in it, or of the whole for 0."""
    side = min(square or x.shape[-1], x.shape[-1])
    return F.avg_pool3d(x.float(), (x.shape[2], side, side), stride=1).mean((2, 3, 4))  # float: no bfloat16 on the CPU


SLOW_AND_SLOWFAST: tuple[type[Backbone], ...] = (Slow, SlowMmaction, SlowFast, SlowFastMmaction)
