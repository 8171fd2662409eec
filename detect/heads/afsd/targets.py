"""What labelled segments want of AFSD's proposals and maps.

Cells: step k of a sample is the cell [k, k + 1], so that a segment lies half a unit further than in grid steps; a point
of level l stands in the middle of its 2^l cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detect.heads.base import Assignment, Targets
from detect.heads.levels import level_sizes, per_level, places_in_levels, strides_of
from detect.heads.padding import pad_targets
from detect.losses import iou_1d

SAME = 1e-3  # steps; segments that differ by less are one with several labels


class Points(NamedTuple):
    """The points of all levels, one after the other."""

    at: Tensor  # (N,) cells
    ranges: Tensor  # (N, 2): distance to the farther boundary that a point may tell, above the first, up to the second


def points_of(steps: int, ranges: Sequence[tuple[float, float]], device: torch.device) -> Points:
    """Points of samples of so many steps, a multiple of 2^(levels - 1); ranges of each level."""
    sizes = level_sizes(steps, len(ranges))
    at = (places_in_levels(sizes, device) + 0.5) * strides_of(sizes, device)
    return Points(at, per_level(torch.tensor(ranges, device=device), sizes))


def assign_points(points: Points, valid: Tensor, targets: Sequence[Targets], num_classes: int) -> Assignment:
    """positive (B, N); classes (B, N, C + 1) shares of 1, background last; distances (B, N, 2) in steps, else 0.

    A point tells of the shortest segment that it lies in, ends included. Where that has several labels each gets the
    same share (published: the first label alone).
    """
    segments, labels = pad_targets(targets, valid.device)  # (B, M, 2), (B, M)
    start, end = (segments[:, None] + 0.5).unbind(3)  # (B, 1, M)
    left, right = points.at[:, None] - start, end - points.at[:, None]  # (B, N, M)
    farther = torch.maximum(left, right)
    inside = (left >= 0) & (right >= 0) & (end > start) & valid[:, :, None]
    inside &= (farther > points.ranges[:, :1]) & (farther <= points.ranges[:, 1:])
    lengths = (end - start).expand_as(left).masked_fill(~inside, torch.inf)
    which = lengths.argmin(2, keepdim=True)  # the first of equals
    positive = inside.any(2)
    distances = torch.stack([left.gather(2, which), right.gather(2, which)], dim=3)[:, :, 0]
    same = (left - distances[..., :1]).abs().maximum((right - distances[..., 1:]).abs()) <= SAME
    classes = torch.zeros(*valid.shape, num_classes + 1, device=valid.device)
    chosen = (inside & same).to(classes.dtype)
    classes.scatter_add_(2, labels[:, None].expand(chosen.shape), chosen)
    classes[..., -1] = ~positive
    return {
        "positive": positive,
        "classes": classes / classes.sum(2, keepdim=True),
        "distances": distances * positive[:, :, None],
    }


def assign_proposals(coarse: Assignment, distances: Tensor, min_iou: float, best: bool) -> Assignment:
    """Which proposals are near enough to be refined, and by how much: refined (B, N), refined_classes (B, N, C + 1),
    refined_offsets (B, N, 2) in half lengths of the proposal.

    distances: (B, N, 2) as predicted. best: where none of a sample has `min_iou`, its best is refined.
    """
    positive, wanted = coarse["positive"], coarse["distances"]
    iou = iou_1d(distances, wanted).masked_fill(~positive, 0.0)
    least = iou.amax(1, keepdim=True).clamp(max=min_iou) if best else min_iou
    refined = positive & (iou >= least)
    background = torch.zeros_like(coarse["classes"])
    background[..., -1] = 1.0
    offsets = (wanted - distances) / (0.5 * distances.sum(2, keepdim=True))
    return {
        "refined": refined,
        "refined_classes": torch.where(refined[:, :, None], coarse["classes"], background),
        "refined_offsets": offsets.masked_fill(~refined[:, :, None], 0.0),
    }


def boundary_maps(targets: Sequence[Targets], mask: Tensor, frames: int) -> Tensor:
    """(B, frames · T, 2): 1 in the frames near a start, near an end, of segments of samples with mask (B, T).

    Near is a tenth of the segment around its boundary, at least 2 frames; at least one frame of the sample.
    """
    segments, _ = pad_targets(targets, mask.device)
    boundaries = (segments + 0.5) * frames  # (B, M, 2)
    length = boundaries[..., 1:] - boundaries[..., :1]
    reach = 0.5 * (length / 10).clamp(min=2)
    last = (mask.sum(1) * frames - 1)[:, None, None].to(reach.dtype)
    low, high = (torch.minimum((boundaries + side).round().clamp(min=0), last) for side in (-reach, reach))
    at = torch.arange(mask.shape[1] * frames, device=mask.device)[:, None, None]
    near = (at >= low[:, None]) & (at <= high[:, None]) & (length > 0)[:, None]
    return near.any(2).float()


def at_first_frames(maps: Tensor, frames: int) -> Tensor:
    """Maps (B, frames · T, 2) at the first frame of every step: (B, T, 2)."""
    return maps[:, ::frames]
