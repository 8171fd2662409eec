"""Convolutions over the levels of a pyramid, all of them in one sequence; normalised per sample, level and group.

Layout is (B, N, D), steps before channels. N holds the levels one after the other, each followed by one empty step, so
that a convolution over 3 steps runs over all levels in one call and none sees its neighbour.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.heads.levels import level_sizes, per_level, places_in_levels, with_gaps
from detect.model.branches import convolve_steps
from detect.precision import exactly


class Axis(NamedTuple):
    """Where the levels of a batch lie in one sequence of N steps, and which steps are real."""

    level: Tensor  # (N,) int64: which level a step belongs to
    place: Tensor  # (N,) its number within the level; the empty step comes after the last
    first: Tensor  # (N,) where its level begins
    points: Tensor  # those of N that are steps of a level, not empty ones
    real: Tensor  # (B, N) bool
    share: Tensor  # (B, levels, N): 1 / (real steps of the level) on these, else 0: a mean over a level is a product

    @property
    def keep(self) -> Tensor:
        """(B, N, 1): 1 on real steps, else 0."""
        return self.real[:, :, None].to(self.share.dtype)

    def last(self, length: Tensor) -> Tensor:
        """(B, N): number of the last real step of each step's level, where samples have `length` (B,) real steps."""
        return -(-length[:, None] >> self.level) - 1


def axis_of(mask: Tensor, levels: int, dtype: torch.dtype) -> Axis:
    """Levels of samples with mask (B, T), T a multiple of 2^(levels - 1). A step of level l is real if any of its 2^l
    is."""
    sizes = [size + 1 for size in level_sizes(mask.shape[1], levels)]
    each = torch.arange(levels, device=mask.device)
    level, place = per_level(each, sizes), places_in_levels(sizes, mask.device)
    reals = [mask]
    for _ in range(levels - 1):
        reals.append(halved(reals[-1]))
    real = with_gaps(reals)
    member = real[:, None] & (level == each[:, None])
    share = member.to(dtype) / member.sum(2, keepdim=True).clamp(min=1)
    every = torch.arange(len(level), device=mask.device)
    points = torch.cat([steps[:-1] for steps in every.split(sizes)])
    return Axis(level, place, every - place, points, real, share)


def halved(mask: Tensor) -> Tensor:
    """Mask (B, T) of the next level: (B, T / 2)."""
    return mask.unflatten(1, (-1, 2)).any(2)


def single(mask: Tensor, dtype: torch.dtype) -> Axis:
    """One level and no empty step: samples as they are."""
    steps = torch.arange(mask.shape[1], device=mask.device)
    share = mask[:, None].to(dtype) / mask.sum(1).clamp(min=1)[:, None, None]
    return Axis(torch.zeros_like(steps), steps, torch.zeros_like(steps), steps, mask, share)


class Layer(nn.Module):
    """A convolution over 1 or 3 steps with bias, GroupNorm over the real steps of each level, ReLU.

    Departure: the published GroupNorm counts padded steps, so that a short sample's features depend on its padding.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, groups: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_channels, out_channels, size, padding=size // 2)
        self.norm = nn.GroupNorm(groups, out_channels)  # holds its parameters; its forward knows no mask
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, axis: Axis, keep: Tensor) -> Tensor:
        """x (B, N, D_in) counts as zero where keep (B, N, 1) is 0; what comes out there is meaningless."""
        weight, bias = self.convolution.weight, self.convolution.bias
        if weight.shape[2] == 1:
            return exactly(self.normalised, F.linear(x, weight[:, :, 0], bias), axis)
        return exactly(self.normalised, convolve_steps(x, keep, weight, bias), axis)

    def repeated(self, x: Tensor, times: int, axis: Axis, keep: Tensor) -> Tensor:
        """The same of x (B, T, D_in) with every step repeated, at the cost of x: axis and keep of times · T steps."""
        weight, bias = self.convolution.weight, self.convolution.bias
        taps = F.linear(x, weight.permute(2, 0, 1).flatten(0, 1)).repeat_interleave(times, dim=1) * keep
        before, here, after = taps.chunk(3, dim=2)
        convolved = here + F.pad(before, (0, 0, 1, -1)) + F.pad(after, (0, 0, -1, 1))
        return exactly(self.normalised, convolved if bias is None else convolved + bias, axis)

    def halved(self, x: Tensor, axis: Axis) -> Tensor:
        """With a stride of 2: step i from steps 2i, 2i + 1 and 2i + 2 of x (B, T, D_in), zero under the mask, T even.

        axis: of T / 2 steps.
        """
        after = F.pad(x[:, 2::2], (0, 0, 0, 1))
        windows = torch.cat([x[:, 0::2], x[:, 1::2], after], dim=2)
        y = F.linear(windows, self.convolution.weight.permute(0, 2, 1).flatten(1), self.convolution.bias)
        return exactly(self.normalised, y, axis)

    def normalised(self, x: Tensor, axis: Axis) -> Tensor:
        grouped = x.unflatten(2, (self.norm.num_groups, -1))  # (B, N, G, D / G)
        centred = grouped - at_steps(axis.share @ grouped.mean(3), axis)[..., None]
        variance = axis.share @ centred.square().mean(3)  # (B, levels, G)
        scaled = centred * at_steps((variance + self.norm.eps).rsqrt(), axis)[..., None]
        return torch.addcmul(self.norm.bias, scaled.flatten(2), self.norm.weight).relu()


def at_steps(values: Tensor, axis: Axis) -> Tensor:
    """Values (B, levels, G) of levels, for the steps of these: (B, N, G), or (B, 1, G) where there is one level."""
    return values if values.shape[1] == 1 else values[:, axis.level]
