"""What G-TAD's maps and steps are judged by: both kinds count as much, however few there are of one.

Pure functions: what the published code draws at random in the loss is replaced by its expectation.
`whole` makes counts those of the whole batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.losses import Whole, as_counted

EPS = 1e-6  # inside the logarithms
MARGIN = 10  # positives, and negatives, that a map is taken to have beside those it has


def balanced_entropy(
    logits: Tensor, positive: Tensor, valid: Tensor, margin: int = 0, whole: Whole = as_counted
) -> Tensor:
    """− ½ Σ_pos log p / (#pos + margin)  − ½ Σ_neg log(1 − p) / (#neg + margin), over valid places.

    At least 1 below the line: a batch without positives teaches where nothing is (NaN in the published code).
    """
    p = logits.sigmoid()
    positive, negative = positive & valid, ~positive & valid
    missed = ((p + EPS).log() * positive).sum() / (whole(positive.sum()) + margin).clamp(min=1)
    wrong = ((1 - p + EPS).log() * negative).sum() / (whole(negative.sum()) + margin).clamp(min=1)
    return -0.5 * (missed + wrong)


def overlap_error(logits: Tensor, overlaps: Tensor, weights: Tensor, whole: Whole = as_counted) -> Tensor:
    """½ Σ w (p − IoU)² / Σ w."""
    return 0.5 * (weights * (logits.sigmoid() - overlaps).square()).sum() / whole(weights.sum()).clamp(min=1)


def overlap_weights(overlaps: Tensor, valid: Tensor, whole: Whole = as_counted) -> Tensor:
    """Segments by their IoU with an action: 1 above 0.7, and of those from 0.3 to 0.7, and of those up to 0.3, as much
    in all as above 0.7. Segments that overlap nothing weigh nothing.

    The published code takes as many of either kind at random: this is the expectation of its weights.
    """
    high = (overlaps > 0.7) & valid
    middle = (overlaps > 0.3) & (overlaps <= 0.7) & valid
    low = (overlaps > 0) & (overlaps <= 0.3) & valid
    weights, wanted = high.to(overlaps.dtype), whole(high.sum())
    for kind in (middle, low):
        weights = weights + kind * (wanted / whole(kind.sum()).clamp(min=1)).clamp(max=1)
    return weights


def mimicry(logits: Tensor, teacher: Tensor, valid: Tensor, margin: int = 0, whole: Whole = as_counted) -> Tensor:
    """KL(teacher ‖ student) at valid places, weighed as `balanced_entropy` weighs labels, by the teacher's p.

    ½ Σ p · KL / (Σ p + margin) + ½ Σ (1 − p) · KL / (Σ (1 − p) + margin). 0 where both agree everywhere.
    """
    teacher = teacher.detach()
    p = teacher.sigmoid() * valid
    q = (1 - teacher.sigmoid()) * valid
    divergence = F.binary_cross_entropy_with_logits(logits, teacher.sigmoid(), reduction="none")
    divergence = divergence - F.binary_cross_entropy_with_logits(teacher, teacher.sigmoid(), reduction="none")
    weights = 0.5 * p / (whole(p.sum()) + margin).clamp(min=1) + 0.5 * q / (whole(q.sum()) + margin).clamp(min=1)
    return (torch.where(valid, divergence, 0.0) * weights).sum()


def overlap_mimicry(logits: Tensor, teacher: Tensor, valid: Tensor, whole: Whole = as_counted) -> Tensor:
    """½ Σ p (σ(student) − p)² / Σ p, p the overlap that the teacher sees: where it sees none, nothing is asked."""
    overlaps = teacher.detach().sigmoid() * valid
    return overlap_error(logits, overlaps, overlaps, whole)
