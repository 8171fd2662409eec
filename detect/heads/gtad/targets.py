"""Where G-TAD's segments and steps lie, and what they should say.

Segment (d, s) of the map covers the steps s to s + d whole: [s − ½, s + d + ½] in grid steps, step k being the centre
of clip k. The same place is used for targets and for detections; the published code decodes 3 frames later than it
learns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from detect.heads.base import Targets

NEAR = 1.5  # steps around a start or an end that are learnt as such: 3 snippets wide in the published code


def segment_grid(durations: int, steps: int, device: torch.device | str = "cpu") -> Tensor:
    """(D, T, 2): start and end of every segment of the map, grid steps."""
    s = torch.arange(steps, dtype=torch.float32, device=device)
    d = torch.arange(durations, dtype=torch.float32, device=device)[:, None]
    return torch.stack([(s - 0.5).expand(durations, steps), s + d + 0.5], dim=2)


def valid_segments(mask: Tensor, durations: int) -> Tensor:
    """(B, D, T): the segments that end within the real steps of mask (B, T), which are the first ones."""
    lengths = mask.sum(1)[:, None, None]
    steps = torch.arange(mask.shape[1], device=mask.device)
    return steps + torch.arange(durations, device=mask.device)[:, None] < lengths


def overlap_map(valid: Tensor, targets: Sequence[Targets]) -> Tensor:
    """(B, D, T): the largest IoU of every segment with an action, the actions cut to the sample; 0 where not valid."""
    grid = segment_grid(valid.shape[1], valid.shape[2], valid.device)
    start, end = grid.unbind(2)
    overlaps = torch.zeros(valid.shape, device=valid.device)
    for row, known in enumerate(targets):
        last = float(valid[row, 0].sum()) - 0.5
        for a, b in known.segments.to(grid).clamp(-0.5, max(last, -0.5)):
            shared = (torch.minimum(end, b) - torch.maximum(start, a)).clamp(min=0)
            overlaps[row] = torch.maximum(overlaps[row], shared / (end - start + b - a - shared))
    return overlaps * valid


def nearness(mask: Tensor, boundaries: Sequence[Tensor]) -> Tensor:
    """(B, T) in [0, 1]: how much of every step [t − ½, t + ½] lies near one of the boundaries (N,) of its sample."""
    at = torch.arange(mask.shape[1], dtype=torch.float32, device=mask.device)
    near = torch.zeros(mask.shape, device=mask.device)
    for row, places in enumerate(boundaries):
        if len(places):
            distance = (at[:, None] - places.to(at)).abs().amin(1)
            near[row] = (NEAR + 0.5 - distance).clamp(0, 1)
    return near * mask
