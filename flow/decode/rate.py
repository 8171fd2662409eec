"""Frames at another rate than a file's own: at each moment the frame that a viewer sees then.

A clip of 16 frames is a second of a 15 fps video and a quarter of a second of a phone's 60 fps: a network that learnt
the one does not know the other. Frame k of the new rate is shown at k / fps, so times are exact whatever the file's
are; frames are left out or repeated, never mixed.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

SLACK_S = 1e-3  # a frame that begins so little after a moment is taken for it: mkv rounds times to whole milliseconds


class Frame(NamedTuple):
    """One frame of a video."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a frame for
    time_s: float  # since the first frame
    duration_s: float  # until the next frame
    rgb: np.ndarray  # uint8 (H, W, 3)


def num_frames_at(fps: float, duration_s: float) -> int:
    """How many frames a video of this length has at another rate."""
    return max(1, math.ceil((duration_s - SLACK_S) * fps))


def first_needed(times_s: np.ndarray, index: int, fps: float) -> int:
    """A frame of the file from which on reading gives frame `index` at the new rate; times of its frames, ascending."""
    shown = int(np.searchsorted(times_s, index / fps + SLACK_S, side="right")) - 1
    return max(0, shown - 1)  # one more, should the two sums round differently


def at_rate(frames: Iterable[Frame], fps: float, start: int, stop: int) -> Iterator[Frame]:
    """Frames [start, stop) at the new rate, from the file's frames in order, the first no later than is needed."""
    index = start
    for frame in frames:
        until_s = frame.time_s + frame.duration_s
        while index < stop and index / fps + SLACK_S < until_s:
            yield Frame(index, index / fps, 1 / fps, frame.rgb)
            index += 1
        if index >= stop:
            return
