"""Precision over recall: the curves whose area is AP, of one class and of the mean class."""

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.matching import Matches

RECALL = np.linspace(0, 1, 101)


def class_curves(matches: Matches, column: int) -> dict[str, NDArray[np.float64]]:
    """Class with truth -> (101,) interpolated precision at RECALL 0, 0.01 ... 1, at the column-th threshold.

    Interpolated: the best precision at this recall or a higher one, 0 where the recall is never reached. Detections
    that a rule ignores count neither way.
    """
    counts = np.bincount(matches.truth.label, minlength=len(matches.classes))
    curves = {}
    for c in np.flatnonzero(counts):
        rows = (matches.label == c) & ~matches.ignored[:, column]
        hit = matches.taken[rows, column] >= 0
        found = np.cumsum(hit)
        precision = found / np.arange(1, len(hit) + 1)
        envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        first = np.searchsorted(found, np.ceil(RECALL * counts[c] - 1e-9))  # where this many truths are found
        curves[matches.classes[c]] = envelope[first]
    return curves


def mean_curve(curves: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(101,) mean over classes; its area is close to the mAP."""
    return np.mean(list(curves.values()), axis=0)
