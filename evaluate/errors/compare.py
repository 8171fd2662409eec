"""Two runs side by side: which classes gain, which actions only one of them finds, how often they agree.

The static-bias question: RGB alone leans on what a class looks like. If motion knowledge helps, it helps the classes
that share their looks and differ in how they move. So classes are listed by what they gain from one run to the other.

Agreement is asked of the truth (which actions did both, one or none find, at one tIoU and above one score for each
run) and of the predictions (how many of one run's confident detections have a counterpart in the other).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import Annotations
from evaluate.files.detections import Detections
from evaluate.metrics.average_precision import Result
from evaluate.metrics.matching import Matches, match
from evaluate.metrics.scores import Score
from evaluate.metrics.segments import overlap_matrix


@dataclass(frozen=True)
class Gain:
    """One class under two runs; AP is the mean over thresholds, 0 to 1."""

    label: str
    num_truth: int
    before: float
    after: float

    @property
    def gain(self) -> float:
        """In average mAP, as a fraction."""
        return self.after - self.before


def class_gains(before: Result, after: Result) -> list[Gain]:
    """Classes by what they gain, the largest first; equal gains keep the order of the classes."""
    gains = [
        Gain(label, before.num_truth.get(label, 0), float(ap.mean()), float(after.per_class[label].mean()))
        for label, ap in before.per_class.items()
    ]
    return sorted(gains, key=lambda each: -each.gain)


@dataclass(frozen=True)
class Agreement:
    """Fractions of 1. The first four share out the truth and sum to 1."""

    both: float
    only_first: float
    only_second: float
    neither: float
    counterpart: float  # of the first run's confident detections, those that overlap one of the second's by tIoU
    same_class: float  # of these, those where a counterpart has the same class; nan without any
    jaccard: float  # found by both / found by either; nan when nothing was found


def agreement(
    annotations: Annotations, first: Detections, second: Detections, tiou: float, scores: tuple[float, float]
) -> Agreement:
    """Compare the detections of at least the given scores. Both runs are judged on the same annotations."""
    confident = [run.select(run.scores >= least) for run, least in zip((first, second), scores, strict=True)]
    found = [found_truth(match(annotations, run, np.array([tiou])))[:, 0] for run in confident]
    a, b = found
    either = float((a | b).mean()) if len(a) else 0.0
    counterpart, same_class = _counterparts(annotations, confident[0], confident[1], tiou)
    return Agreement(
        both=float((a & b).mean()) if len(a) else float("nan"),
        only_first=float((a & ~b).mean()) if len(a) else float("nan"),
        only_second=float((~a & b).mean()) if len(a) else float("nan"),
        neither=float((~a & ~b).mean()) if len(a) else float("nan"),
        counterpart=float(counterpart.mean()) if len(counterpart) else float("nan"),
        same_class=float(same_class[counterpart].mean()) if counterpart.any() else float("nan"),
        jaccard=float((a & b).mean()) / either if either else float("nan"),
    )


def confident_agreement(first: Score, second: Score, tiou: float = 0.5) -> tuple[Agreement, float]:
    """Agreement above each run's own best score, at the threshold nearest to `tiou` that both were judged at."""
    column = int(np.argmin(np.abs(first.result.tiou - tiou)))
    least = [
        best_score(run.matches, run.detections.scores[run.matches.detection], column)[0] for run in (first, second)
    ]
    at = float(first.result.tiou[column])
    return agreement(first.annotations, first.detections, second.detections, at, (least[0], least[1])), at


def found_truth(matches: Matches) -> NDArray[np.bool_]:
    """(N, n) whether each truth was hit at each threshold."""
    found = np.zeros((len(matches.truth.label) + 1, len(matches.tiou)), dtype=bool)
    for q in range(len(matches.tiou)):
        found[matches.taken[:, q], q] = True  # -1, nothing, lands in the row that is cut off
    return found[:-1]


def best_score(matches: Matches, scores: NDArray[np.float64], column: int = 0) -> tuple[float, float]:
    """The score above which detections give the best F1 of precision and recall over all classes, and that F1.

    scores: (P,) those of the matched detections. A threshold of inf means that there was nothing right to keep.
    """
    order = np.argsort(-scores, kind="stable")
    hit = np.cumsum(matches.hit[order, column])
    falls = np.append(np.diff(scores[order]) < 0, True)  # equal scores stand or fall together
    f1 = 2 * hit / (np.arange(1, len(hit) + 1) + len(matches.truth.label))
    if not len(hit) or not hit[-1]:
        return float("inf"), 0.0
    best = int(np.argmax(np.where(falls[: len(hit)], f1, -1.0)))
    return float(scores[order[best]]), float(f1[best])


def _counterparts(
    annotations: Annotations, first: Detections, second: Detections, tiou: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(K of first in these videos,) whether any, and whether one of the same class, of second's overlaps it."""
    videos = tuple(annotations.videos)
    home_a, home_b = first.rehome(videos), second.rehome(videos)
    label_a, label_b = first.relabel(annotations.classes), second.relabel(annotations.classes)
    some, same = [], []
    for v in range(len(videos)):
        a, b = np.flatnonzero(home_a == v), np.flatnonzero(home_b == v)
        near = overlap_matrix(first.segments[a], second.segments[b]) >= tiou  # (K_a, K_b)
        some.append(near.any(axis=1))
        same.append((near & (label_a[a, None] == label_b[None, b])).any(axis=1))
    empty = np.zeros(0, dtype=bool)
    return np.concatenate([empty, *some]), np.concatenate([empty, *same])
