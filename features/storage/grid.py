"""Where the T vectors of a feature sequence sit in time: the only converter between grid steps and seconds.

Step i is the centre of clip i. Between two centres time runs linearly; before the first and after the last it runs on
with the mean spacing. A clip covers frames [i * stride, i * stride + window).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


PAIRS, FRAMES = TAILS = ("window+1", "window")  # how many frames a clip needs


def num_clips(num_frames: int, window: int, stride: int, tail: str = PAIRS) -> int:
    """Clips of a video: floor((N - 1 - W) / s) + 1, or 0.

    Motion lives between frames, so a clip of W frame pairs needs W + 1 frames. RGB could use one clip more whenever
    the stride divides N - W; counting for motion keeps the cues of a video equally long. With the tail FRAMES all have
    that clip, floor((N - W) / s) + 1, and the last motion of a video counts twice.
    """
    return max(0, (num_frames - (tail == PAIRS) - window) // stride + 1)


@dataclass(frozen=True, eq=False)
class ClipGrid:
    """Centre times of the clips of one video."""

    t_center: Array  # (T,) seconds, strictly increasing
    step_s: float  # seconds per step (stride / fps); used outside the ends, and alone when T is 1

    def __post_init__(self) -> None:
        times = np.asarray(self.t_center, dtype=np.float64)
        if times.ndim != 1 or len(times) == 0:
            raise ValueError(f"a clip grid needs a vector of at least one time; got shape {times.shape}")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError("the times of a clip grid must be finite and strictly increasing")
        if not (np.isfinite(self.step_s) and self.step_s > 0):
            raise ValueError(f"step_s must be a positive number of seconds; got {self.step_s}")
        object.__setattr__(self, "t_center", times)
        object.__setattr__(self, "step_s", float(self.step_s))

    @classmethod
    def regular(cls, num_steps: int, fps: float, window: int, stride: int) -> ClipGrid:
        """The grid of a video with constant frame rate: the centre of clip i is (i * stride + window / 2) / fps."""
        times = (np.arange(num_steps, dtype=np.float64) * stride + window / 2) / fps
        return cls(times, stride / fps)

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.t_center)

    def __len__(self) -> int:
        return len(self.t_center)

    def __getitem__(self, steps: slice) -> ClipGrid:
        """The grid of a run of steps; times stay those of the video."""
        return ClipGrid(self.t_center[steps], self.step_s * (steps.step or 1))

    def resized(self, num_steps: int) -> ClipGrid:
        """The grid after a linear resize of the sequence to num_steps (half-pixel centres: align_corners=False).

        The first new centre may lie before the first old one: every step then stands for an equal share of the video.
        """
        scale = self.num_steps / num_steps
        return ClipGrid(self.to_seconds((np.arange(num_steps) + 0.5) * scale - 0.5), self.step_s * scale)

    @overload
    def to_steps(self, seconds: float) -> float: ...
    @overload
    def to_steps(self, seconds: NDArray[np.floating]) -> Array: ...
    def to_steps(self, seconds: float | NDArray[np.floating]) -> float | Array:
        """Seconds of any shape to (fractional) steps; the inverse of to_seconds."""
        given = np.asarray(seconds, dtype=np.float64)
        last = self.num_steps - 1
        first_s, last_s = self.t_center[0], self.t_center[last]
        steps = np.interp(given, self.t_center, np.arange(self.num_steps, dtype=np.float64))
        steps = np.where(given < first_s, (given - first_s) / self.step_s, steps)
        steps = np.where(given > last_s, last + (given - last_s) / self.step_s, steps)
        return steps if isinstance(seconds, np.ndarray) else float(steps)

    @overload
    def to_seconds(self, steps: float) -> float: ...
    @overload
    def to_seconds(self, steps: NDArray[np.floating]) -> Array: ...
    def to_seconds(self, steps: float | NDArray[np.floating]) -> float | Array:
        """(Fractional) steps of any shape to seconds; the inverse of to_steps."""
        given = np.asarray(steps, dtype=np.float64)
        last = self.num_steps - 1
        first_s, last_s = self.t_center[0], self.t_center[last]
        seconds = np.interp(given, np.arange(self.num_steps, dtype=np.float64), self.t_center)
        seconds = np.where(given < 0, first_s + given * self.step_s, seconds)
        seconds = np.where(given > last, last_s + (given - last) * self.step_s, seconds)
        return seconds if isinstance(steps, np.ndarray) else float(seconds)
