"""What clips of annotated videos are to be told for: which action they show, and how much of them lies inside one.

    target of a clip = ( share of each class in what it shows (C numbers), share of its time inside an action )

A clip is at a border where that last share lies between 0 and 1. Clips that touch an *ambiguous* action are left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.learning.streaming import DRAWN, EVERY_EPOCH, NEVER, Targets, TaughtVideo
from features.storage.grid import num_clips

Times = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledVideo:
    """A video with its actions, at the times of its frames."""

    name: str
    path: Path
    sha256: str
    times_s: Times  # (N,) of frames
    segments: Times  # (n, 2) seconds
    labels: NDArray[np.int64]  # (n,) classes
    ambiguous: Times  # (n, 2) seconds

    @property
    def taught(self) -> list[Any]:
        """What it can be told by: its content, and what is annotated."""
        return [self.name, self.sha256, self.segments.tolist(), self.labels.tolist(), self.ambiguous.tolist()]

    def clips(self, window: int, stride: int) -> "LabelledClips":
        """Of this video, as extraction cuts it."""
        starts = np.arange(num_clips(len(self.times_s), window, stride)) * stride
        return LabelledClips(self, np.stack([self.times_s[starts], self.times_s[starts + window]], 1))


@dataclass(frozen=True)
class LabelledClips:
    """The clips of a video, from and to (T, 2) seconds."""

    video: LabelledVideo
    spans: Times

    def __len__(self) -> int:
        return len(self.spans)

    def targets(self, classes: int) -> NDArray[np.float32]:
        """(T, C + 1)."""
        covered = overlaps(self.spans, self.video.segments)  # (T, n) shares
        shares = np.zeros((len(self), classes))
        np.add.at(shares.T, self.video.labels, covered.T)
        total = shares.sum(1, keepdims=True)
        shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
        inside = overlaps(self.spans, united(self.video.segments)).sum(1, keepdims=True)
        return np.hstack([shares, inside.clip(0, 1)]).astype(np.float32)

    @property
    def touches_ambiguous(self) -> NDArray[np.bool_]:
        """(T,)"""
        return np.asarray((overlaps(self.spans, self.video.ambiguous) > 0).any(1))


def overlaps(spans: Times, segments: Times) -> Times:
    """The share of each span (T, 2) that lies in each segment (n, 2): (T, n)."""
    start = np.maximum(spans[:, None, 0], segments[None, :, 0])
    end = np.minimum(spans[:, None, 1], segments[None, :, 1])
    return (end - start).clip(0) / np.diff(spans, axis=1)


def united(segments: Times) -> Times:
    """The same time (n, 2) in segments that do not overlap."""
    made: list[list[float]] = []
    for start, end in sorted(segments.tolist()):
        if made and start <= made[-1][1]:
            made[-1][1] = max(made[-1][1], end)
        else:
            made.append([start, end])
    return np.array(made, np.float64).reshape(-1, 2)


def action_targets(clips: Mapping[str, LabelledClips], classes: int) -> Targets:
    """Of the clips of videos by name; an epoch draws as many in the background as there are others."""
    made = {name: each.targets(classes) for name, each in clips.items()}
    use = {}
    for name, each in clips.items():
        use[name] = np.where(made[name][:, -1] > 0, EVERY_EPOCH, DRAWN)
        use[name][each.touches_ambiguous] = NEVER

    def read(video: TaughtVideo, first: int, stop: int) -> NDArray[np.float32]:
        return made[video.name][first:stop]

    return Targets(read, classes + 1, lambda video, first, stop: use[video.name][first:stop])


def held_out(videos: Sequence[str], groups: Mapping[str, str], share: float) -> set[str]:
    """The videos of every n-th group, in the order of the groups' first videos."""
    every = round(1 / share) if share else 0
    order = list(dict.fromkeys(groups[video] for video in videos))
    apart = {group for number, group in enumerate(order) if every and number % every == every - 1}
    return {video for video in videos if groups[video] in apart}
