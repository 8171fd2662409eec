"""The levels of a pyramid in one axis, one after the other: level l has one point every 2^l steps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from features.computing.exporting import exporting


def level_sizes(steps: int, levels: int) -> list[int]:
    """Points of each level for a sequence of `steps`, a multiple of 2^(levels - 1)."""
    return [steps >> level for level in range(levels)]


def first_level(points: int, levels: int) -> int:
    """Points of the first level, the steps of the sequence, where all levels have so many in all."""
    return points * 2 ** (levels - 1) // (2**levels - 1)


def per_level(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """(levels, ...) values repeated for every point: (N, ...)."""
    if exporting():  # a graph whose sizes are not known yet; elsewhere sums of gradients keep their order
        rows = zip(values.split(1), sizes, strict=True)
        return torch.cat([row.expand(size, *values.shape[1:]) for row, size in rows])
    return torch.repeat_interleave(values, torch.tensor(sizes, device=values.device), dim=0, output_size=sum(sizes))


def strides_of(sizes: Sequence[int], device: torch.device | str) -> Tensor:
    """(N,) float: steps between the points of each point's level."""
    return per_level(2.0 ** torch.arange(len(sizes), device=device), sizes)


def places_in_levels(sizes: Sequence[int], device: torch.device | str) -> Tensor:
    """(N,) int64: each point's number within its level."""
    return torch.cat([torch.arange(size, device=device) for size in sizes])


def with_gaps(levels: Sequence[Tensor]) -> Tensor:
    """Levels (B, N_l, ...) in one sequence with an empty step after each: a convolution over 3 steps runs over all of
    them in one call, and none sees its neighbour."""
    return torch.cat([F.pad(level, (0, 0) * (level.ndim - 2) + (0, 1)) for level in levels], dim=1)
