"""Where the points of a pyramid sit, and what labelled segments want them to say.

Level l has one point every 2^l steps, point i at step i·2^l; all levels lie one after the other in one axis N.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detect.heads.base import Assignment, Targets
from detect.heads.levels import per_level, places_in_levels, strides_of
from detect.heads.padding import pad_targets


class Points(NamedTuple):
    """The points of all levels, in grid steps."""

    at: Tensor  # (N,)
    strides: Tensor  # (N,)
    ranges: Tensor  # (N, 2): the distance to the farther end that a point regresses, both included


def points_of(
    sizes: Sequence[int], ranges: Sequence[tuple[float, float]], device: torch.device | str = "cpu"
) -> Points:
    """The points of levels of these sizes, each of which regresses its range."""
    strides = strides_of(sizes, device)
    at = places_in_levels(sizes, device) * strides
    return Points(at, strides, per_level(torch.tensor(ranges, device=device), sizes))


def assign_points(
    points: Points, valid: Tensor, targets: Sequence[Targets], num_classes: int, radius: float
) -> Assignment:
    """classes (B, N, C) multi-hot; offsets (B, N, 2) in strides, 0 off the positives; positive (B, N). valid: (B, N).

    A point is positive for a segment if it lies inside it, strictly within `radius` strides of its centre, and the
    farther end is within its level's range. Of several segments the shortest counts; those within 1e-3 of its
    length add their classes (THUMOS'14 labels every CliffDiving as Diving too).
    """
    segments, labels = pad_targets(targets, valid.device)  # (B, M, 2), (B, M); padded rows are empty segments
    start, end = segments[:, None, :, 0], segments[:, None, :, 1]  # (B, 1, M)
    at, strides = points.at[:, None], points.strides[:, None]  # (N, 1)
    left, right = at - start, end - at  # (B, N, M)
    centre, reach = 0.5 * (start + end), radius * strides
    inside = (at > torch.maximum(start, centre - reach)) & (at < torch.minimum(end, centre + reach))
    farther = torch.maximum(left, right)
    inside &= (farther >= points.ranges[:, :1]) & (farther <= points.ranges[:, 1:]) & valid[:, :, None]
    lengths = (end - start).expand_as(left).masked_fill(~inside, math.inf)
    shortest, which = lengths.min(dim=2)  # the first of equals
    chosen = inside & (lengths <= shortest[:, :, None] + 1e-3)
    classes = torch.zeros(*valid.shape, num_classes, device=valid.device)
    classes.scatter_add_(2, labels[:, None].expand(chosen.shape), chosen.to(classes.dtype)).clamp_(max=1)
    positive = inside.any(dim=2)
    offsets = torch.stack([left, right], dim=-1).gather(2, which[:, :, None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return {"classes": classes, "offsets": offsets / strides * positive[:, :, None], "positive": positive}
