"""What happened and what was detected along one video, laid out in rows and lanes; drawn by `timeline` and `charts`.

    strips = strips_of({"rgb": score_a, "decomposed": score_b}, videos=["v1", "v2"])

Shown are a run's detections above the score at which its F1 over the subset is best (at the tIoU nearest to 0.5), so
that runs with differently scaled scores are cut at the point where each of them is at its best.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluate.errors.compare import best_score
from evaluate.errors.error_types import KINDS, error_kinds
from evaluate.files.annotations import AnnotationError, Annotations
from evaluate.metrics.scores import Score

MAX_LANES = 4  # beyond this, bars of one row overlap in the last lane
READABLE = 25  # actions in a video that can still be told apart on a page
TRUTH = "truth"

# Okabe and Ito's palette without yellow and black, then dark tones of Paul Tol's "muted": told apart by colour-blind
# readers and in grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#882255", "#999933", "#332288")
OTHER = "#8A8A8A"  # of the classes for which no colour is left


@dataclass(frozen=True)
class Bar:
    """One action or detection."""

    start_s: float
    end_s: float
    label: str
    score: float | None  # None: truth
    strength: float  # 0 (at the threshold) to 1 (the run's best score, or truth)
    lane: int
    remark: str = ""  # what a reader is told who asks for more


@dataclass(frozen=True)
class TimelineRow:
    """Truth, or one run."""

    name: str
    bars: tuple[Bar, ...]
    least: float | None = None  # detections below this score are not shown

    @property
    def num_lanes(self) -> int:
        return max((bar.lane + 1 for bar in self.bars), default=1)

    @property
    def height(self) -> float:
        """How much room the row wants; 1 for a single lane."""
        return max(1.0, (0.75 if self.least is None else 0.5) * self.num_lanes)


@dataclass(frozen=True)
class Strip:
    """One video."""

    video: str
    duration_s: float
    rows: tuple[TimelineRow, ...]


def make_row(
    name: str,
    segments: ArrayLike,
    labels: Sequence[str],
    scores: ArrayLike | None = None,
    remarks: Sequence[str] = (),
    least: float | None = None,
    best: float | None = None,
) -> TimelineRow:
    """A row of truth (no scores), or of detections of at least `least`; `best` is the score that is drawn full."""
    times = np.asarray(segments, np.float64).reshape(-1, 2)
    values = None if scores is None else np.asarray(scores, np.float64)
    shown = np.arange(len(times)) if values is None or least is None else np.flatnonzero(values >= least)
    order = shown if values is None else shown[np.argsort(-values[shown], kind="stable")]
    if values is not None and len(shown):
        least = float(values[shown].min()) if least is None else least
        best = float(values[shown].max()) if best is None else best
    lanes = _lanes(times[order])
    bars = []
    for lane, i in zip(lanes, order.tolist(), strict=True):
        score = None if values is None else float(values[i])
        strength = 1.0
        if score is not None and least is not None and best is not None and best > least:
            strength = min(1.0, (score - least) / (best - least))
        start_s, end_s = times[i].tolist()
        bars.append(Bar(start_s, end_s, labels[i], score, strength, lane, remarks[i] if remarks else ""))
    return TimelineRow(name, tuple(sorted(bars, key=lambda bar: bar.start_s)), least)


def strips_of(runs: Mapping[str, Score], videos: Sequence[str]) -> list[Strip]:
    """The strips of some videos under several runs judged on the same annotations."""
    annotations = next(iter(runs.values())).annotations
    unknown = [video for video in videos if video not in annotations.videos]
    if unknown:
        raise AnnotationError(
            f"{annotations.source}: no video {unknown[0]!r} in this subset; its first is "
            f"{next(iter(annotations.videos), None)!r}"
        )
    thresholds = {name: _threshold(score) for name, score in runs.items()}
    remarks = {name: _remarks(score) for name, score in runs.items()}
    strips = []
    for video in videos:
        truth = annotations.videos[video]
        rows = [make_row(TRUTH, truth.segments, [annotations.classes[label] for label in truth.labels])]
        latest = truth.segments[:, 1].max(initial=0.0)
        for name, score in runs.items():
            run = score.detections
            mine = np.flatnonzero(run.rehome([video]) == 0)
            labels = [run.labels[label] for label in run.label[mine]]
            notes = [remarks[name].get(int(row), "") for row in mine]
            best = float(run.scores.max(initial=0.0))
            row = make_row(name, run.segments[mine], labels, run.scores[mine], notes, thresholds[name], best)
            latest = max(latest, max((bar.end_s for bar in row.bars), default=0.0))
            rows.append(row)
        duration_s = truth.duration_s if np.isfinite(truth.duration_s) else latest
        strips.append(Strip(video, float(duration_s), tuple(rows)))
    return strips


def choose_videos(annotations: Annotations, count: int) -> list[str]:
    """Videos worth looking at: most classes first, then most actions, those that fit on a page before all others."""

    def worth(video: str) -> tuple[bool, int, int]:
        labels = annotations.videos[video].labels
        return (not 0 < len(labels) <= READABLE, -len(set(labels.tolist())), -len(labels))

    return sorted(annotations.videos, key=worth)[:count]


def colours_of(strips: Sequence[Strip]) -> dict[str, str]:
    """A colour for each class that is shown: classes of the truth first, frequent ones before rare ones."""
    true: Counter[str] = Counter()
    detected: Counter[str] = Counter()
    for strip in strips:
        for row in strip.rows:
            for bar in row.bars:
                (true if bar.score is None else detected)[bar.label] += 1
    frequent = [label for label, _ in (*true.most_common(), *detected.most_common())]
    labels = list(dict.fromkeys(frequent))
    return {label: PALETTE[i] if i < len(PALETTE) else OTHER for i, label in enumerate(labels)}


def legend_of(colours: Mapping[str, str]) -> list[tuple[str, str]]:
    """(text, colour) of a legend: classes of one's own colour, then one entry for all that share the grey."""
    entries = [(label, colour) for label, colour in colours.items() if colour != OTHER]
    others = len(colours) - len(entries)
    return [*entries, (f"{others} other class{'' if others == 1 else 'es'}", OTHER)] if others else entries


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on "#rrggbb"."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#FFFFFF" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "#1A1A1A"


def _lanes(segments: NDArray[np.float64]) -> list[int]:
    """Lane of each segment (n, 2): the first one in which it overlaps nothing that was placed before."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(MAX_LANES)]
    lanes = []
    for start, end in segments.tolist():
        free = (i for i in range(MAX_LANES) if all(end <= s or start >= e for s, e in taken[i]))
        lane = next(free, MAX_LANES - 1)
        taken[lane].append((start, end))
        lanes.append(lane)
    return lanes


def _column(score: Score) -> int:
    return int(np.argmin(np.abs(score.result.tiou - 0.5)))


def _threshold(score: Score) -> float:
    """The score of best F1; for a run that finds nothing, that of its N best detections, N the number of truths."""
    least, _ = best_score(score.matches, score.detections.scores[score.matches.detection], _column(score))
    if np.isfinite(least) or not len(score.detections):
        return least
    return float(np.sort(score.detections.scores)[::-1][: score.annotations.num_segments][-1])


def _remarks(score: Score) -> dict[int, str]:
    """Row of the detections -> what it turned out to be, such as "localisation"."""
    matches = score.matches
    kinds = error_kinds(matches, score.detections.segments[matches.detection])[:, _column(score)]
    return {int(row): KINDS[kind] for row, kind in zip(matches.detection, kinds, strict=True)}
