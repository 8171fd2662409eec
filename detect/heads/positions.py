"""Where a step stands, told to a network that would not see it: sines of the position, and their stretching."""

import math

import torch
from torch import Tensor

from features.computing.exporting import exporting


def sinusoids(places: Tensor, width: int) -> Tensor:
    """(..., width): sines (even channels) and cosines (odd) of places (...).

    From 1 radian a step down to almost 1/10000. Source: Vaswani et al., NeurIPS 2017, arXiv:1706.03762.
    """
    rates = torch.exp(-math.log(1e4) * torch.arange(0, width, 2, device=places.device) / width)
    angles = places[..., None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


def stretched(table: Tensor, mask: Tensor) -> Tensor:
    """Rows of a table (L, D) for the steps of samples, mask (B, T).

    Returns (B, T, D), or (1, T, D) where all samples have the same. Step k has row k. Over a sample of more real steps
    than L the rows are stretched: interpolated linearly with half-pixel centres. Padding changes nothing on real steps.
    """
    rows, steps = len(table), mask.shape[1]
    if not exporting() and steps <= rows:  # a graph that is exported serves every number of steps
        return table[None, :steps]
    longer = (mask.sum(1, keepdim=True) / rows).clamp(min=1)  # (B, 1)
    places = ((torch.arange(steps, device=mask.device) + 0.5) / longer - 0.5).clamp(0, rows - 1)
    before = places.floor().long()
    share = (places - before)[:, :, None].to(table.dtype)
    return torch.lerp(table[before], table[(before + 1).clamp(max=rows - 1)], share)
