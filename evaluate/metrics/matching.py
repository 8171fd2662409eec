"""Who takes whom: which detections are hits, at every tIoU threshold, by an evaluator's rule.

The official evaluators go through the detections one by one: the best-scored takes the free truth it overlaps
most, then the next one chooses among what is left. All choosers are ranked alike by everybody, so this is the one
stable matching, and it can be found for all classes and videos at once: everyone proposes to its favourite, each
keeps its best-ranked proposer, the turned-down propose to their next, until nobody is left to ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotations import Annotations
from evaluate.files.detections import Detections
from evaluate.metrics.rules import RULES, Rule
from evaluate.metrics.segments import intersections

PAIRS_AT_ONCE = 4_000_000  # of detections with truth: bounds the memory to a few hundred MB
DUPLICATE_S = 1e-3  # ActionFormer and OpenTAD: closer than this at both ends is the same instance


@dataclass(frozen=True)
class Truth:
    """All N labelled segments of all videos in one table, in file order."""

    video: NDArray[np.int64]  # (N,) index into the annotations' videos
    label: NDArray[np.int64]  # (N,)
    segments: NDArray[np.float64]  # (N, 2) seconds


@dataclass(frozen=True)
class Matches:
    """P detections of the classes that have truth, ordered by class and, within one, by falling score."""

    classes: tuple[str, ...]
    videos: tuple[str, ...]  # the annotated ones, then those that only the detections know, unless ignored
    tiou: NDArray[np.float64]  # (n,)
    truth: Truth
    detection: NDArray[np.int64]  # (P,) row of the detections
    label: NDArray[np.int64]  # (P,) index into classes
    video: NDArray[np.int64]  # (P,) index into videos
    taken: NDArray[np.int64]  # (P, n) row of the truth that this detection hit, -1 for a miss
    ignored: NDArray[np.bool_]  # (P, n) neither right nor wrong: misses on Ambiguous, under the THUMOS rules

    @property
    def hit(self) -> NDArray[np.bool_]:
        """(P, n)"""
        return self.taken >= 0


def truth_table(annotations: Annotations, delete_duplicates: bool = False) -> Truth:
    """Flatten the annotations; on request without repeated instances and those below a millisecond."""
    video, label, segments = [], [], []
    for position, truth in enumerate(annotations.videos.values()):
        keep = _first_of_each(truth.segments, truth.labels) if delete_duplicates else np.arange(len(truth.labels))
        video.append(np.full(len(keep), position, dtype=np.int64))
        label.append(truth.labels[keep])
        segments.append(truth.segments[keep])
    empty = np.zeros(0, dtype=np.int64)
    return Truth(
        np.concatenate([empty, *video]), np.concatenate([empty, *label]), np.concatenate([np.zeros((0, 2)), *segments])
    )


def _first_of_each(segments: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    keep = segments[:, 1] - segments[:, 0] >= DUPLICATE_S
    order = np.lexsort((segments[:, 0], labels))
    start, end, label = segments[order, 0], segments[order, 1], labels[order]
    earlier: dict[int, list[int]] = {}  # row -> rows before it in the file that are the same instance
    for distance in range(1, len(order)):
        close = (start[distance:] - start[:-distance] <= DUPLICATE_S) & (label[distance:] == label[:-distance])
        if not close.any():
            break  # those farther apart in this order are farther apart in time
        near = np.flatnonzero(close & (np.abs(end[distance:] - end[:-distance]) <= DUPLICATE_S))
        for one, other in zip(order[near].tolist(), order[near + distance].tolist(), strict=True):
            earlier.setdefault(max(one, other), []).append(min(one, other))
    for row in sorted(earlier):  # rarely more than one, and each depends on the ones before it
        keep[row] &= not keep[earlier[row]].any()
    return np.flatnonzero(keep)


def match(
    annotations: Annotations,
    detections: Detections,
    tiou: NDArray[np.float64],
    rule: Rule = RULES["activitynet"],
    unknown_videos: str = "false",
) -> Matches:
    """Match detections with truth. unknown_videos: detections in videos without annotation are "false" or "ignore"d.

    Detections whose label has no truth in these annotations take no part, as in every official evaluator.
    Equal scores keep the order of the file (the THUMOS rules sort them by the name of the video first).
    """
    tiou = np.asarray(tiou, dtype=np.float64)
    truth = truth_table(annotations, rule.delete_duplicates)
    known = list(annotations.videos)
    strangers = [video for video in detections.videos if video not in annotations.videos]
    if unknown_videos == "ignore":
        strangers = []
    videos = tuple(known + strangers)
    label = detections.relabel(annotations.classes)
    video = detections.rehome(videos)
    takes_part = np.bincount(truth.label, minlength=len(annotations.classes)) > 0
    keep = (label >= 0) & np.append(takes_part, False)[label]
    keep &= video >= 0
    order = np.flatnonzero(keep)
    order = order[_ranking(detections, label, order, rule)]
    label, video = label[order], video[order]
    rank, row, overlap = _candidates(truth, detections.segments[order], label, video, len(videos), tiou.min(), rule)
    taken = np.full((len(order), len(tiou)), -1, dtype=np.int64)
    for column, threshold in enumerate(tiou):
        enough = overlap >= threshold if rule.inclusive else overlap > threshold
        if rule.chooser == "detection":
            won = first_come(rank[enough], row[enough], len(order), len(truth.label))
        else:
            won = first_come(row[enough], rank[enough], len(truth.label), len(order))
        taken[rank[enough][won], column] = row[enough][won]
    ignored = np.zeros_like(taken, dtype=bool)
    if rule.drops_ambiguous:
        ignored = (taken < 0) & _touches_ambiguous(annotations, videos, detections.segments[order], video)[:, None]
    return Matches(annotations.classes, videos, tiou, truth, order, label, video, taken, ignored)


def _ranking(
    detections: Detections, label: NDArray[np.int64], rows: NDArray[np.int64], rule: Rule
) -> NDArray[np.int64]:
    """Order by class, then falling score, ties as the rule has them. NaN, where let in, ranks first."""
    scores = detections.scores[rows]
    falling = np.where(np.isnan(scores), -np.inf, -scores)
    if rule.chooser == "truth":  # the toolkit goes through the videos by name and then sorts stably
        by_name = np.argsort(np.argsort(np.array(detections.videos or [""])))
        return np.lexsort((by_name[detections.video[rows]], falling, label[rows]))
    return np.lexsort((falling, label[rows]))


def _candidates(
    truth: Truth,
    segments: NDArray[np.float64],
    label: NDArray[np.int64],
    video: NDArray[np.int64],
    num_videos: int,
    least: float,
    rule: Rule,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All (detection, truth) pairs of one class and video with tIoU >= least, in the order in which they are tried."""
    group = truth.label * num_videos + truth.video
    by_group = np.argsort(group, kind="stable")
    group = group[by_group]
    wanted = label * num_videos + video
    first = np.searchsorted(group, wanted)
    count = np.searchsorted(group, wanted, side="right") - first
    ends = np.cumsum(count)
    pieces = []
    start = 0
    while start < len(count):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + PAIRS_AT_ONCE)), start + 1)
        rank = np.repeat(np.arange(start, stop), count[start:stop])
        offset = np.arange(len(rank)) - np.repeat(ends[start:stop] - count[start:stop] - before, count[start:stop])
        row = by_group[np.repeat(first[start:stop], count[start:stop]) + offset]
        overlap = rule.overlaps(segments[rank], truth.segments[row])
        near = overlap >= least
        pieces.append((rank[near], row[near], overlap[near]))
        start = stop
    if not pieces:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    rank, row, overlap = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if rule.chooser == "detection":  # equal overlaps: the official sort tries the last in the file first
        order = np.lexsort((-row, -overlap, rank))
    else:  # equal overlaps: the better-scored detection
        order = np.lexsort((rank, -overlap, row))
    return rank[order], row[order], overlap[order]


