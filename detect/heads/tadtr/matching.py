"""Who answers for whom: queries and segments matched one to one, so that the sum of costs is least.

Segments are (..., 2) centres and widths. Source: Carion et al., ECCV 2020, arXiv:2005.12872, with TadTR's costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@dataclass(frozen=True)
class Costs:
    """How much each kind of disagreement weighs when a query is matched."""

    classes: float
    offset: float
    iou: float


class Pairs(NamedTuple):
    """Matched pairs, (n,) each: the one at `first` of row `row` with the one at `second` of the same row."""

    row: Tensor
    first: Tensor
    second: Tensor


def to_ends(segments: Tensor) -> Tensor:
    """Start and end of centre and width."""
    centre, width = segments.unbind(-1)
    return torch.stack([centre - 0.5 * width, centre + 0.5 * width], dim=-1)


def to_centre(ends: Tensor) -> Tensor:
    """Centre and width of start and end."""
    start, end = ends.unbind(-1)
    return torch.stack([0.5 * (start + end), end - start], dim=-1)


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of segments (..., 2) of centre and width; shapes as in broadcasting."""
    one, other = to_ends(one), to_ends(other)
    shared = (torch.minimum(one[..., 1], other[..., 1]) - torch.maximum(one[..., 0], other[..., 0])).clamp(min=0)
    union = one[..., 1] - one[..., 0] + other[..., 1] - other[..., 0] - shared
    return shared / union.clamp(min=1e-8)


def class_cost(logits: Tensor, alpha: float, gamma: float) -> Tensor:
    """What saying a class would cost in focal loss less what not saying it would; same shape."""
    said = logits.sigmoid()
    positive = alpha * (1 - said) ** gamma * -(said + 1e-8).log()
    negative = (1 - alpha) * said**gamma * -(1 - said + 1e-8).log()
    return positive - negative


def apart(segments: Tensor, others: Tensor, costs: Costs) -> Tensor:
    """Cost of each of segments (..., Q, 2) with each of others (..., M, 2): (..., Q, M)."""
    one, other = segments[..., :, None, :], others[..., None, :, :]
    return costs.offset * (one - other).abs().sum(-1) - costs.iou * iou(one, other)


def match(cost: Tensor, counts: Sequence[int]) -> Pairs:
    """The cheapest matching of each row of cost (R, Q, M), whose first counts[r] columns are to be matched.

    A number that is none counts as dear, so that a step that diverged is reported by its loss.
    """
    costs = np.nan_to_num(cost.detach().float().cpu().numpy(), nan=1e6, posinf=1e6, neginf=-1e6)
    found = [linear_sum_assignment(row[:, :count]) for row, count in zip(costs, counts, strict=True)]
    row = np.repeat(np.arange(len(found)), [len(first) for first, _ in found])
    first, second = (np.concatenate([f[k] for f in found] or [row]) for k in (0, 1))
    return Pairs(*(torch.from_numpy(x.astype(np.int64)).to(cost.device) for x in (row, first, second)))
