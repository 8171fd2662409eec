"""Feature stores: write parts, build the index, read features and their clip grids.

    import features
    store = features.open("features/thumos.h5")           # an index, a single file, or a directory of .npy files
    store.read("video_test_0000004", "rgb")               # (T, D) float16
    store.grid("video_test_0000004").to_seconds(12.0)

Paths are opened lazily in each process and without file locks: a Store can be sent to the workers of a data loader and
read from a read-only or network file system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from features.files.layout import IMPORTED, SCHEMA, StoreError, part_path
from features.storage import belonging
from features.storage.grid import ClipGrid
from features.storage.hdf5 import Hdf5Source
from features.storage.index import build_index, stored_fingerprints
from features.storage.npy import NpySource
from features.storage.parts import Part, all_finite, fingerprint, is_done, write_part
from features.storage.table import TableRow

__all__ = [
    "SCHEMA",
    "Part",
    "Store",
    "StoreError",
    "build_index",
    "fingerprint",
    "is_done",
    "open",
    "part_path",
    "stored_fingerprints",
    "write_part",
]


class Source(Protocol):
    """Where the arrays come from."""

    path: Path
    rows: dict[tuple[str, str], TableRow]
    remarks: tuple[str, ...]

    def row(self, video: str, stream: str) -> TableRow: ...
    def attributes(self, video: str, stream: str) -> dict[str, Any]: ...
    def names(self, video: str, stream: str) -> tuple[str, ...]: ...
    def digests(self, video: str, stream: str) -> dict[str, str]: ...
    def known_finite(self, video: str, stream: str) -> bool: ...
    def read(self, video: str, stream: str, name: str, start: int | None, stop: int | None) -> np.ndarray: ...
    def close(self) -> None: ...


def open(
    path: Path | str,
    *,
    fps: float | Mapping[str, float] | None = None,
    window: int | None = None,
    stride: int | None = None,
    verify: bool = True,
) -> Store:
    """Opens a feature store.

    fps (of all videos, or by video id), window and stride speak for .npy files only. None: not known; then they come
    from the grid.json beside the files, or are ActionFormer's 16 and 4, which `remarks` says. StoreError where given
    and found ones differ.

    verify: compare what is read with the sha256 written beside it, each array on its first read in each process. The
    2.6 ms that it takes for a THUMOS-sized video are saved with False.
    """
    path = Path(path)
    if path.is_dir():
        return Store(NpySource(path, fps, window, stride))
    if not path.exists():
        raise StoreError(f"{path}: no such feature store. Make it with extract.rgb or features.importer.")
    return Store(Hdf5Source(path, verify))


class Store:
    """Features of many videos, one or more streams each."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._streams: dict[str, tuple[str, ...]] = {}
        for video, stream in sorted(source.rows):
            self._streams[video] = (*self._streams.get(video, ()), stream)

    @property
    def path(self) -> Path:
        return self._source.path

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was taken for granted when the store was opened, a sentence each, to be told to the user."""
        return self._source.remarks

    def is_imported(self, video: str, stream: str) -> bool:
        """Whether the features were made elsewhere: nobody here can extract them anew. False where that is not told."""
        try:
            attributes = self.attributes(video, stream)
        except StoreError:
            return False
        return attributes.get("origin") == IMPORTED or "imported_from" in attributes

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids, in order."""
        return tuple(self._streams)

    def streams(self, video: str) -> tuple[str, ...]:
        """The streams of a video, in order; StoreError if there is no such video."""
        if video not in self._streams:
            raise StoreError(f"{self.path}: no video {video!r}; there are {len(self._streams)}, see features.status")
        return self._streams[video]

    @property
    def rows(self) -> tuple[TableRow, ...]:
        return tuple(self._source.rows[key] for key in sorted(self._source.rows))

    def row(self, video: str, stream: str) -> TableRow:
        """What the table of the store says about a stream of a video; costs no disk access."""
        return self._source.row(video, stream)

    def read(self, video: str, stream: str, start: int | None = None, stop: int | None = None) -> np.ndarray:
        """Features (T, D) of steps [start, stop), as stored (float16 in our own files).

        StoreError, naming video, stream and remedy, if they cannot be read, were altered since, or if any is NaN.
        """
        features = self.array(video, stream, "features", start, stop)
        if not self._source.known_finite(video, stream) and not all_finite(features):
            bad = ~np.isfinite(features).all(axis=1)
            source = self.attributes(video, stream).get("imported_from")
            mend = f"Repair {source}, where it comes from" if source else "Extract this video anew"
            raise StoreError(
                f"{self.path}: {stream} of video {video!r} is NaN or infinite at {int(bad.sum())} of {len(bad)} steps, "
                f"first at step {(start or 0) + int(bad.argmax())}. {mend}, or leave it out."
            )
        return features

    def array(
        self, video: str, stream: str, name: str, start: int | None = None, stop: int | None = None
    ) -> np.ndarray:
        """Rows [start, stop) of one array of a stream; only these are read."""
        return self._source.read(video, stream, name, start, stop)

    def arrays(self, video: str, stream: str) -> dict[str, np.ndarray]:
        """All arrays of a stream: features (T, D) and t_center (T,) in seconds, or what else it holds."""
        return {name: self.array(video, stream, name) for name in self._source.names(video, stream)}

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        """How a stream was made: fps, window, stride, duration_s, feature_id, ...; reads its part."""
        return self._source.attributes(video, stream)

    def digests(self, video: str, stream: str) -> dict[str, str]:
        """sha256 of the data of each array, as stored with it; none for .npy files."""
        return self._source.digests(video, stream)

    def grid(self, video: str, stream: str | None = None) -> ClipGrid:
        """Where the steps of a video sit in time; by default of "rgb", or of its first stream of features."""
        if stream is None:
            of_features = [name for name in self.streams(video) if self.row(video, name).num_steps >= 0]
            stream = next(iter(sorted(of_features, key=lambda name: name != "rgb")), "rgb")
        times = self.array(video, stream, "t_center")
        attributes = self.attributes(video, stream)
        if "fps" in attributes and "stride" in attributes:
            return ClipGrid(times, attributes["stride"] / attributes["fps"])
        if len(times) > 1:
            return ClipGrid(times, (times[-1] - times[0]) / (len(times) - 1))
        raise StoreError(f"{self.path}: {stream} of video {video!r} has one step and no fps and stride to place it by")

    def duration_s(self, video: str) -> float:
        """Length of the video in seconds; of .npy files the longest that fits the number of steps."""
        lengths = [self.row(video, stream).duration_s for stream in self.streams(video)]
        known = [length for length in lengths if np.isfinite(length)]
        if not known:
            raise StoreError(f"{self.path}: the duration of video {video!r} is not known; open it with its fps")
        return known[0]

    def feature_id(self, stream: str) -> str:
        """What made the features of a stream (backbone, weights, preprocessing); StoreError if videos differ in it."""
        videos_of: dict[str, list[str]] = {}
        for (video, name), row in self._source.rows.items():
            if name == stream:
                videos_of.setdefault(row.feature_id, []).append(video)
        if not videos_of:
            raise StoreError(f"{self.path}: no video has a stream {stream!r}")
        if len(videos_of) > 1:
            raise StoreError(f"{self.path}: {belonging.mixed(stream, videos_of)}")
        return next(iter(videos_of))

    def check(self, videos: Iterable[str], streams: Iterable[str]) -> None:
        """Raises one StoreError that names every video whose streams are missing or do not belong together.

        Reads the table alone, so it takes milliseconds; NaN is looked for when features are read.
        """
        belonging.check(self, list(videos), list(streams))

    def close(self) -> None:
        self._source.close()
