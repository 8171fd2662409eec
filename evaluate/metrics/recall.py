"""Average recall: how much of the truth a number of proposals finds, whatever they are called.

    recall = average_recall(annotations, detections, proposals=(10, 50, 100))

Labels are not looked at, and one proposal may find several truths: this judges localisation alone (AR@AN). Two
budgets are in use and differ wherever videos have different numbers of proposals: the N best of every video
(THUMOS papers; `average_recall`), and the same share of each video's proposals, N on average (ActivityNet's
toolkit; `activitynet_recall`, whose area under the curve is the "AUC" of its papers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import AnnotationError, Annotations
from evaluate.files.detections import Detections
from evaluate.metrics.segments import overlap_matrix

TIOU = np.linspace(0.5, 0.95, 10)  # ActivityNet's proposal task; THUMOS papers use 0.5 to 1.0 in steps of 0.05
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Recall:
    """Recall at each number of proposals and tIoU."""

    proposals: NDArray[np.float64]  # (m,) for one video, or on average for one
    tiou: NDArray[np.float64]  # (n,)
    recall: NDArray[np.float64]  # (m, n)

    @property
    def average(self) -> NDArray[np.float64]:
        """(m,) AR: the mean over tIoU."""
        return self.recall.mean(axis=1)

    @property
    def area(self) -> float:
        """Area under AR over the number of proposals, as a share of the largest possible."""
        steps = np.diff(self.proposals)
        middle = (self.average[1:] + self.average[:-1]) / 2
        return float((steps * middle).sum() / max(self.proposals[-1], 1e-9))

    def to_json(self) -> dict[str, Any]:
        return {
            "proposals": self.proposals.tolist(),
            "tiou": self.tiou.tolist(),
            "average_recall": self.average.tolist(),
        }

    def __str__(self) -> str:
        row = "  ".join(
            f"AR@{count:g} {100 * value:.2f}" for count, value in zip(self.proposals, self.average, strict=True)
        )
        return f"{row}  (in %, tIoU {self.tiou[0]:g} to {self.tiou[-1]:g})"


def average_recall(
    annotations: Annotations,
    detections: Detections,
    proposals: Sequence[int] = (1, 5, 10, 50, 100),
    tiou: NDArray[np.float64] = TIOU,
) -> Recall:
    """AR with the N best-scored detections of each video."""
    ranks = np.concatenate([found for found, _ in _first_finds(annotations, detections, tiou)])
    found = np.stack([(ranks < count).mean(axis=0) for count in proposals])
    return Recall(np.asarray(proposals, np.float64), np.asarray(tiou, np.float64), found)


def activitynet_recall(
    annotations: Annotations, detections: Detections, most: float = 100.0, tiou: NDArray[np.float64] = TIOU
) -> Recall:
    """AR with the same share of each video's detections, from 1 % of `most` to `most` on average."""
    finds = _first_finds(annotations, detections, tiou)
    available = np.array([count for _, count in finds])
    budget_of_all = most * len(finds)
    kept = np.minimum((available * (budget_of_all / max(available.sum(), 1))).astype(np.int64), available)
    shares = np.arange(1, 101) / 100.0 * (budget_of_all / max(kept.sum(), 1))
    hits = np.zeros((100, len(tiou)))
    for (ranks, _), count in zip(finds, kept, strict=True):
        budget = np.minimum((count * shares).astype(np.int64), count)
        hits += (ranks[None] < budget[:, None, None]).sum(axis=1)
    recall = hits / sum(len(ranks) for ranks, _ in finds)
    return Recall(shares * kept.sum() / len(finds), np.asarray(tiou, np.float64), recall)


def _first_finds(
    annotations: Annotations, detections: Detections, tiou: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], int]]:
    """For each video with truth: (N, n) rank of the first detection that finds each truth at each tIoU, and how many
    detections there are. Equal scores keep the order of the file."""
    home = detections.rehome(tuple(annotations.videos))
    order = np.lexsort((-detections.scores, home))
    bounds = np.searchsorted(home[order], np.arange(len(annotations.videos) + 1))
    out = []
    for position, truth in enumerate(annotations.videos.values()):
        if not len(truth.segments):
            continue
        rows = order[bounds[position] : bounds[position + 1]]
        ranks = np.full((len(truth.segments), len(tiou)), NEVER)
        if len(rows):
            overlap = overlap_matrix(truth.segments, detections.segments[rows])
            for column, threshold in enumerate(tiou):
                enough = overlap >= threshold
                ranks[:, column] = np.where(enough.any(axis=1), enough.argmax(axis=1), NEVER)
        out.append((ranks, len(rows)))
    if not out:
        raise AnnotationError(f"{annotations.source}: no labelled segment: there is nothing to find")
    return out
