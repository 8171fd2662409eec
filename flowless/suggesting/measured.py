"""What annotations tell of a data set: how long actions are, in seconds and as shares of their videos; how dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from command.errors import FlowlessError
from evaluate.files.annotations import Annotations

RATE = 30.0  # frames a second, where nobody says


class NothingToMeasure(FlowlessError):
    """No action, or no video of known length, to propose settings for."""


@dataclass(frozen=True)
class Measured:
    """A training subset in numbers."""

    num_videos: int
    num_classes: int
    fps: float  # the usual one
    durations_s: NDArray[np.float64]  # (V,) of the videos
    lengths_s: NDArray[np.float64]  # (N,) of the actions
    shares: NDArray[np.float64]  # (N,) of its video that an action takes
    overlapping: float  # share of actions in whose middle another action happens, of another time than its own
    starts_s: tuple[NDArray[np.float64], ...]  # of the actions of each video, in order
    dataset: str | None = None  # the published one that the classes are of

    def length_s(self, share: float) -> float:
        """What so large a share of the actions is shorter than."""
        return float(np.quantile(self.lengths_s, share))

    def most_within(self, seconds: float) -> int:
        """Actions that begin within so many seconds of one another, at most."""
        return max(
            int((np.searchsorted(starts, starts + seconds) - np.arange(len(starts))).max())
            for starts in self.starts_s
            if len(starts)
        )


def measure(truth: Annotations, fps: Mapping[str, float], durations_s: Mapping[str, float]) -> Measured:
    """truth: of the training subset. fps, durations_s: of videos where features or files tell them."""
    durations, lengths, shares, starts = [], [], [], []
    crossed = 0
    for name, video in truth.videos.items():
        segments = video.segments
        duration_s = durations_s.get(name, video.duration_s)
        if not duration_s > 0:
            continue
        durations.append(duration_s)
        own = segments[:, 1] - segments[:, 0]
        segments, own = segments[own > 0], own[own > 0]
        lengths.append(own)
        shares.append(np.minimum(own / duration_s, 1.0))
        starts.append(np.sort(segments[:, 0]))
        crossed += _crossed(segments)
    count = sum(map(len, lengths))
    if not count:
        raise NothingToMeasure(
            f"{truth.source}: no action in a video of known duration. Give durations in the annotations, or the "
            "videos (--videos) or their features (--features), which have them"
        )
    rates = [rate for name, one in truth.videos.items() if (rate := fps.get(name) or one.fps or 0.0) > 0]
    return Measured(
        num_videos=len(durations),
        num_classes=len(truth.classes),
        fps=float(np.median(rates)) if rates else RATE,
        durations_s=np.array(durations),
        lengths_s=np.concatenate(lengths),
        shares=np.concatenate(shares),
        overlapping=crossed / count,
        starts_s=tuple(starts),
        dataset=truth.dataset,
    )


def _crossed(segments: NDArray[np.float64]) -> int:
    """Actions in whose middle another one happens. Two labels of one stretch of time are one action here."""
    unique, counts = np.unique(segments, axis=0, return_counts=True)
    middle = unique.mean(axis=1)
    running = np.searchsorted(np.sort(unique[:, 0]), middle) - np.searchsorted(np.sort(unique[:, 1]), middle, "right")
    return int(counts[running > 1].sum())
