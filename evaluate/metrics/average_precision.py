"""Average precision: how much of the truth is found before how much else.

    result = mean_average_precision(annotations, detections, tiou=(0.3, 0.4, 0.5, 0.6, 0.7))
    result.average_mAP

AP of a class at one tIoU is the area under precision over recall along the ranking by score; mAP the mean over
the classes that have truth; average mAP the mean over the thresholds. All are fractions of 1. A class that was never
detected counts 0, a class without truth does not count.

Everything is computed from weights of videos, so that a resample of the test set (`evaluate.metrics.significance`)
costs a sum along the ranking and no new matching; the plain result is the one where each video weighs 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluate.files.annotations import AnnotationError, Annotations
from evaluate.files.detections import Detections
from evaluate.metrics.matching import Matches, match
from evaluate.metrics.rules import RULES, Rule

ELEVEN = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Result:
    """AP per class and tIoU. `per_class` holds only classes that have truth."""

    tiou: NDArray[np.float64]  # (n,)
    mAP: NDArray[np.float64]  # (n,)
    average_mAP: float
    per_class: dict[str, NDArray[np.float64]]  # label -> (n,)
    num_truth: dict[str, int] = field(default_factory=dict)  # label -> labelled segments

    def to_json(self) -> dict[str, Any]:
        return {
            "tiou": self.tiou.tolist(),
            "mAP": self.mAP.tolist(),
            "average_mAP": self.average_mAP,
            "per_class": {label: ap.tolist() for label, ap in self.per_class.items()},
        }


def average_precision(
    hit: ArrayLike,
    num_truth: float | NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    area: str = "interpolated",
) -> NDArray[np.float64]:
    """AP of one class at one tIoU from its detections in rank order: hit (P,) bool, num_truth labelled segments.

    weights (R, P) and num_truth (R,) give R values at once. Whole weights are copies: exactly so for the interpolated
    area, while for "raw" and "eleven" the copies of a hit are counted at the precision that all of them reach.
    Returns (R,); R = 1 without weights. nan where num_truth is 0. `area` is the one of `evaluate.metrics.rules.Rule`.
    """
    hit = np.asarray(hit, dtype=bool)
    weights = np.ones((1, len(hit))) if weights is None else weights
    return _area(np.flatnonzero(hit), weights, np.cumsum(weights, axis=1), np.atleast_1d(num_truth), area)


def _area(
    at: NDArray[np.int64],
    weights: NDArray[np.float64],
    seen: NDArray[np.float64],
    num_truth: NDArray[np.float64],
    area: str,
) -> NDArray[np.float64]:
    """at: (H,) positions of the hits; weights, seen: (R, P) weight of each detection, and summed up to it."""
    gained = weights[:, at]  # (R, H)
    found = np.cumsum(gained, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(seen[:, at] > 0, found / seen[:, at], 0.0)
        if area == "interpolated":  # the best precision at this recall or a later one
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        if area in ("interpolated", "raw"):
            return (gained * precision).sum(axis=1) / num_truth
        recall = found / num_truth[:, None]
        best = [np.where(recall >= level, precision, 0.0).max(axis=1, initial=0.0) for level in ELEVEN]
        return np.where(num_truth > 0, np.mean(best, axis=0), np.nan)


def class_average_precision(
    matches: Matches, weights: NDArray[np.float64] | None = None, area: str = "interpolated"
) -> NDArray[np.float64]:
    """(R, classes, tIoU) AP for R weightings (R, videos) of the videos; nan for a class without truth."""
    weights = np.ones((1, len(matches.videos))) if weights is None else weights
    out = np.full((len(weights), len(matches.classes), len(matches.tiou)), np.nan)
    bounds = np.searchsorted(matches.label, np.arange(len(matches.classes) + 1))
    hit = matches.hit
    for label in np.unique(matches.truth.label):
        rows = slice(bounds[label], bounds[label + 1])
        num_truth = weights[:, matches.truth.video[matches.truth.label == label]].sum(axis=1)
        each = weights[:, matches.video[rows]]  # (R, P of this class)
        seen = np.cumsum(each, axis=1)
        for column in range(len(matches.tiou)):
            at = np.flatnonzero(hit[rows, column])
            ignored = matches.ignored[rows, column]
            so_far = np.cumsum(np.where(ignored, 0.0, each), axis=1) if ignored.any() else seen
            out[:, label, column] = _area(at, each, so_far, num_truth, area)
    return out


def mean_average_precision(
    annotations: Annotations,
    detections: Detections,
    tiou: Sequence[float] | NDArray[np.float64],
    rule: Rule = RULES["activitynet"],
    unknown_videos: str = "false",
) -> Result:
    """mAP of detections against annotations (of one subset) at each tIoU. See `evaluate.metrics.matching.match`."""
    return summarise(match(annotations, detections, np.asarray(tiou, np.float64), rule, unknown_videos), rule)


def summarise(matches: Matches, rule: Rule = RULES["activitynet"]) -> Result:
    """The result that matches amount to."""
    counts = np.bincount(matches.truth.label, minlength=len(matches.classes))
    if not counts.any():
        raise AnnotationError("these annotations hold no labelled segment: there is nothing to find")
    values = class_average_precision(matches, area=rule.area)[0]
    mean = values[counts > 0].mean(axis=0)
    per_class = {label: values[i] for i, label in enumerate(matches.classes) if counts[i]}
    num_truth = {label: int(counts[i]) for i, label in enumerate(matches.classes) if counts[i]}
    return Result(matches.tiou, mean, float(mean.mean()), per_class, num_truth)
