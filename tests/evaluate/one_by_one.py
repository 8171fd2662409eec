"""Average precision the way the official evaluators compute it: one detection after the other, in plain loops.

The reference that the vectorised code is compared with, and the straightforward implementation it is timed against.
Written from the description of the measure; that it agrees with the official code is itself tested, on frozen numbers.
"""

from collections.abc import Callable

import numpy as np

from evaluate.files.annotations import Annotations
from evaluate.files.detections import Detections

Falling = Callable[[np.ndarray], np.ndarray]


def first_in_file_first(values: np.ndarray) -> np.ndarray:
    """Positions from the largest value to the smallest; equal ones in the order of the file."""
    return np.argsort(-values, kind="stable")


def last_in_file_first(values: np.ndarray) -> np.ndarray:
    """The same with equal ones in reversed order: what a stable sort gives when it is read backwards."""
    return np.argsort(values, kind="stable")[::-1]


def as_numpy_sorted_before_1_25(values: np.ndarray) -> np.ndarray:
    """`values.argsort()[::-1]` of the numpy that the frozen numbers were made with, where ties fall as they fall.

    A quicksort with the median of three as pivot that goes on with the smaller part, and an insertion sort for
    parts of up to 16 values: the order of equal values follows from that alone.
    """
    order = list(range(len(values)))
    key = values.tolist()
    waiting: list[tuple[int, int]] = []
    low, high = 0, len(order) - 1
    while True:
        while high - low > 15:
            middle = low + (high - low) // 2
            for a, b in ((middle, low), (high, middle), (middle, low)):
                if key[order[a]] < key[order[b]]:
                    order[a], order[b] = order[b], order[a]
            pivot = key[order[middle]]
            left, right = low, high - 1
            order[middle], order[right] = order[right], order[middle]
            while True:
                left += 1
                while key[order[left]] < pivot:
                    left += 1
                right -= 1
                while pivot < key[order[right]]:
                    right -= 1
                if left >= right:
                    break
                order[left], order[right] = order[right], order[left]
            order[left], order[high - 1] = order[high - 1], order[left]
            if left - low < high - left:
                waiting.append((left + 1, high))
                high = left - 1
            else:
                waiting.append((low, left - 1))
                low = left + 1
        for end in range(low + 1, high + 1):
            moved, place = order[end], end
            while place > low and key[moved] < key[order[place - 1]]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = moved
        if not waiting:
            return np.array(order[::-1], dtype=int)
        low, high = waiting.pop()


def overlap(detection: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """tIoU; nan for 0/0, which the official code never finds to be below a threshold."""
    shared = np.maximum(np.minimum(detection[1], truths[:, 1]) - np.maximum(detection[0], truths[:, 0]), 0)
    covered = (detection[1] - detection[0]) + (truths[:, 1] - truths[:, 0]) - shared
    with np.errstate(invalid="ignore"):
        return shared / covered


def one_by_one(
    annotations: Annotations,
    detections: Detections,
    tiou: np.ndarray,
    by_score: Falling = first_in_file_first,
    by_overlap: Falling = last_in_file_first,
) -> dict[str, np.ndarray]:
    """Label -> AP at each tIoU, by ActivityNet's rule."""
    label_of = np.array([*detections.labels, ""])[detections.label]
    truths: dict[int, dict[str, np.ndarray]] = {}
    for video, truth in annotations.videos.items():
        for number in set(truth.labels.tolist()):
            truths.setdefault(number, {})[video] = truth.segments[truth.labels == number]
    out = {}
    for number in sorted(truths):
        name = annotations.classes[number]
        rows = np.flatnonzero(label_of == name)
        rows = rows[by_score(detections.scores[rows])]
        ranked = [(detections.videos[detections.video[row]], detections.segments[row]) for row in rows]
        out[name] = np.array([_class_at(truths[number], ranked, threshold, by_overlap) for threshold in tiou])
    return out


def _class_at(
    truths: dict[str, np.ndarray], ranked: list[tuple[str, np.ndarray]], threshold: float, by_overlap: Falling
) -> float:
    taken = {video: np.zeros(len(rows), dtype=bool) for video, rows in truths.items()}
    hits = []
    for video, segment in ranked:
        hit = False
        if video in truths:
            overlaps = overlap(segment, truths[video])
            for choice in by_overlap(np.where(np.isnan(overlaps), np.inf, overlaps)):
                if overlaps[choice] < threshold:
                    break
                if not taken[video][choice]:
                    taken[video][choice] = hit = True
                    break
        hits.append(hit)
    return area(hits, sum(map(len, truths.values())))


def area(hits: list[bool], num_truth: int) -> float:
    """Area under the precision that is reached at each recall or a higher one."""
    best, total, precisions = 0.0, 0.0, []
    found = 0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        precisions.append((hit, found / rank))
    for hit, precision in reversed(precisions):
        best = max(best, precision)
        total += best * hit
    return total / num_truth
