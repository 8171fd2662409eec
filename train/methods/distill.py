"""Distillation losses of features beside their distance: pure functions of student's and teacher's, both (B, D, T).

Source of all three: Dai et al., ICCV 2021, arXiv:2108.03619, whose formulas are followed in kind; scales are ours.
Steps under the mask (B, T) count for nothing. Being equal is `detect.losses.masked_mse`; predictions are compared by
the head that made them, `Head.distill`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.losses import Whole, as_counted, mean_of_samples

Rows = Callable[[Tensor], tuple[Tensor, int]]  # of a share of a batch: those of the whole, and where the share begins


def own_rows(rows: Tensor) -> tuple[Tensor, int]:
    """`Rows` where one process has the whole batch."""
    return rows, 0


def atomic_contrast(
    student: Tensor, teacher: Tensor, mask: Tensor, temperature: float, rows: Rows = own_rows
) -> Tensor:
    """Each step of the student should know its own step of the teacher among all steps of the batch.

        − mean_i log( exp(s_i · t_i / τ) / Σ_j exp(s_i · t_j / τ) )      s_i, t_j of unit length

    0 when every step is told apart with certainty, log(number of steps) when none is.
    """
    s, t = (F.normalize(x.transpose(1, 2)[mask], dim=1) for x in (student, teacher))  # (steps, D)
    t, first = rows(t)
    own = torch.arange(first, first + len(s), device=s.device)
    return F.cross_entropy(s @ t.T / temperature, own, reduction="sum") / len(t)


def contextual_relation(student: Tensor, teacher: Tensor, mask: Tensor, whole: Whole = as_counted) -> Tensor:
    """Mean squared difference of how channels vary together over a video: correlations, so scale is free."""
    return mean_of_samples((correlations(student, mask) - correlations(teacher, mask)).square().mean((1, 2)), whole)


def correlations(features: Tensor, mask: Tensor) -> Tensor:
    """(B, D, D) in [-1, 1], over real steps; 0 for a channel that never changes."""
    keep = mask[:, None].to(features.dtype)
    centred = (features - (features * keep).sum(2, keepdim=True) / keep.sum(2, keepdim=True).clamp(min=1)) * keep
    unit = F.normalize(centred, dim=2)
    return unit @ unit.transpose(1, 2)


def boundary_saliency(student: Tensor, teacher: Tensor, mask: Tensor, whole: Whole = as_counted) -> Tensor:
    """The share of a video's change that happens at other steps than the teacher's, in [0, 1]; mean of the batch."""
    return 0.5 * mean_of_samples((changes(student, mask) - changes(teacher, mask)).abs().sum(1), whole)


def changes(features: Tensor, mask: Tensor) -> Tensor:
    """(B, T − 1): the L1 change from each step to the next, as a share of all change of the video."""
    real = mask[:, 1:] & mask[:, :-1]
    change = (features[:, :, 1:] - features[:, :, :-1]).abs().mean(1) * real
    return change / change.sum(1, keepdim=True).clamp(min=1e-6)
