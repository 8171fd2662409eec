"""Where the steps of imported features lie in time: from the files, grid.json, the annotations or the options.

What the files themselves say counts most: the times and rates of video_features, then grid.json; an option that
contradicts them is refused. A rate that the annotations know counts before --fps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.files.array_file import read_array
from features.files.found import Found
from features.files.grid_file import GRID_FILE, STRIDE, WINDOW, GridFile, agreed
from features.files.layout import StoreError
from features.files.strict_json import positive
from features.importing.annotated import Known
from features.storage.grid import ClipGrid


@dataclass(frozen=True)
class Placement:
    """The clips of one video in time."""

    t_center: NDArray[np.float64]  # (T,) seconds
    window: int
    stride: int
    fps: float
    duration_s: float

    @property
    def attributes(self) -> dict[str, Any]:
        """Of a part: frames, frames per second, seconds."""
        return {"window": self.window, "stride": self.stride, "fps": self.fps, "duration_s": self.duration_s}


@dataclass(frozen=True)
class Timing:
    """What is known of the time of all videos of an import."""

    fps: float | None = None  # --fps
    window: int = WINDOW
    stride: int = STRIDE
    stretch: bool = False
    known: Mapping[str, Known] = field(default_factory=dict)  # of the annotations
    grid: GridFile = field(default_factory=GridFile)
    folder: Path = Path()
    centred: bool = False  # the times of video_features' layout are centres of clips, not their last frames

    def place(self, found: Found, video: str, num_steps: int) -> Placement:
        """The clips of a video; StoreError if its time is not known, or known in two ways."""
        known = self.known.get(video, Known())
        if self.stretch:
            if not known.duration_s:
                raise StoreError(f"video {video!r}: --stretch needs its duration from --annotations{self._why(video)}")
            fps = num_steps / known.duration_s
            return Placement(ClipGrid.regular(num_steps, fps, 1, 1).t_center, 1, 1, fps, known.duration_s)
        fps = self.rate(found, video)
        duration_s = known.duration_s or (num_steps * self.stride + self.window) / fps
        if found.times is not None:
            t_center = self._centres(read_times(found.times, num_steps), fps)
        else:
            t_center = ClipGrid.regular(num_steps, fps, self.window, self.stride).t_center
        return Placement(t_center, self.window, self.stride, fps, duration_s)

    def rate(self, found: Found, video: str) -> float:
        """Frames per second of a video."""
        if found.rate is not None:
            rate = read_rate(found.rate)
            agreed(f"fps of video {video!r}", self.fps, rate, "--fps", str(found.rate))
            return rate
        known, beside = self.known.get(video, Known()).fps, str(self.folder / GRID_FILE)
        written = self.grid.rate(found.video) or self.grid.rate(video)
        if written is not None:
            agreed(f"fps of video {video!r}", self.fps, written, "--fps", beside)
            agreed(f"fps of video {video!r}", known, written, "that of --annotations", beside)
        fps = written or known or self.fps
        if fps is None:
            raise StoreError(
                f"video {video!r}: no frame rate: give --fps, or --annotations that have it{self._why(video)}"
            )
        return fps

    def _why(self, video: str) -> str:
        return f" (no {video!r} among the {len(self.known)} annotated videos)" if self._unknown(video) else ""

    def _unknown(self, video: str) -> bool:
        return bool(self.known) and video not in self.known

    def _centres(self, times_s: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
        if self.centred:
            return times_s
        return times_s - self.window / 2 / fps if times_s[0] * fps > 0.5 else times_s + 0.5 / fps


def settle_clips(grid: GridFile, folder: Path, window: int | None, stride: int | None) -> tuple[int, int, bool]:
    """Window and stride of grid.json or the options, and whether either is only guessed; StoreError if they differ."""
    beside = str(folder / GRID_FILE)
    settled_window = agreed("window", window, grid.window, "--window", beside)
    settled_stride = agreed("stride", stride, grid.stride, "--stride", beside)
    guessed = settled_window is None or settled_stride is None
    return int(settled_window or WINDOW), int(settled_stride or STRIDE), guessed


def read_rate(file: Path) -> float:
    """The number in NAME_fps.npy."""
    array = read_array(file, sequence=False)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise StoreError(f"{file}: expected one number, the frame rate; got {array.shape} {array.dtype}")
    return positive(array.reshape(()).item(), f"{file}: the frame rate")


def read_times(file: Path, num_steps: int | None = None) -> NDArray[np.float64]:
    """The times in NAME_timestamps_ms.npy, in seconds (T,); checked against the number of steps of the features."""
    array = read_array(file, sequence=False)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not len(array):
        raise StoreError(f"{file}: expected (T,) times in milliseconds, got {array.shape} {array.dtype}")
    times_s = array.astype(np.float64) / 1000
    if num_steps is not None and len(times_s) != num_steps:
        raise StoreError(f"{file}: {len(times_s)} times, but the features beside it have {num_steps} steps")
    if not np.isfinite(times_s).all() or (times_s < 0).any() or (np.diff(times_s) <= 0).any():
        raise StoreError(f"{file}: expected times in milliseconds that increase from step to step")
    return times_s


@dataclass(frozen=True)
class TimedClips:
    """Window and stride in frames as the times of video_features' layout have them."""

    window: int
    stride: int | None  # None: no video has two clips
    centred: bool

    @property
    def remark(self) -> str:
        """What is to be told of where the times come from."""
        what = "the centre of its clip" if self.centred else "the last frame of its clip, as video_features writes them"
        return (
            f"times are those of the *_timestamps_ms.npy files, each {what}: window {self.window}, stride {self.stride}"
        )


def timed_clips(timed: Sequence[tuple[NDArray[np.float64], float, float | None]]) -> TimedClips:
    """What clips the times of all videos speak of: (times in seconds, fps, annotated duration or None) of each.

    video_features writes the time of the last frame of a clip (its models/i3d/extract_i3d.py): clip 0 covers the
    frames before it. Tools that copy its layout write centres. Which it is shows at the end of the annotated videos:
    there is no room for one clip more.
    """
    first = Counter(round(times_s[0] * fps, 1) for times_s, fps, _ in timed).most_common(1)[0][0]
    steps = Counter(round(float(np.median(np.diff(times_s))) * fps) for times_s, fps, _ in timed if len(times_s) > 1)
    stride = max(1, steps.most_common(1)[0][0]) if steps else None
    lasting = [(times_s, fps, duration_s) for times_s, fps, duration_s in timed if duration_s and len(times_s) > 1]
    centred = bool(lasting) and all(_are_centres(*one) for one in lasting)
    return TimedClips(max(1, round(2 * first if centred else first)), stride, centred)


def _are_centres(times_s: NDArray[np.float64], fps: float, duration_s: float) -> bool:
    """Whether clips that end at these times leave room for another, and clips centred there fill the video."""
    step_s, frame_s = float(np.median(np.diff(times_s))), 1 / fps
    room_for_another = times_s[-1] + step_s < duration_s - 1.5 * frame_s
    end_s = times_s[-1] + times_s[0]  # of the last clip, if the first begins with the video
    return bool(room_for_another and end_s <= duration_s + 0.5 * frame_s < end_s + step_s + 1.5 * frame_s)
