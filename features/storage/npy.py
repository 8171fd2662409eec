"""Reads a directory of .npy files, one (T, D) array per video, as ActionFormer and its kin publish their features.

    video_test_0000004.npy   2048 columns: "rgb" the first 1024, "flow" the others; any other width: "rgb" alone
    rgb/video.npy, flow/video.npy                          a folder for each cue

The files say nothing about time: frame rate, window and stride are those of the grid.json that features.export leaves
beside them, or the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.files.array_file import native, read_array, shape_of
from features.files.found import Found, find, refuse_twice, walk
from features.files.grid_file import GRID_FILE, STRIDE, WINDOW, GridFile, agreed, read_grid_file
from features.files.layout import IMPORTED, StoreError
from features.storage.grid import ClipGrid
from features.storage.parts import fingerprint
from features.storage.table import TableRow

TWO_STREAM = 2048  # columns of a two-stream I3D file: RGB, then flow
_SHOWN = 5  # files listed in one message


class NpySource:
    """The streams of a directory of .npy files; file headers alone are read when it is opened."""

    def __init__(
        self, path: Path, fps: float | Mapping[str, float] | None, window: int | None, stride: int | None
    ) -> None:
        self.path = path
        found = _files(path)
        grid = read_grid_file(path)
        self.window, self.stride, self.remarks = _clips(path, grid, window, stride)
        shapes = _shapes(found)
        refuse_transposed(path, list(shapes.values()))
        self._columns: dict[tuple[str, str], tuple[Path, slice]] = {}
        self.rows: dict[tuple[str, str], TableRow] = {}
        for one in found:
            num_steps, width = shapes[one.file]
            rate = _rate(path, one.video, grid, fps)
            for stream, columns in default_columns(width, one.stream).items():
                self._columns[one.video, stream] = (one.file, columns)
                self.rows[one.video, stream] = self._row(one.video, stream, num_steps, width, rate)

    def row(self, video: str, stream: str) -> TableRow:
        if (video, stream) not in self.rows:
            raise StoreError(
                f"{self.path}: no {stream!r} of video {video!r}: expected {self.path / video}.npy"
                + (f" with {TWO_STREAM} columns, RGB then flow, or rgb/ and flow/ apart" if stream == "flow" else "")
            )
        return self.rows[video, stream]

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        row = self.row(video, stream)
        attributes = {
            "fingerprint": row.fingerprint,
            "feature_id": row.feature_id,
            "window": self.window,
            "stride": self.stride,
            "origin": IMPORTED,
            "imported_from": str(self._columns[video, stream][0]),
        }
        if np.isfinite(row.fps):
            attributes |= {"fps": row.fps, "duration_s": row.duration_s}
        return attributes

    def names(self, video: str, stream: str) -> tuple[str, ...]:
        self.row(video, stream)
        return ("features", "t_center")

    def digests(self, video: str, stream: str) -> dict[str, str]:
        return {}  # nothing to check the files against

    def known_finite(self, video: str, stream: str) -> bool:
        return False

    def read(self, video: str, stream: str, name: str, start: int | None, stop: int | None) -> np.ndarray:
        row = self.row(video, stream)
        if name == "t_center":
            if not np.isfinite(row.fps):
                raise StoreError(
                    f"{self.path}: .npy files say nothing about time: open the directory with the frame rate of video "
                    f"{video!r}, features.open(path, fps=30.0, window=16, stride=4) or fps={{video: rate}}"
                )
            return ClipGrid.regular(row.num_steps, row.fps, self.window, self.stride).t_center[start:stop]
        if name != "features":
            raise StoreError(f"{self.path}: {stream} of video {video!r} holds features and t_center, not {name!r}")
        file, columns = self._columns[video, stream]
        array = read_array(file)
        if len(array) != row.num_steps:
            raise StoreError(f"{file}: {row.num_steps} steps when the directory was opened, now {len(array)}")
        return native(array[start:stop, columns])

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _row(self, video: str, stream: str, num_steps: int, width: int, fps: float) -> TableRow:
        settings = {"npy": stream, "columns": width, "window": self.window, "stride": self.stride}
        return TableRow(
            video=video,
            stream=stream,
            fingerprint=fingerprint({**settings, "video": video, "steps": num_steps}),
            feature_id=fingerprint(settings),
            video_sha256="",
            geometry="",
            grid="",
            num_steps=num_steps,
            fps=fps,
            # The longest video that gives this many clips, so that clamping to it cuts no detection short.
            duration_s=(num_steps * self.stride + self.window) / fps,
            digest="",
        )


def default_columns(width: int, stream: str | None = None) -> dict[str, slice]:
    """Which columns are which stream: all of the stream that a file's name says, else by their number."""
    if stream is None and width == TWO_STREAM:
        return {"rgb": slice(0, TWO_STREAM // 2), "flow": slice(TWO_STREAM // 2, TWO_STREAM)}
    return {stream or "rgb": slice(0, width)}


def refuse_transposed(path: Path, shapes: Sequence[tuple[int, int]]) -> None:
    """StoreError if all sequences have the same number of rows, but not of columns: (D, T) for (T, D)."""
    rows, columns = {shape[0] for shape in shapes}, sorted({shape[1] for shape in shapes})
    if len(rows) > 1 or len(columns) < 2 or set(columns) <= {TWO_STREAM // 2, TWO_STREAM}:
        return
    shown = ", ".join(map(str, columns[:3])) + (" ..." if len(columns) > 3 else "")
    raise StoreError(
        f"{path}: the files have {shown} columns and all have {rows.pop()} rows: they look transposed, expected "
        f"(T, D). Turn them on the way into a store: features.importer --npy {path} --layout DT"
    )


def _files(path: Path) -> list[Found]:
    found = find(path, (".npy",))
    if not found:
        others = [file.suffix for file in walk(path) if file.suffix in (".npz", ".csv")]
        if others:
            option = "--csv" if others[0] == ".csv" else "--npy"
            raise StoreError(
                f"{path}: {len(others)} {others[0]} files and no .npy. Bring them into a store, which can be opened: "
                f"python -m features.importer {option} {path} --features {path.name}.h5"
            )
        raise StoreError(f"{path}: a directory without .npy files; expected one (T, D) array per video")
    timed = [one for one in found if one.of_video_features or one.file.stem != Path(one.video).name]
    if timed:
        raise StoreError(
            f"{path}: a folder as video_features writes it ({timed[0].file.name} ...). Bring it into a store, which "
            f"takes cues, rates and times from the files: python -m features.importer --npy {path} --features "
            f"{path.name}.h5" + ("" if all(one.rate for one in timed) else " --fps RATE (or --annotations)")
        )
    return found


def _shapes(found: Sequence[Found]) -> dict[Path, tuple[int, int]]:
    """(T, D) of each file; one StoreError names all that cannot be read."""
    shapes, problems = {}, []
    for one in found:
        try:
            num_steps, width = shape_of(one.file)
            shapes[one.file] = (num_steps, width)
        except StoreError as error:
            problems.append(str(error))
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more of {len(found)} files" if len(problems) > _SHOWN else ""
        raise StoreError("\n".join(problems[:_SHOWN]) + more)
    refuse_twice(
        [(one.video, stream, one.file) for one in found for stream in default_columns(shapes[one.file][1], one.stream)]
    )
    return shapes


def _clips(path: Path, grid: GridFile, window: int | None, stride: int | None) -> tuple[int, int, tuple[str, ...]]:
    """Window and stride as given or as in grid.json, and a remark where neither knows them."""
    beside = str(path / GRID_FILE)
    settled: dict[str, int | None] = {}
    for name, given, found in (("window", window, grid.window), ("stride", stride, grid.stride)):
        value = agreed(name, given, found, f"the {name} given", beside)
        settled[name] = None if value is None else int(value)
    unknown = [name for name, value in settled.items() if value is None]
    remark = (
        f"{path}: the {' and the '.join(unknown)} of these features is not known; taken for ActionFormer's, "
        f"window {WINDOW} and stride {STRIDE} frames. Say what they are, or every time is wrong"
    )
    return settled["window"] or WINDOW, settled["stride"] or STRIDE, (remark,) if unknown else ()


def _rate(path: Path, video: str, grid: GridFile, fps: float | Mapping[str, float] | None) -> float:
    """Frames per second of a video, nan if nobody knows them."""
    given = fps.get(video) if isinstance(fps, Mapping) else fps
    rate = agreed(f"fps of video {video!r}", given or None, grid.rate(video), "the rate given", str(path / GRID_FILE))
    return float("nan") if rate is None else float(rate)
