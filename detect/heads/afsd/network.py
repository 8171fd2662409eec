"""The networks of AFSD: a pyramid of convolutions, a map in frames, towers over all levels, refinement of proposals."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.heads.afsd.layers import Axis, Layer, halved, single
from detect.heads.afsd.pooling import pool_boundaries, regions_around
from detect.heads.levels import with_gaps
from detect.model.branches import convolve_steps
from detect.precision import exactly


class Pyramid(nn.Module):
    """Levels of halving rate, one after the other in one sequence, an empty step after each."""

    compiles = True

    def __init__(self, in_channels: int, width: int, levels: int, groups: int) -> None:
        super().__init__()
        self.entry = Layer(in_channels, width, 1, groups)
        self.halvings = nn.ModuleList(Layer(width, width, 3, groups) for _ in range(levels - 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D_in), mask (B, T), T a multiple of 2^(levels - 1). Returns (B, N, D), zero off real steps."""
        axis = single(mask, x.dtype)
        levels = [self.entry(x, axis, axis.keep) * axis.keep]
        for layer in self.halvings:
            assert isinstance(layer, Layer)
            mask = halved(mask)
            axis = single(mask, x.dtype)
            levels.append(layer.halved(levels[-1], axis) * axis.keep)
        return with_gaps(levels)


class FrameMap(nn.Module):
    """The first level at `frames` times its rate: where exactly actions begin (first half of D) and end (the other)."""

    def __init__(self, width: int, frames: int, groups: int) -> None:
        super().__init__()
        self.frames = frames
        self.layers = nn.ModuleList(Layer(width, width, size, groups) for size in (3, 3, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), mask (B, T) -> (B, frames · T, D); what comes out under the mask is meaningless."""
        axis = single(mask.repeat_interleave(self.frames, dim=1), x.dtype)
        keep = axis.keep
        first, second, third = self.layers
        x = first.repeated(x, self.frames, axis, keep)  # type: ignore[operator]
        return third(second(x, axis, keep), axis, keep)


class Tower(nn.Module):
    """Convolutions over the steps of all levels."""

    compiles = True

    def __init__(self, width: int, depth: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, width, 3, groups) for _ in range(depth))

    def forward(self, x: Tensor, axis: Axis, keep: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, axis, keep)
        return x


class Output(nn.Module):
    """A convolution over 1 or 3 steps of (B, N, D), small at the beginning."""

    def __init__(self, width: int, outputs: int, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, outputs, size, padding=size // 2)
        nn.init.normal_(self.convolution.weight, std=0.01)  # OpenTAD
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Steps where keep (B, N, 1) is 0 count as zero; what comes out there is meaningless."""
        weight, bias = self.convolution.weight, self.convolution.bias
        if weight.shape[2] == 1:
            return exactly(F.linear, x, weight[:, :, 0], bias)
        return exactly(convolve_steps, x, keep, weight, bias)


class Regions:
    """Where proposals are looked at: around their boundaries, in steps of their level and in frames.

    distances: (B, N, 2) in steps, to either boundary; length: (B,) real steps of each sample.
    """

    def __init__(self, distances: Tensor, axis: Axis, length: Tensor, frames: int) -> None:
        stride = 2.0**axis.level
        left, right = (distances / stride[:, None]).unbind(2)
        self.first, self.last = axis.first, axis.last(length)
        self.steps = regions_around(axis.place - left, axis.place + right, left + right)
        centre = (axis.place + 0.5) * stride
        start, end = (centre - distances[..., 0]) * frames, (centre + distances[..., 1]) * frames
        self.frames = regions_around(start, end, end - start + 1)
        self.last_frame = (frames * length - 1)[:, None]

    def in_frames(self, frame_map: Tensor) -> Tensor:
        """Pooled from (B, F, D): (B, N, D)."""
        return pool_boundaries(frame_map, self.frames, self.last_frame)

    def in_levels(self, x: Tensor) -> Tensor:
        """Pooled from (B, N, D), every proposal in its own level: (B, N, D)."""
        return pool_boundaries(x, self.steps, self.last, self.first)


class Refinement(nn.Module):
    """Features of proposals: their boundaries in the frame map and in their level, and their own step."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.here = Layer(width, width, 1, groups)
        self.around = Layer(width, 2 * width, 1, groups)
        self.frames = Layer(width, width, 1, groups)
        self.joined = Layer(4 * width, width, 1, groups)

    def forward(
        self, x: Tensor, in_frames: Tensor, regions: Regions, axis: Axis, keep: Tensor
    ) -> tuple[Tensor, Tensor]:
        """x, in_frames (`Regions.in_frames`) (B, N, D). Returns (B, N, D), and what is pooled in levels (B, N, 2D)."""
        around = self.around(x, axis, keep)
        every = torch.cat(
            [self.frames(in_frames, axis, keep), regions.in_levels(around), self.here(x, axis, keep)], dim=2
        )
        return self.joined(every, axis, keep), around
