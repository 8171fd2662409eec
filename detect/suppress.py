"""Suppression: of many candidates that mean the same action, keep the best.

Every class is suppressed on its own, and all classes in lockstep: one round takes the best remaining candidate of each
class and lowers the scores of those that overlap it, in a few operations on one array of all candidates. Rounds end as
soon as nothing left could still be among the best `max_per_video`: scores never rise, so a candidate below the last of
the best so far is out, and so is all that it could have suppressed.

Numbers are float32 and lengths carry 1e-6, as in the compiled operators of ActionFormer and mmcv, whose results these
are: same candidates, same order, scores to 1e-6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = ("gaussian", "linear", "hard", "none")
FloatArray = NDArray[np.floating]
IntArray = NDArray[np.signedinteger]


@dataclass(frozen=True)
class Suppression:
    """How candidates of one class that repeat one another are thinned out; defaults of ActionFormer for THUMOS'14."""

    kind: str = "gaussian"
    sigma: float = 0.5  # gaussian: scores decay by exp(-IoU² / sigma)
    iou: float = 0.5  # linear, hard: overlap from which a candidate is decayed by 1 - IoU, or dropped.
    # none: from which it is dropped as a repetition of another window's
    min_score: float = 0.001  # dropped below
    max_per_video: int = 200
    voting: float | None = (
        None  # overlap from which suppressed candidates still have a say in a segment; None: none has
    )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Suppression: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.sigma <= 0 or self.max_per_video < 1 or self.min_score < 0:
            raise ValueError("Suppression: sigma and max_per_video must be positive, min_score at least 0")


class Kept(NamedTuple):
    """What remains of the candidates, best first."""

    segments: FloatArray  # (k, 2)
    scores: FloatArray  # (k,) float32, as lowered by better neighbours
    labels: IntArray  # (k,)
    rows: IntArray  # (k,) which of the candidates they are


def suppress(segments: FloatArray, scores: FloatArray, labels: IntArray, settings: Suppression) -> Kept:
    """Keeps the best of candidates: segments (n, 2) in any unit, scores (n,), labels (n,). Of equals, the first."""
    if settings.kind == "none":
        rows = np.flatnonzero(np.asarray(scores) >= settings.min_score)
        kept = np.asarray(scores, np.float32)[rows]
    else:
        rows, kept = _lockstep(segments, scores, labels, settings)
    best = np.lexsort((rows, labels[rows], -kept))[: settings.max_per_video]
    rows, kept = rows[best], kept[best]
    voted = segments[rows] if settings.voting is None else _vote(rows, segments, scores, labels, settings.voting)
    return Kept(voted, kept, labels[rows], rows)


def _lockstep(
    segments: FloatArray, scores: FloatArray, labels: IntArray, settings: Suppression
) -> tuple[IntArray, FloatArray]:
    """Rows and lowered scores of the candidates taken, in any order; the best `max_per_video` of all are among them."""
    floor = max(np.float32(settings.min_score), np.finfo(np.float32).tiny)  # at score 0 a candidate is out for good
    rows = np.flatnonzero(np.asarray(scores, np.float32) >= floor)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    start, end = np.asarray(segments[rows].T, np.float32)
    table = np.stack([start, end, end - start + np.float32(1e-6), np.asarray(scores, np.float32)[rows]])
    weigh = _weigher(settings)
    taken_rows, taken_scores = [rows[:0]], [table[3, :0]]
    while len(rows):
        label = labels[rows]
        first = np.flatnonzero(np.concatenate([[True], label[1:] != label[:-1]]))  # first row of each class
        sizes = np.diff(np.append(first, len(rows)))
        for _ in range(8):  # then drop those that are out: often enough to matter, seldom enough not to cost
            winners, best = _take(table, first, sizes, weigh)
            alive = best >= floor
            taken_rows.append(rows[winners[alive]])
            taken_scores.append(best[alive])
            if not alive.all():
                break
        scores_so_far = np.concatenate(taken_scores)
        if len(scores_so_far) >= settings.max_per_video:
            floor = max(floor, np.partition(scores_so_far, -settings.max_per_video)[-settings.max_per_video])
        alive = table[3] >= floor
        rows, table = rows[alive], table[:, alive]
    return np.concatenate(taken_rows), np.concatenate(taken_scores)


def _take(
    table: FloatArray, first: IntArray, sizes: IntArray, weigh: Callable[[FloatArray], FloatArray]
) -> tuple[IntArray, FloatArray]:
    """One round: the columns of the best candidate of each class and their scores; lowers the scores of the others.

    table: (4, n) start, end, length, score, class after class; class c begins at first[c] and has sizes[c] columns.
    """
    start, end, length, score = table
    if len(first) == 1:  # as below, in half the time
        winners = score.argmax(keepdims=True)
        best = score[winners]
        w_start, w_end, w_length = table[:3, winners]
    else:
        best = np.maximum.reduceat(score, first)
        winners = np.flatnonzero(score == np.repeat(best, sizes))
        if len(winners) > len(first):  # equal scores: the first of each class
            winners = winners[np.unique(np.searchsorted(first, winners, side="right"), return_index=True)[1]]
        w_start, w_end, w_length = np.repeat(table[:3, winners], sizes, axis=1)
    shared = np.minimum(w_end, end)
    shared -= np.maximum(w_start, start)
    np.maximum(shared, 0, out=shared)
    score *= weigh(shared / (w_length + length - shared))
    score[winners] = -1
    return winners, best


def _weigher(settings: Suppression) -> Callable[[FloatArray], FloatArray]:
    """What a candidate's score is multiplied by, from its IoU with a better one."""
    if settings.kind == "gaussian":
        return lambda iou: np.exp(iou * iou * np.float32(-1 / settings.sigma))
    if settings.kind == "linear":
        return lambda iou: np.where(iou >= np.float32(settings.iou), 1 - iou, np.float32(1))
    return lambda iou: (iou < np.float32(settings.iou)).astype(np.float32)


def _vote(rows: IntArray, segments: FloatArray, scores: FloatArray, labels: IntArray, threshold: float) -> FloatArray:
    """Moves kept segments to the mean of the candidates of their class that overlap them, weighed by score · IoU.

    ActionFormer votes only when it suppresses regardless of class: give all one label for that.
    """
    chosen = segments[rows][:, None].astype(np.float64)  # (k, 1, 2)
    every = segments[None].astype(np.float64)  # (1, n, 2)
    shared = np.minimum(chosen[..., 1], every[..., 1]) - np.maximum(chosen[..., 0], every[..., 0])
    shared = np.maximum(shared, 0)
    iou = shared / (chosen[..., 1] - chosen[..., 0] + every[..., 1] - every[..., 0] - shared)
    weight = iou * scores * (iou >= threshold) * (labels[rows][:, None] == labels)
    return (weight @ segments / weight.sum(1, keepdims=True)).astype(segments.dtype)
