"""Inception I3D: the network behind most published features of temporal action detection.

Source: Carreira and Zisserman, CVPR 2017, arXiv:1705.07750, with the padding and normalisation of its published code:
TensorFlow's SAME padding, decided from the size that arrives, and batch normalisation with eps 1e-3. The feature is
the average of the last map, before dropout and the classifier, which we leave out.

Published weights come in three layouts of names; ours are the first's:

| layout | first convolution | batch norm | branches |
|---|---|---|---|
| piergiaj (`rgb_imagenet.pt`), also inside AFSD's as `_model.` | `Conv3d_1a_7x7` | `bn` | `b1a`, `b1b` |
| hassony2 (`model_rgb.pth`) | `conv3d_1a_7x7` | `batch3d` | `branch_1.0`, `branch_1.1` |
| video_features (`i3d_rgb.pt`) | as hassony2 | as hassony2 | as hassony2 |

video_features runs its weights, which are the same, with eps 1e-5 and a fixed padding; we keep to the source. Its
numbers are those of `i3d_video_features`, which takes clips of such lengths that the padding is the same.
"""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extract.backbones.base import Backbone, BackboneError
from extract.backbones.layers.packed import max_pool
from extract.backbones.layers.padding import SameConv3d, pad_same
from flow.decode.geometry import Geometry

# Channels of the four branches: 1x1; 1x1 -> 3x3; 1x1 -> 3x3; pool -> 1x1.
MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
CLASSIFIERS = ("logits.", "conv3d_0c_1x1.")
BRANCHES = {
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
}


class Unit(nn.Sequential):
    """Convolution with SAME padding, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = SameConv3d(channels_in, channels_out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(channels_out, eps=1e-3)
        self.relu = nn.ReLU()


class Pool(nn.Module):
    """Max pool with SAME padding."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return max_pool(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side, joined by channel."""

    def __init__(self, channels_in: int, branches: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = branches
        self.b0 = Unit(channels_in, b0, 1)
        self.b1a, self.b1b = Unit(channels_in, b1a, 1), Unit(b1a, b1b, 3)
        self.b2a, self.b2b = Unit(channels_in, b2a, 1), Unit(b2a, b2b, 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(channels_in, b3b, 1)
        self.channels = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class I3D(Backbone):
    """Inception I3D up to its 1024 features; layers carry the names of the published endpoints."""

    name = "i3d_inception"
    geometry = Geometry(256, 224)
    dim = 1024
    map_shape = (1024, 1, 1, 1)
    parting = "Mixed_5b"
    packs = True
    batch = {"cpu": 1, "cuda": 16}  # noqa: RUF012  # on the CPU a second clip only pushes the first out of the cache

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.Conv3d_1a_7x7 = Unit(self.channels, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        channels = 192
        for name, branches in MIXED.items():
            if name == "Mixed_4b":
                self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
            mixed = Mixed(channels, branches)
            self.add_module(name, mixed)
            channels = mixed.channels
        self.reset()

    def reset(self) -> None:
        """Random weights that keep the size of activations through all layers, so that features stay in float16."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Any of the three layouts, in ours; the classifier is left out."""
        return {_our_name(name): tensor for name, tensor in state.items() if not name.startswith(CLASSIFIERS)}

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, 224, 224), T at least 9 -> (B, 1024); T above 16 is averaged over time."""
        if x.shape[2] < 9:
            raise ValueError(f"I3D needs a window of at least 9 frames, not {x.shape[2]}")
        for layer in self.layers().values():
            x = layer(x)
        return self.finish(x)

    def layers(self) -> Mapping[str, nn.Module]:
        """In the order in which they were made."""
        return {name: layer for name, layer in self.named_children() if name != "twin"}

    def finish(self, x: Tensor) -> Tensor:
        """(B, 1024, T, 7, 7) -> (B, 1024), averaged in float32."""
        pooled = F.avg_pool3d(x.float(), (2, 7, 7), stride=1)  # float: no bfloat16 kernel on the CPU
        return pooled.mean(dim=(2, 3, 4))


class I3DOfVideoFeatures(I3D):
    """The same with the eps, the frames (Pillow's resize) and the clips of 64 that video_features has."""

    name = "i3d_video_features"
    geometry = Geometry(256, 224, 0, "antialiased/1")
    window = stride = 64

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm3d):
                layer.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, 224, 224) -> (B, 1024); T a multiple of 8, else the padding would be another."""
        if x.shape[2] % 8:
            raise BackboneError(f"{self.name}: --window {x.shape[2]}: expected a multiple of 8 frames")
        return super().forward(x)


def _our_name(name: str) -> str:
    if name.startswith(("conv3d_", "mixed_")):  # hassony2, video_features
        name = name[0].upper() + name[1:]
        name = re.sub(r"branch_\d(\.\d)?", lambda match: BRANCHES.get(match[0], match[0]), name)
        name = name.replace(".batch3d.", ".bn.")
    return name
