"""Durations and frame rates of annotated videos: all that an import needs of an annotation file.

Reads ActivityNet's layout (`database` -> video -> `duration`, `fps`) and mmaction2's (video -> `duration_second`, `fps`
or `duration_frame`). Labels and segments are none of this page's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from features.files.layout import StoreError
from features.files.strict_json import positive, read_json


class Known(NamedTuple):
    """What an annotation file says of a video's time; None where it is silent."""

    duration_s: float | None = None
    fps: float | None = None


def read_annotated(path: Path) -> dict[str, Known]:
    """The videos of an annotation file; StoreError names the file, the video and what was expected."""
    root = read_json(path)
    expected = (
        f"{path}: expected annotations, database -> video -> duration, fps, or mmaction2's video -> duration_second"
    )
    if not isinstance(root, dict):
        raise StoreError(expected)
    database = root.get("database")
    if database is None and root and all(isinstance(row, dict) and "duration_second" in row for row in root.values()):
        database = root
    if not isinstance(database, dict):
        raise StoreError(f"{expected}; found the keys {', '.join(f'{key!r:.40}' for key in list(root)[:5]) or 'none'}")
    return {video: _known(path, video, row) for video, row in database.items()}


def _known(path: Path, video: str, row: Any) -> Known:
    where = f"{path}: video {video!r:.100}"
    if not isinstance(row, dict):
        raise StoreError(f"{where}: expected an object with duration and fps, found {type(row).__name__}")

    def number(*names: str) -> float | None:
        return next((positive(row[name], f"{where}: {name}") for name in names if row.get(name) is not None), None)

    duration_s, fps, frames = number("duration", "duration_second"), number("fps"), number("duration_frame")
    if fps is None and frames and duration_s:
        fps = frames / duration_s
    return Known(duration_s, fps)
