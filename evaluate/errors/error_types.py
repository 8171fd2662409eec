"""What kind of mistake each prediction is, and what removing one kind would gain.

After the false positive analysis of DETAD (Alwassel et al., ECCV 2018). A prediction that hit nothing is judged by the
truth that it overlaps most in its video, whatever the class, with overlap o, at the threshold t:

    background        o < 0.1
    localisation      0.1 <= o < t and the class is right      confusion    the same, and the class is wrong
    double detection  o >= t and the class is right            wrong label  the same, and the class is wrong

Judged are the best-scored 10 G predictions of each class with G truths. The gain of a kind is how much average mAP_N
(`evaluate.metrics.normalised`) rises when its predictions are taken away.

Ours: among truths that are overlapped equally, one of the prediction's own class comes first; DETAD takes the first in
the file, so that on THUMOS'14, where each CliffDiving is also a Diving, its numbers depend on the order of the file.
DETAD compares predictions in videos without annotation with the truth of another video; here they are background.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import Annotations
from evaluate.files.detections import Detections
from evaluate.metrics.matching import Matches, match
from evaluate.metrics.normalised import normalised_ap, truths_per_class
from evaluate.metrics.segments import overlap_matrix

KINDS = ("true positive", "double detection", "wrong label", "localisation", "confusion", "background")
RIGHT, DOUBLE, WRONG_LABEL, LOCALISATION, CONFUSION, BACKGROUND = range(6)
GROUPS = 10  # G, 2G ... 10G, as in the paper
TOUCHING = 0.1  # overlap below which a prediction is background, as in the paper


@dataclass(frozen=True)
class ErrorProfile:
    """Shares of each kind among the judged predictions, and what removing it would gain; means over thresholds."""

    average_mAP_N: float
    ap_n: dict[str, float]  # class -> AP_N
    share: dict[str, float]  # kind -> fraction of the judged predictions; they sum to 1
    by_group: list[dict[str, float]]  # the same of ranks 0 to G, G to 2G ... of each class; nan where none are left
    gain: dict[str, float]  # kind -> rise of average_mAP_N
    num_judged: int


def error_profile(annotations: Annotations, detections: Detections, tiou: NDArray[np.float64]) -> ErrorProfile:
    """Judge the best predictions of one run on one subset."""
    best = best_of_each_class(annotations, detections, GROUPS)
    matches = match(annotations, best, tiou)
    kinds = error_kinds(matches, best.segments[matches.detection])
    ap = normalised_ap(matches)
    counts = truths_per_class(matches)
    rank = np.arange(len(matches.label)) - np.searchsorted(matches.label, matches.label)
    group = rank // np.maximum(counts, 1)[matches.label]
    return ErrorProfile(
        average_mAP_N=float(ap.mean()),
        ap_n=dict(zip(np.array(matches.classes)[counts > 0].tolist(), ap.mean(axis=1).tolist(), strict=True)),
        share=_shares(kinds),
        by_group=[_shares(kinds[group == g]) for g in range(GROUPS)],
        gain={
            kind: float(normalised_ap(matches, keep=kinds != i).mean() - ap.mean())
            for i, kind in enumerate(KINDS)
            if i != RIGHT
        },
        num_judged=len(matches.label),
    )


def best_of_each_class(annotations: Annotations, detections: Detections, factor: int) -> Detections:
    """The best-scored `factor` x (number of truths) detections of each class; equal scores: first in the file."""
    counts = np.zeros(len(annotations.classes) + 1, dtype=np.int64)
    for truth in annotations.videos.values():
        counts[:-1] += np.bincount(truth.labels, minlength=len(annotations.classes))
    label = detections.relabel(annotations.classes)
    order = np.lexsort((-detections.scores, label))
    rank = np.arange(len(order)) - np.searchsorted(label[order], label[order])
    return detections.select(np.sort(order[rank < factor * counts[label[order]]]))


def error_kinds(matches: Matches, segments: NDArray[np.float64]) -> NDArray[np.int64]:
    """(P, n) index into KINDS of each prediction at each threshold; segments (P, 2) are the predictions' own."""
    overlap, right_class = nearest_truth(matches, segments)
    reaches = overlap[:, None] >= matches.tiou  # (P, n)
    kinds = np.where(
        reaches,
        np.where(right_class, DOUBLE, WRONG_LABEL)[:, None],
        np.where(right_class, LOCALISATION, CONFUSION)[:, None],
    )
    kinds[~reaches & (overlap < TOUCHING)[:, None]] = BACKGROUND
    kinds[matches.hit] = RIGHT
    return kinds


def nearest_truth(matches: Matches, segments: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(P,) largest overlap with any truth of the video, and whether a truth of the right class has it."""
    truth, num_videos = matches.truth, len(matches.videos)
    overlap, right_class = np.zeros(len(segments)), np.zeros(len(segments), dtype=bool)
    by_video = np.argsort(matches.video, kind="stable")
    mine = np.searchsorted(matches.video[by_video], np.arange(num_videos + 1))
    theirs = np.searchsorted(truth.video, np.arange(num_videos + 1))
    for v in range(num_videos):
        rows, others = by_video[mine[v] : mine[v + 1]], slice(theirs[v], theirs[v + 1])
        if not len(rows) or others.start == others.stop:
            continue
        tiou = overlap_matrix(segments[rows], truth.segments[others])  # (P_v, N_v)
        same_class = matches.label[rows, None] == truth.label[None, others]
        overlap[rows] = tiou.max(axis=1)
        right_class[rows] = np.where(same_class, tiou, -1.0).max(axis=1) == overlap[rows]
    return overlap, right_class


def _shares(kinds: NDArray[np.int64]) -> dict[str, float]:
    """Fraction of each kind, mean over thresholds."""
    if not kinds.size:
        return dict.fromkeys(KINDS, float("nan"))
    return {kind: float((kinds == i).mean()) for i, kind in enumerate(KINDS)}
