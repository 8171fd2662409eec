"""Reads a directory of .npy files, one (T, D) array per video, as ActionFormer and its kin publish their features.

    video_test_0000004.npy   2048 columns: "rgb" the first 1024, "flow" the others; any other width: "rgb" alone

The files say nothing about time: frame rate, window and stride are the caller's, or those of the grid.json that
features.export leaves beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.grid import ClipGrid
from features.layout import StoreError
from features.parts import fingerprint
from features.table import Row

GRID_FILE = "grid.json"
TWO_STREAM = 2048  # columns of a two-stream I3D file: RGB, then flow


class NpySource:
    """The streams of a directory of .npy files; file headers alone are read when it is opened."""

    def __init__(self, path: Path, fps: float | Mapping[str, float] | None, window: int, stride: int) -> None:
        self.path, self.fps, self.window, self.stride = path, fps, window, stride
        if fps is None and (path / GRID_FILE).is_file():
            grid = json.loads((path / GRID_FILE).read_text())
            self.fps, self.window, self.stride = grid["fps"], grid["window"], grid["stride"]
        files = sorted(path.rglob("*.npy"))
        if not files:
            raise StoreError(f"{path}: a directory without .npy files; expected one (T, D) array per video")
        self.files = {file.relative_to(path).with_suffix("").as_posix(): file for file in files}
        self.rows: dict[tuple[str, str], Row] = {}
        for video, file in self.files.items():
            num_steps, width = self._shape(file)
            for stream in ("rgb", "flow") if width == TWO_STREAM else ("rgb",):
                self.rows[video, stream] = self._row(video, stream, num_steps, width)

    def row(self, video: str, stream: str) -> Row:
        if (video, stream) not in self.rows:
            raise StoreError(
                f"{self.path}: no {stream!r} of video {video!r}: expected {self.path / video}.npy"
                + (f" with {TWO_STREAM} columns, RGB then flow" if stream == "flow" else "")
            )
        return self.rows[video, stream]

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        row = self.row(video, stream)
        attributes = {
            "fingerprint": row.fingerprint,
            "feature_id": row.feature_id,
            "window": self.window,
            "stride": self.stride,
        }
        if np.isfinite(row.fps):
            attributes |= {"fps": row.fps, "duration_s": row.duration_s}
        return attributes

    def names(self, video: str, stream: str) -> tuple[str, ...]:
        self.row(video, stream)
        return ("features", "t_center")

    def digests(self, video: str, stream: str) -> dict[str, str]:
        return {}  # nothing to hold the files to

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
        array = np.load(self.files[video], mmap_mode="r")
        if array.shape[1] == TWO_STREAM:
            array = array[:, TWO_STREAM // 2 :] if stream == "flow" else array[:, : TWO_STREAM // 2]
        return np.array(array[start:stop])

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _shape(self, file: Path) -> tuple[int, int]:
        try:
            array = np.load(file, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{file}: not a readable .npy file ({error}). Fetch it again.") from error
        if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
            raise StoreError(f"{file}: expected a (T, D) array of floats, got {array.shape} {array.dtype}")
        return array.shape

    def _row(self, video: str, stream: str, num_steps: int, width: int) -> Row:
        fps = self.fps.get(video, float("nan")) if isinstance(self.fps, Mapping) else self.fps or float("nan")
        settings = {"npy": stream, "columns": width, "window": self.window, "stride": self.stride}
        return Row(
            video=video,
            stream=stream,
            fingerprint=fingerprint({**settings, "video": video, "steps": num_steps}),
            feature_id=fingerprint(settings),
            video_sha256="",
            geometry="",
            grid="",
            num_steps=num_steps,
            fps=float(fps),
            # The longest video that gives this many clips, so that clamping to it cuts no detection short.
            duration_s=(num_steps * self.stride + self.window) / float(fps),
            digest="",
        )
