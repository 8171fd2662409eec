"""Losses of detection heads, as pure functions of tensors: nothing is summed, averaged or masked unless it says so.

Offsets are distances (to the start, to the end) from a point inside the segment, so that two segments seen from the
same point are compared without knowing where the point is.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Whole = Callable[[Tensor], Tensor]  # of what this process counted in its share of a batch: that of the whole batch


def as_counted(count: Tensor) -> Tensor:
    """`Whole` where one process has the whole batch."""
    return count


def sigmoid_focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of independent classes, elementwise. targets in [0, 1], same shape.

    alpha weighs positives, 1 - alpha negatives; gamma discounts what is already right. Source: Lin et al.,
    arXiv:1708.02002.
    """
    probability = logits.sigmoid()
    missed = probability + targets - 2 * probability * targets  # 1 - p on positives, p on negatives
    balance = (2 * alpha - 1) * targets + (1 - alpha)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * missed**gamma * balance


def iou_1d(offsets: Tensor, targets: Tensor, eps: float = 1e-8) -> Tensor:
    """Intersection over union of segments (..., 2) given as non-negative offsets from a common point."""
    shared = torch.minimum(offsets, targets).sum(-1)
    union = offsets.sum(-1) + targets.sum(-1) - shared
    return shared / union.clamp(min=eps)


def diou_1d(offsets: Tensor, targets: Tensor, eps: float = 1e-8) -> Tensor:
    """1 - IoU + (distance of centres / length of the smallest enclosing segment)², of offsets (..., 2).

    Source: Zheng et al., arXiv:1911.08287; on a line, from a common point, as in ActionFormer.
    """
    enclosing = torch.maximum(offsets, targets).sum(-1)
    difference = offsets - targets
    centres = 0.5 * (difference[..., 1] - difference[..., 0])
    return 1 - iou_1d(offsets, targets, eps) + (centres / enclosing.clamp(min=eps)) ** 2


def soft_cross_entropy(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """|q - p| · KL(p ‖ q) elementwise, with q = sigmoid(logits) and p = sigmoid(teacher_logits) as Bernoulli variables.

    The factor |q - p| is to soft labels what the focal term is to hard ones: thousands of points where both say
    "background" weigh nothing. Zero exactly where student and teacher agree. The teacher gets no gradient.
    """
    q, p = logits.sigmoid(), teacher_logits.detach().sigmoid()
    return (q - p).abs() * bernoulli_divergence(logits, teacher_logits)


def bernoulli_divergence(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL(p ‖ q) elementwise, q = sigmoid(logits) and p = sigmoid(teacher_logits); the teacher gets no gradient."""
    teacher_logits = teacher_logits.detach()
    p = teacher_logits.sigmoid()
    # KL = p·(log p - log q) + (1-p)·(log(1-p) - log(1-q)) with log σ(z) = z - softplus(z), log(1-σ(z)) = -softplus(z)
    return p * (teacher_logits - logits) + F.softplus(logits) - F.softplus(teacher_logits)


def masked_mse(values: Tensor, targets: Tensor, mask: Tensor, whole: Whole = as_counted) -> Tensor:
    """Mean squared difference over real steps and channels.

    values, targets: (B, D, T); mask: (B, T). Returns a scalar.
    """
    keep = mask[:, None].to(values.dtype)
    squares = ((values - targets) * keep) ** 2
    return squares.sum() / (whole(keep.sum()) * values.shape[1]).clamp(min=1)


def mean_of_samples(values: Tensor, whole: Whole = as_counted) -> Tensor:
    """The mean over samples (B,), those of the whole batch; 0 where it has none."""
    return values.sum() / whole(torch.tensor(len(values), device=values.device)).clamp(min=1)
