"""Scales of networks that were trained on normalised pixels: (x / 255 - mean) / std, a mean and a std for each channel.

The motion cues have no published numbers, so they are treated alike for all: a difference of two frames is scaled as
the frames are, of which the mean falls away; flow in pixels / 20, as for I3D.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from extract.cues.cue import FLOW, GRADIENT, RGB, Scale

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1


def normalised(mean: Sequence[float], std: Sequence[float]) -> Mapping[str, Scale]:
    """Scales by cue, of tensors whose second dimension is the channel. mean, std: of RGB in 0..1."""
    return {
        RGB.name: lambda x: (x / 255 - per_channel(mean, x)) / per_channel(std, x),
        FLOW.name: FLOW.scale,
        GRADIENT.name: lambda x: x / 255 / per_channel(std, x),
    }


def per_channel(values: Sequence[float], x: Tensor) -> Tensor:
    """Numbers, one a channel, to be combined with x of (B, channels, ...)."""
    return torch.tensor(values, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 2))
