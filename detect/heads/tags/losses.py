"""The terms of TAGS' loss, as pure functions. Logits instead of probabilities where the logarithm wants them.

Shapes: B samples, T steps, C classes and background. `valid` (B, T) says which steps are real; others count for
nothing; `whole` makes counts those of the whole batch.
Source: Nag et al., ECCV 2022, arXiv:2207.06580, as its code has it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.losses import Whole, as_counted, mean_of_samples

EPSILON = 1e-6  # beside probabilities in logarithms, as published
FEWEST = 10  # positives, added to their number so that there are some


def step_focal(logits: Tensor, likely: Tensor, valid: Tensor, gamma: float = 2.0, whole: Whole = as_counted) -> Tensor:
    """(1 - e^-KL)^gamma · KL of the classes that a step should have and has, the mean over steps.

    logits, likely: (B, T, C + 1). With one class KL is the cross-entropy. The published code takes the mean of the
    cross-entropy first, and the focal factor of that: easy steps then count as much as hard ones.
    """
    said = logits.log_softmax(2)
    divergence = (torch.special.xlogy(likely, likely) - likely * said).sum(2).clamp(min=0)  # (B, T)
    focal = (1 - torch.exp(-divergence)) ** gamma * divergence
    return (focal * valid).sum() / whole(valid.sum()).clamp(min=1)


def label_ranking(
    logits: Tensor, classes: Tensor, valid: Tensor, hard: int, alpha: float = 10.0, whole: Whole = as_counted
) -> Tensor:
    """Each class on its own: -Σ log σ over true ones / (10 + how many) + alpha · mean of -log(1 - σ) over the `hard`
    most likely false ones of a step.

    logits, classes (multi-hot): (B, T, C + 1).
    """
    true = classes * valid[:, :, None]
    found = -(true * (logits.sigmoid() + EPSILON).log()).sum() / (FEWEST + whole(true.sum()))
    false = -(1 - classes) * (1 - logits.sigmoid() + EPSILON).log() * valid[:, :, None]
    hardest = false.topk(hard, dim=2).values.sum() / (whole(valid.sum()) * hard).clamp(min=1)
    return found + alpha * hardest


def balanced_cross_entropy(logits: Tensor, targets: Tensor, cells: Tensor, whole: Whole = as_counted) -> Tensor:
    """Binary cross-entropy in which true and false cells weigh the same, whatever their numbers.

    With P = 10 + true, E = 10 + P + false, r = E / P: -Σ[½·r · log p on true + ½·r/(r - 1) · log(1 - p) on false] / E.
    All (B, T, T); `cells` says which count.
    """
    true, false = targets * cells, (1 - targets) * cells
    positives = FEWEST + whole(true.sum())
    entries = FEWEST + positives + whole(false.sum())
    ratio = entries / positives
    terms = 0.5 * ratio * F.softplus(-logits) * true + 0.5 * ratio / (ratio - 1) * F.softplus(logits) * false
    return terms.sum() / entries


def squared_dice(probabilities: Tensor, targets: Tensor, whole: Whole = as_counted) -> Tensor:
    """1 - (Σ p·g + 1) / (Σ p² + Σ g² + 1), both (B, ...) and zero where nothing counts; mean over samples.

    Half of what Dice's coefficient counts as shared: at best it is a half, whose gradient is what matters.
    """
    p, g = probabilities.flatten(1), targets.flatten(1)
    return mean_of_samples(1 - ((p * g).sum(1) + 1) / ((p * p).sum(1) + (g * g).sum(1) + 1), whole)


def foreground_error(
    probabilities: Tensor, targets: Tensor, foreground: Tensor, valid: Tensor, whole: Whole = as_counted
) -> Tensor:
    """Mean squared error of the masks of a sample's foreground steps over its real steps; mean over samples.

    probabilities, targets: (B, T, T). 0 for a sample without foreground, where the published code gives NaN.
    """
    keep = (foreground[:, :, None] & valid[:, None]).to(probabilities.dtype)  # (B, T, T)
    squares = ((probabilities - targets) ** 2 * keep).sum((1, 2))
    return mean_of_samples(squares / keep.sum((1, 2)).clamp(min=1), whole)
