"""Features of a video as arrays, read from a store or made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

import features
from command.errors import FlowlessError
from features.storage.grid import ClipGrid
from features.storage.store import Store
from flowless.api.memory import Held, store_of


class ArrayError(FlowlessError):
    """Arrays that are no features, or do not belong together."""


class VideoFeatures(Mapping[str, NDArray[np.floating]]):
    """The features of one video: a mapping of streams ("rgb", "flow", ...) to arrays (T, D), on one axis of time.

    times_s (T,): seconds at which the middle of each clip lies. duration_s: of the video. fps, window, stride: frames
    per second, in a clip, and from the start of one clip to the next.
    """

    def __init__(
        self,
        streams: ArrayLike | Mapping[str, ArrayLike],
        *,
        fps: float,
        window: int = 16,
        stride: int = 4,
        times_s: ArrayLike | None = None,
        duration_s: float | None = None,
        feature_ids: Mapping[str, str] | None = None,
    ) -> None:
        """streams: an array (T, D), which is called "rgb", or several by name. window and stride are ActionFormer's
        where they are not told; times_s: where clips are not evenly spaced; duration_s: else the longest video that
        gives so many clips. feature_ids: by stream, what made it, as a store tells it.

        ArrayError for arrays of other shapes, of different lengths, or that hold NaN.
        """
        named = streams if isinstance(streams, Mapping) else {"rgb": streams}
        self._streams = {name: _checked(name, array) for name, array in named.items()}
        if not self._streams:
            raise ArrayError("no stream: expected an array (T, D), or several by name")
        lengths = {name: len(array) for name, array in self._streams.items()}
        if len(set(lengths.values())) > 1:
            raise ArrayError(f"streams of different lengths: {lengths} steps. Cut them to the same clips")
        if not (np.isfinite(fps) and fps > 0 and window > 0 and stride > 0):
            raise ArrayError(f"fps {fps}, window {window}, stride {stride}: expected numbers above 0")
        self.fps, self.window, self.stride = float(fps), int(window), int(stride)
        self.feature_ids = dict(feature_ids or {})
        steps = next(iter(lengths.values()))
        grid = ClipGrid.regular(steps, self.fps, self.window, self.stride)
        if times_s is not None:
            try:
                grid = ClipGrid(np.asarray(times_s, np.float64), grid.step_s)
            except ValueError as error:
                raise ArrayError(f"times_s: {error}") from None
            if len(grid) != steps:
                raise ArrayError(f"times_s: {len(grid)} times for {steps} steps")
        self.grid = grid
        self.duration_s = float(duration_s or (steps * self.stride + self.window) / self.fps)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(T,) seconds, the middle of each clip."""
        return self.grid.t_center

    def __getitem__(self, stream: str) -> NDArray[np.floating]:
        return self._streams[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self._streams.items())
        return f"VideoFeatures({shapes}; {self.duration_s:.1f} s at {self.fps:g} fps)"


def _checked(name: str, array: ArrayLike) -> NDArray[np.floating]:
    found = np.asarray(array)
    if found.ndim != 2 or 0 in found.shape or not np.issubdtype(found.dtype, np.floating):
        raise ArrayError(f"{name}: {found.dtype} of shape {found.shape}: expected floating-point numbers (T, D)")
    if not np.isfinite(found).all():
        raise ArrayError(f"{name}: NaN or infinite at {int((~np.isfinite(found)).any(1).sum())} of {len(found)} steps")
    return found


def read_features(store: Store | Path | str, video: str, streams: Sequence[str] | str | None = None) -> VideoFeatures:
    """The features of one video of a store (an index, a single file, or a directory of .npy files with a grid.json).

    streams: which, one or several; None: all of them. StoreError, naming what is missing or cannot be read.
    """
    opened = store if isinstance(store, Store) else features.open(store)
    if streams is None:
        names: list[str] = [name for name in opened.streams(video) if opened.row(video, name).num_steps >= 0]
    else:
        names = [streams] if isinstance(streams, str) else list(streams)
    opened.check([video], names)
    attributes = opened.attributes(video, names[0])
    grid = opened.grid(video, names[0])
    stride = int(attributes.get("stride", 4))
    return VideoFeatures(
        {name: opened.read(video, name) for name in names},
        fps=float(attributes.get("fps", stride / grid.step_s)),
        window=int(attributes.get("window", 16)),
        stride=stride,
        times_s=grid.t_center,
        duration_s=opened.duration_s(video),
        feature_ids={name: opened.row(video, name).feature_id for name in names},
    )


def in_memory(videos: Mapping[str, VideoFeatures]) -> Store:
    """A store of them, to train from. ArrayError where they do not belong together."""
    if not videos:
        raise ArrayError("no video: expected features by the name of their video")
    first_name, first = next(iter(videos.items()))
    for name, one in videos.items():
        if not isinstance(one, VideoFeatures):
            raise ArrayError(f"{name}: expected VideoFeatures, which know when each step is, not {type(one).__name__}")
        if (of := _kind(one)) != (wanted := _kind(first)):
            raise ArrayError(f"{name} has {of}, but {first_name} {wanted}: expected features of one kind")
    return store_of({name: _held(one) for name, one in videos.items()})


def _kind(one: VideoFeatures) -> str:
    made = {name: one.feature_ids.get(name, "") for name in sorted(one)}
    streams = ", ".join(f"{name} of {one[name].shape[1]} numbers {made[name]}".strip() for name in made)
    return f"{streams}, window {one.window}, stride {one.stride}"


def _held(one: VideoFeatures) -> Held:
    told = {"fps": one.fps, "window": one.window, "stride": one.stride, "duration_s": one.duration_s}
    return Held({**one}, one.times_s, told, one.feature_ids)
