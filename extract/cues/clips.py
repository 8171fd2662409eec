"""Clips: a stream of frames cut into windows, the same windows at the same times for every cue.

Step k of any cue belongs to frames k and k + 1: RGB shows the first, motion what happens between them. A video of N
frames has N - 1 steps and floor((N - 1 - window) / stride) + 1 clips, whatever is looked at; clip i covers the time
from frame i * stride to frame i * stride + window. Under the other rule of the tail (features.storage.grid.TAILS),
which some published features have, the last frame is a step as well.

Only `window` steps are held at a time, however long the video, and of these only such as some clip is read at: a
network may see 8 of 64 frames.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from flow.decode.video import Frame

Item = TypeVar("Item")
View = Callable[[Frame, Frame], np.ndarray]  # what a cue shows of a frame and the next: (H, W, channels)


class Clip(NamedTuple):
    """A window of one cue."""

    t_center: float  # seconds
    steps: np.ndarray  # (steps read, H, W, channels)


def cut(
    frames: Iterable[Frame],
    view: View,
    window: int,
    stride: int,
    reads: Sequence[int] | None = None,
    last: View | None = None,
) -> Iterator[Clip]:
    """The clips of a video, each as soon as its last frame has come.

    reads: the steps of a clip that are looked at, numbers from 0 to window - 1; None: all.
    last: what the step of the last frame shows, of the frame before it and itself; None: there is no such step.
    """
    reads = range(window) if reads is None else reads
    looked_at = {step % stride for step in reads}  # of all steps of the video, by their place between two starts
    steps: deque[np.ndarray | None] = deque(maxlen=window)
    times: deque[float] = deque(maxlen=window)
    for k, step in enumerate(_steps(frames, view, last)):
        steps.append(step.look(*step.pair) if k % stride in looked_at else None)
        times.append(step.start_s)
        start = k - window + 1
        if start >= 0 and start % stride == 0:
            seen = [shown for place in reads if (shown := steps[place]) is not None]  # all of them are there
            yield Clip((times[0] + step.end_s) / 2, np.stack(seen))


class _Step(NamedTuple):
    start_s: float
    end_s: float
    look: View
    pair: tuple[Frame, Frame]


def _steps(frames: Iterable[Frame], view: View, last: View | None) -> Iterator[_Step]:
    before: Frame | None = None
    previous: Frame | None = None
    for frame in frames:
        if previous is not None:
            yield _Step(previous.time_s, frame.time_s, view, (previous, frame))
        before, previous = previous, frame
    if last is not None and before is not None and previous is not None:
        yield _Step(previous.time_s, previous.time_s + previous.duration_s, last, (before, previous))


def batches(clips: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Clips by `size`, the last batch shorter."""
    source = iter(clips)
    while batch := list(islice(source, size)):
        yield batch
