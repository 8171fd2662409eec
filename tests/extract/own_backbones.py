"""Backbones unlike those that ship: one of single frames, one of two pathways, and some that are wrong."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from extract.backbones import BACKBONES, videomae
from extract.backbones.base import Backbone
from extract.backbones.own import takes
from extract.backbones.videomae import VideoMAE
from extract.cues.cue import CUES, Scale
from flow.decode.geometry import Geometry


class FrameNet(Backbone):
    """A 2-D network over 8 of 64 frames, its features averaged over them (as TSN, and TSM without its shift)."""

    geometry = Geometry(32, 32)
    dim = 24
    map_shape = (24, 1, 1, 1)
    window = 64
    stride = 8
    steps = 8
    memory_format = torch.channels_last

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.body = nn.Sequential(
            nn.Conv2d(self.channels, 12, 5, 4, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, self.dim, 3)
        )

    def prepare(self, clips: Tensor) -> Tensor:
        """(B, 8, H, W, channels) -> (B * 8, channels, H, W)."""
        return self.scales[self.cue](clips.permute(0, 1, 4, 2, 3).flatten(0, 1).float())

    def forward(self, frames: Tensor) -> Tensor:
        return self.body(frames).mean((2, 3)).unflatten(0, (-1, self.steps)).mean(1)


class TwoPathways(Backbone):
    """Every second of 32 frames in a fast pathway, every eighth in a slow one, joined by a lateral connection."""

    geometry = Geometry(32, 32)
    dim = 16 + 4
    map_shape = (16 + 4, 1, 1, 1)
    window = 32
    stride = 8
    steps = 16
    scales: ClassVar[Mapping[str, Scale]] = {name: CUES[name].scale for name in ("rgb", "flow")}

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.fast = nn.Conv3d(self.channels, 4, (5, 7, 7), (1, 4, 4), padding=(2, 3, 3))
        self.lateral = nn.Conv3d(4, 8, (5, 1, 1), (4, 1, 1), padding=(2, 0, 0))
        self.slow = nn.Conv3d(self.channels, 8, (1, 7, 7), (1, 4, 4), padding=(0, 3, 3))
        self.joined = nn.Conv3d(16, 16, 3, padding=1)

    def prepare(self, clips: Tensor) -> tuple[Tensor, ...]:
        """The slow and the fast pathway: (B, channels, 4, H, W) and (B, channels, 16, H, W)."""
        fast = super().prepare(clips)
        assert isinstance(fast, Tensor)
        return fast[:, :, ::4], fast

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        quick = self.fast(fast).relu()
        both = torch.cat([self.slow(slow).relu(), self.lateral(quick)], 1)
        return torch.cat([self.joined(both).mean((2, 3, 4)), quick.mean((2, 3, 4))], 1)


class Wide(FrameNet):
    """Says that it is wider than it is."""

    dim = 99

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.body[3] = nn.Conv2d(12, 24, 3)


class SecondNano(FrameNet):
    """Takes the name of another."""

    name = "nano"


class Beyond(FrameNet):
    """Reads a step that its clips do not have."""

    @classmethod
    def reads(cls, window: int) -> list[int]:
        return [0, window]


class Unfinished(Backbone):
    """Declares nothing."""


class Broken(FrameNet):
    """Cannot be built."""

    def __init__(self, cue: str) -> None:
        raise RuntimeError("no such layer")


NUMBER = 7


# Small versions of networks that ship: the same code in milliseconds.


class SmallMC3(BACKBONES["mc3_18"]):  # type: ignore[misc]
    geometry = Geometry(32, 24, 43, "torchvision/1")
    window, stride, steps = 8, 4, 4


class SmallSwin(BACKBONES["swin3d_t"]):  # type: ignore[misc]
    geometry = Geometry(40, 32, 0, "torchvision/1")
    window, stride, steps = 8, 4, 4


class SmallTSM(BACKBONES["tsm_r18"]):  # type: ignore[misc]
    geometry = Geometry(32, 32)
    window = 16


class SmallSlowFast(BACKBONES["slowfast_r50"]):  # type: ignore[misc]
    geometry = Geometry(32, 32)
    window, steps = 16, 16


class TinyVideoMAE(VideoMAE):
    model = videomae.Model("tiny", "nobody/tiny", 24, 2, 2)
    dim = 24
    map_shape = (24, 1, 1, 1)
    geometry = Geometry(32, 32, 0, "antialiased/1")
    window, stride, steps = 8, 4, 4


# Networks that know nothing of us.


@takes(short_side=32, crop=32, window=8, stride=4, steps=4, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
def plain_net() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool3d((1, 2, 2)))  # a map (8, 1, 2, 2)


@takes(short_side=32, crop=32, window=8, mean=(0.0, 0.0), std=(0.5, 0.5), cues=("flow",), frames_first=True)
class OfFlow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, frames, 2, H, W) -> (B, 5)."""
        return self.layer(x.mean((1, 3, 4)))


def says_nothing() -> nn.Module:
    return nn.Identity()


@takes(short_side=32, crop=32, window=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
def gives_tokens() -> nn.Module:
    return nn.Flatten(2)


@takes(short_side=32, crop=32, window=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
def gives_no_network() -> nn.Module:
    return 7  # type: ignore[return-value]


@takes(short_side=32, crop=32, window=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
def fails_on_clips() -> nn.Module:
    return nn.Linear(7, 1)