def first_come(
    chooser: NDArray[np.int64], chosen: NDArray[np.int64], num_choosers: int, num_chosen: int
) -> NDArray[np.int64]:
    """Positions of the pairs that come together when choosers, in rising order, each take their first free choice.

    chooser, chosen: (M,) pairs sorted by chooser, each one's choices from best to worst.
    """
    ends = np.searchsorted(chooser, np.arange(num_choosers), side="right")
    at = np.searchsorted(chooser, np.arange(num_choosers))
    holder = np.full(num_chosen + 1, num_choosers)
    asking = np.flatnonzero(at < ends)
    while len(asking):
        target = chosen[at[asking]]
        touched = np.sort(target)
        touched = touched[np.append(True, np.diff(touched) > 0)]  # np.unique of numpy 2.4 takes ten times as long
        before = holder[touched]
        np.minimum.at(holder, target, asking)
        displaced = before[(before < num_choosers) & (holder[touched] != before)]
        refused = np.concatenate([asking[holder[target] != asking], displaced])
        at[refused] += 1
        asking = refused[at[refused] < ends[refused]]
    holders = np.flatnonzero(holder[:num_chosen] < num_choosers)
    return np.sort(at[holder[holders]])


def _touches_ambiguous(
    annotations: Annotations, videos: Sequence[str], segments: NDArray[np.float64], video: NDArray[np.int64]
) -> NDArray[np.bool_]:
    touches = np.zeros(len(segments), dtype=bool)
    segments = np.sort(segments, axis=1)
    index = {name: position for position, name in enumerate(videos)}
    for name, unclear in annotations.ambiguous.items():
        rows = np.flatnonzero(video == index.get(name, -1))
        touches[rows] = (intersections(segments[rows, None], unclear[None]) > 0).any(1)
    return touches
