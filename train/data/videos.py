"""The videos a run learns from: checked against the store, their actions on the grid of their features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from detect.heads.base import Predictions, Targets
from detect.windows import ANY_LENGTH, SampleRule
from evaluate.files.annotations import Annotations, VideoTruth
from features.storage.store import Store
from train.config import TrainingError


@dataclass(frozen=True)
class Video:
    """One training video, its actions on the grid of its features."""

    name: str
    num_steps: int
    targets: Targets
    slack: float  # steps an action may stand over the end of a sample: half a clip is seen beyond its centre


Answer = tuple[Tensor | None, Predictions]  # of a teacher: branch features (D, T), predictions (B = 1) of a video
Teacher = Callable[[str], Answer]  # by the name of the video


@dataclass(frozen=True)
class Pool:
    """Videos of one store that are learnt from alike: all with their labels, or all without."""

    store: Store
    videos: list[Video]
    teachers: Mapping[str, Teacher] = field(default_factory=dict)  # by role


def videos_of(store: Store, truth: Annotations, cues: Sequence[str], rule: SampleRule = ANY_LENGTH) -> list[Video]:
    """The annotated videos, checked against the store: all features there, of one origin, without NaN."""
    names = list(truth.videos)
    if not names:
        raise TrainingError("no video to train on: the annotations hold none of this subset")
    store.check(names, cues)
    for name in names:
        labels = truth.videos[name].labels
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(truth.classes):
            raise TrainingError(
                f"{truth.source}: video {name!r}: labels {labels.min()} to {labels.max()}, but the classes are "
                f"0 to {len(truth.classes) - 1}"
            )
    return [video_of(store, name, cues[0], truth.videos[name], rule) for name in names]


def video_of(store: Store, name: str, cue: str, truth: VideoTruth, rule: SampleRule) -> Video:
    """Its actions on the grid that the head sees; times become steps here and nowhere else."""
    grid, attributes = store.grid(name, cue), store.attributes(name, cue)
    slack = 0.5 * float(attributes["window"]) / float(attributes["stride"])
    slack, grid = slack * (rule.num_steps(grid.num_steps) / grid.num_steps), rule.grid(grid)
    segments = torch.from_numpy(np.asarray(grid.to_steps(truth.segments), np.float32).reshape(-1, 2))
    return Video(name, grid.num_steps, Targets(segments, torch.from_numpy(np.asarray(truth.labels, np.int64))), slack)


def read_steps(store: Store, video: str, cue: str, rule: SampleRule = ANY_LENGTH) -> np.ndarray:
    """(T, D_in) of a whole video as the detector's head sees it."""
    return rule.sequence(store.read(video, cue))


def check_actions(store: Store, truth: Annotations, videos: Sequence[Video]) -> str:
    """A remark on actions that no clip of their video sees, so that none can learn from them; empty without such.

    TrainingError if there is no other action to learn from.
    """
    found = []
    for video in videos:
        start, end = video.targets.segments.numpy().T
        unseen = (start > video.num_steps - 1 + video.slack) | (end < -video.slack)
        found += [(video.name, *truth.videos[video.name].segments[i]) for i in unseen.nonzero()[0].tolist()]
    count = sum(len(video.targets.labels) for video in videos)
    name, start_s, end_s = found[0] if found else ("", 0.0, 0.0)
    if len(found) == count:
        first = videos[0]
        why = (
            f"none of {len(videos)} videos has one"
            if not count
            else f"of {count} none does (first: {name}, {start_s:g} to {end_s:g} s; "
            f"the features of {first.name} end at {store.grid(first.name).t_center[-1]:.1f} s)"
        )
        raise TrainingError(
            f"{store.path}: no action of the training subset lies within the features: check fps, stride, subset; {why}"
        )
    if not found:
        return ""
    many = (
        "1 action lies outside the features of its video"
        if len(found) == 1
        else f"{len(found)} actions lie outside the features of their videos"
    )
    return f"{store.path}: {many} (first: {name}, {start_s:g} to {end_s:g} s)"


def channel_statistics(pools: Sequence[Pool], cue: str, rule: SampleRule = ANY_LENGTH) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D_in,) of a stream's channels over all steps of all videos, labelled or not."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for store, video in ((pool.store, video) for pool in pools for video in pool.videos):
        features = read_steps(store, video.name, cue, rule).astype(np.float64)
        count, total, squares = count + len(features), total + features.sum(0), squares + (features**2).sum(0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
