"""Normalised AP: precision as if every class had the mean number of truths, so that rare and frequent ones compare.

    precision_N = recall x M / (recall x M + false positives),   M = truths / classes

Plain precision depends on how many truths there are to find: the same detector looks worse on a smaller subset of the
truth. With M fixed, mAP on the short actions alone and mAP on all of them share one scale.

Source: Hoiem et al., ECCV 2012, taken up by DETAD (Alwassel et al., ECCV 2018). Hits are (P,) bool in order of falling
score; matches are those of `evaluate.metrics.matching`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.average_precision import average_precision
from evaluate.metrics.matching import Matches


def truths_per_class(matches: Matches) -> NDArray[np.int64]:
    """(C,) number of truths of each class; 0 for those that do not occur in this subset."""
    return np.bincount(matches.truth.label, minlength=len(matches.classes))


def mean_truths(matches: Matches) -> float:
    """M: mean number of truths over the classes that have any."""
    counts = truths_per_class(matches)
    return float(counts.sum() / np.count_nonzero(counts))


def precision_and_recall(
    hit: NDArray[np.bool_], num_truth: int, as_if: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P,) precision and recall after each prediction, precision as if the class had `as_if` truths."""
    recall = np.cumsum(hit) / num_truth
    expected = recall * as_if
    return expected / (expected + np.cumsum(~hit)), recall


def normalised_average_precision(hit: NDArray[np.bool_], num_truth: int, as_if: float) -> float:
    """Area under the interpolated normalised curve of one class, 0 to 1."""
    if as_if == num_truth:
        return float(average_precision(hit, num_truth)[0])
    precision, recall = precision_and_recall(hit, num_truth, as_if)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))


def class_rows(matches: Matches, c: int) -> slice:
    """Where the predictions of class c stand in the matches."""
    start, stop = np.searchsorted(matches.label, [c, c + 1])
    return slice(int(start), int(stop))


def normalised_ap(matches: Matches, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """(C', n) AP_N of the C' classes with truth at each tIoU. keep: (P, n), predictions that count; all without it."""
    as_if, rows = mean_truths(matches), []
    for c, num_truth in enumerate(truths_per_class(matches)):
        if not num_truth:
            continue
        place = class_rows(matches, c)
        hit = matches.taken[place] >= 0  # (P of this class, n)
        kept = np.ones_like(hit) if keep is None else keep[place]
        rows.append(
            [normalised_average_precision(hit[kept[:, q], q], num_truth, as_if) for q in range(len(matches.tiou))]
        )
    return np.array(rows)


def without_late_hits(matches: Matches, precision: float) -> Matches:
    """The same matches, hits undone where normalised precision had fallen to `precision` or less by then."""
    taken, as_if = matches.taken.copy(), mean_truths(matches)
    for c, num_truth in enumerate(truths_per_class(matches)):
        place = class_rows(matches, c)
        for q in range(len(matches.tiou)):
            if num_truth and place.stop > place.start:
                reached, _ = precision_and_recall(matches.taken[place, q] >= 0, num_truth, as_if)
                taken[place, q][reached <= precision] = -1
    return replace(matches, taken=taken)
