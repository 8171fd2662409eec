"""What a number may owe to the choice of test videos: intervals, and a paired test between two detectors.

    print(compare(judge(truth, a), judge(truth, b)))

Bootstrap over videos: the test set is drawn anew from itself, whole videos with replacement, and everything is
computed again. A hit depends on its own video alone, so a drawing is no more than a weight for each video
(`class_average_precision`), and the values are exactly those of evaluating the drawn set from the start. Two
detectors are compared on the same drawings: what a hard video costs both cancels.

A drawn set repeats videos, and AP on repeated videos is a little too high; the intervals are therefore moved so that
the resamples lie around the measured value. They tell how far the score of another test set of this size may lie.

What this does not see: luck in training. For that, train with several seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.average_precision import class_average_precision
from evaluate.metrics.matching import Matches
from evaluate.metrics.scores import Score

FEW_VIDEOS = 30  # below this an interval from resampling is too narrow to be trusted
AT_ONCE = 20_000_000  # drawings x detections held in memory together


@dataclass(frozen=True)
class Interval:
    """Average mAP with the range that resampled test sets give it."""

    estimate: float
    low: float
    high: float
    level: float
    resamples: int
    num_videos: int

    def to_json(self) -> dict[str, Any]:
        return {"average_mAP": self.estimate, "low": self.low, "high": self.high, "level": self.level,
                "resamples": self.resamples, "videos": self.num_videos}  # fmt: skip

    def __str__(self) -> str:
        return (
            f"average mAP {100 * self.estimate:.2f}, {100 * self.level:g} % interval {100 * self.low:.2f} to "
            f"{100 * self.high:.2f} ({self.resamples} resamples of {self.num_videos} videos)"
        )


@dataclass(frozen=True)
class Comparison:
    """Second detector minus first, on the same resampled test sets."""

    names: tuple[str, str]
    values: tuple[float, float]  # average mAP of each
    low: float
    high: float
    p: float  # two-sided: how often as large a difference would come from the choice of videos alone
    level: float
    resamples: int
    num_videos: int
    per_class: dict[str, tuple[float, float, float]]  # label -> gain in AP (mean over tIoU), low, high

    @property
    def difference(self) -> float:
        """Of the average mAP, the second less the first, as a fraction."""
        return self.values[1] - self.values[0]

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.names[0], "second": self.names[1], "average_mAP": list(self.values),
            "difference": self.difference, "low": self.low, "high": self.high, "p": self.p, "level": self.level,
            "resamples": self.resamples, "videos": self.num_videos, "sentence": str(self),
            "per_class": {label: list(row) for label, row in self.per_class.items()},
        }  # fmt: skip

    def __str__(self) -> str:
        first, second = self.names
        which = "better" if self.difference > 0 else "worse"
        if self.difference == 0:
            lead = f"{second} and {first} have the same average mAP, {100 * self.values[0]:.2f}"
        else:
            lead = (
                f"{second} is {which} than {first} by {100 * abs(self.difference):.2f} points of average mAP "
                f"({100 * self.values[1]:.2f} against {100 * self.values[0]:.2f})"
            )
        numbers = (
            f"{100 * self.level:g} % interval of the difference {100 * self.low:+.2f} to {100 * self.high:+.2f}, "
            f"p = {self.p:.2g}, {self.resamples} paired resamples of {self.num_videos} videos"
        )
        if self.low > 0 or self.high < 0:
            verdict = "more than luck in the choice of videos"
        else:
            verdict = "this many videos cannot tell the two apart; the difference may be luck"
        caution = f". With fewer than {FEW_VIDEOS} videos such an interval is too narrow" * (
            self.num_videos < FEW_VIDEOS
        )
        return f"{lead}: {numbers}; {verdict}{caution}."


def bootstrap(score: Score, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """The interval of a score's average mAP over resampled test sets."""
    videos = score.matches.videos
    drawings = draw_videos(len(videos), resamples, seed)
    values = mean_of_classes(resampled(score.matches, drawings, score.rule.area))
    low, high = np.quantile(centred(values, score.result.average_mAP), _ends(level)).clip(0, 1)
    return Interval(score.result.average_mAP, float(low), float(high), level, resamples, len(videos))


