"""Region alignment on a line: a segment of a sequence, whatever its length, as so many equal bins.

Source: the RoIAlign of G-TAD and TadTR, whose convention this is: coordinate k is step k.
"""

import torch
from torch import Tensor


@torch.no_grad()
def region_weights(segments: Tensor, steps: Tensor, bins: int, length: int) -> Tensor:
    """What each bin of a segment takes of each step of its sample: to be multiplied with a sequence (B, length, D).

    segments (B, Q, 2) start and end in steps, at most `length` long; steps (B,) are real. Returns (B, Q, bins, length).

    A segment counts as at least one step long. A bin is the mean of ⌈its steps⌉ evenly spaced points, each interpolated
    between two steps: the first or last where it lies outside by no more than a step, 0 where by more.
    """
    segments, end = segments.float(), steps.float()[:, None, None, None]  # (B, 1, 1, 1)
    size = (segments[..., 1] - segments[..., 0]).clamp(min=1)[:, :, None, None] / bins  # (B, Q, 1, 1)
    count = size.ceil()  # points of a bin
    point = torch.arange(max(-(-length // bins), 1), device=segments.device)
    place = torch.arange(bins, device=segments.device)[:, None] + (point + 0.5) / count
    at = segments[:, :, :1, None] + place * size  # (B, Q, bins, points)
    counts = (point < count) & (at >= -1) & (at <= end)
    share = counts / count
    last = (end - 1).clamp(min=0)
    at = at.clamp(min=0).minimum(last)
    before = at.floor()
    after = at - before
    weights = segments.new_zeros(*at.shape[:3], length)
    weights.scatter_add_(3, before.long(), share * (1 - after))
    return weights.scatter_add_(3, (before + 1).minimum(last).long(), share * after)
