"""How time segments lie to each other: lengths and overlaps on plain arrays.

A segment is a row (start, end) of a float array, half-open, in any unit as long as both sides use the same one.
Overlap here always means temporal intersection over union (tIoU): shared length / covered length, in [0, 1].
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lengths(segments: Array) -> Array:
    """(..., 2) -> (...): end - start; negative for a reversed segment."""
    return segments[..., 1] - segments[..., 0]


def intersections(first: Array, second: Array) -> Array:
    """Shared length of segments that broadcast against each other; 0 where they do not touch."""
    end = np.minimum(first[..., 1], second[..., 1])
    start = np.maximum(first[..., 0], second[..., 0])
    return np.maximum(end - start, 0)


def overlaps(first: Array, second: Array, undefined: float = 0.0) -> Array:
    """tIoU of segments (..., 2) that broadcast against each other.

    `undefined` stands in for 0/0: two empty segments, or a segment and its own reversal.
    The order of the operations is that of the official evaluators: overlaps that fall on a threshold fall on the
    same side of it.
    """
    shared = intersections(first, second)
    covered = lengths(first) + lengths(second) - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = shared / covered
    return np.where(np.isnan(ratio), undefined, ratio)


def hull_overlaps(first: Array, second: Array) -> Array:
    """The same by the THUMOS toolkits: shared length / (last end - first start), reversed segments turned round.

    Equal to `overlaps` up to rounding wherever two segments meet, which is what decides on the threshold.
    """
    first, second = np.sort(first, axis=-1), np.sort(second, axis=-1)
    shared = intersections(first, second)
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    return np.divide(shared, hull, out=np.zeros_like(hull), where=shared > 0)


def overlap_matrix(first: Array, second: Array, undefined: float = 0.0) -> Array:
    """tIoU of every one of N segments (N, 2) with every one of K (K, 2): (N, K)."""
    return overlaps(first[:, None, :], second[None, :, :], undefined)


def coverage(segments: Array) -> float:
    """Length of the union of (N, 2) segments: time covered by at least one of them."""
    rows = segments[lengths(segments) > 0]
    if not len(rows):
        return 0.0
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    reached = np.maximum.accumulate(rows[:, 1])
    before = np.concatenate([[-np.inf], reached[:-1]])
    return float(np.maximum(reached - np.maximum(rows[:, 0], before), 0).sum())