def compare(
    first: Score,
    second: Score,
    names: tuple[str, str] = ("first", "second"),
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Paired test between two scores of the same annotations, protocol, thresholds and rule."""
    tables = on_same_drawings([first, second], resamples, seed)
    measured = second.result.average_mAP - first.result.average_mAP
    gains = centred(mean_of_classes(tables[1]) - mean_of_classes(tables[0]), measured)
    low, high = np.quantile(gains, _ends(level))
    each = (tables[1] - tables[0]).mean(axis=2)  # (R, classes)
    per_class = {}
    for label, ap in second.result.per_class.items():
        row = each[:, second.matches.classes.index(label)]
        gain = float((ap - first.result.per_class[label]).mean())
        ends = np.quantile(centred(row[~np.isnan(row)], gain), _ends(level))
        per_class[label] = (gain, float(ends[0]), float(ends[1]))
    return Comparison(
        names,
        (first.result.average_mAP, second.result.average_mAP),
        float(low),
        float(high),
        _two_sided(gains),
        level,
        resamples,
        len(first.annotations.videos),
        per_class,
    )


class SeedsGain(NamedTuple):
    """What one method is above another in average mAP, mean over seeds, with its interval over test videos."""

    mean: float
    low: float
    high: float
    p: float  # two-sided: how often as large a difference would come from the choice of videos alone


def gain_over_seeds(
    pairs: Sequence[tuple[Score, Score]], resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> SeedsGain:
    """Second minus first in average mAP, mean of the pairs, with its interval over test videos.

    pairs: detectors of two methods trained with the same seed, one pair for each seed, all judged on the same videos.
    """
    tables = on_same_drawings([score for pair in pairs for score in pair], resamples, seed)
    values = [mean_of_classes(table) for table in tables]
    gains = np.mean([values[i + 1] - values[i] for i in range(0, len(values), 2)], axis=0)
    measured = float(np.mean([second.result.average_mAP - first.result.average_mAP for first, second in pairs]))
    gains = centred(gains, measured)
    low, high = np.quantile(gains, _ends(level))
    return SeedsGain(measured, float(low), float(high), _two_sided(gains))


def on_same_drawings(scores: Sequence[Score], resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """(R, classes, tIoU) AP of each score, all on the same resampled test sets."""
    first = scores[0]
    for other in scores[1:]:
        if first.annotations.videos.keys() != other.annotations.videos.keys() or first.rule != other.rule:
            raise ValueError("two scores are compared on the same videos by the same rule")
        if not np.array_equal(first.matches.tiou, other.matches.tiou):
            raise ValueError("two scores are compared at the same tIoU thresholds")
    videos = list(dict.fromkeys(video for score in scores for video in score.matches.videos))
    drawings = draw_videos(len(videos), resamples, seed)
    column = {video: i for i, video in enumerate(videos)}
    return [
        resampled(score.matches, drawings[:, [column[video] for video in score.matches.videos]], score.rule.area)
        for score in scores
    ]


def draw_videos(num_videos: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """(R, videos): how often each video is drawn in each of R test sets of the same size."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=resamples).astype(np.float64)


def resampled(matches: Matches, drawings: NDArray[np.float64], area: str) -> NDArray[np.float64]:
    """(R, classes, tIoU) AP under R drawings (R, videos), in pieces that fit in memory; nan without truth."""
    most = int(np.bincount(matches.label, minlength=1).max(initial=1))
    rows = max(1, AT_ONCE // max(most, 1))
    pieces = [
        class_average_precision(matches, drawings[start : start + rows], area)
        for start in range(0, len(drawings), rows)
    ]
    return np.concatenate(pieces)


def mean_of_classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, classes, tIoU) -> (R,) average mAP over the classes that have truth in each drawing; 0 where none has."""
    there = ~np.isnan(values[:, :, 0])
    total = np.where(there[:, :, None], values, 0.0).mean(axis=2).sum(axis=1)
    return total / np.maximum(there.sum(axis=1), 1)


def centred(values: NDArray[np.float64], measured: float) -> NDArray[np.float64]:
    """The spread of resampled values around the measured one."""
    return values - values.mean() + measured if len(values) else np.array([measured])


def _two_sided(gains: NDArray[np.float64]) -> float:
    """The share of resampled differences on the rarer side of none, twice; never 0, for they are finitely many."""
    rarer = min((gains <= 0).sum(), (gains >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(gains) + 1)))


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2
