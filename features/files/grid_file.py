"""grid.json: what a directory of arrays cannot say itself, namely window, stride and the frame rate of each video.

    {"window": 16, "stride": 8, "fps": {"video_1": 25.0}}

features.export leaves it beside the arrays; features.open and features.importer read it. "fps" may be one number for
all videos, and each of the three may be left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from command.writing import write_whole
from features.files.layout import StoreError
from features.files.strict_json import positive, positive_int, read_json

GRID_FILE = "grid.json"
WINDOW, STRIDE = 16, 4  # ActionFormer's features of THUMOS'14, for want of anything better
SAME_RATE = 2e-3  # 29.97 and 30 are two ways to write one rate


@dataclass(frozen=True)
class GridFile:
    """Window and stride in frames, frames per second; None, or no entry, where the file does not say."""

    window: int | None = None
    stride: int | None = None
    fps: Mapping[str, float] = field(default_factory=dict)  # by video
    any_fps: float | None = None  # one for all

    def rate(self, video: str) -> float | None:
        """Frames per second of a video, None where the file does not tell."""
        return self.fps.get(video, self.any_fps)


def read_grid_file(folder: Path) -> GridFile:
    """The grid.json of a directory; one that says nothing where there is none. StoreError if it is not one."""
    path = folder / GRID_FILE
    if not path.exists():
        return GridFile()
    found = read_json(path)
    if not isinstance(found, dict):
        raise StoreError(f'{path}: expected an object {{"window": 16, "stride": 4, "fps": {{video: rate}}}}')
    window, stride = (
        None if found.get(name) is None else positive_int(found[name], f"{path}: {name}")
        for name in ("window", "stride")
    )
    rates = found.get("fps")
    if rates is None:
        return GridFile(window, stride)
    if not isinstance(rates, dict):
        return GridFile(window, stride, any_fps=positive(rates, f"{path}: fps"))
    fps = {video: positive(rate, f"{path}: fps of video {video!r:.100}") for video, rate in rates.items()}
    return GridFile(window, stride, fps)


def write_grid_file(folder: Path, window: int, stride: int, fps: Mapping[str, float]) -> Path:
    """Writes grid.json beside .npy files; fps by video. The file appears whole or not at all."""
    values = {"window": window, "stride": stride, "fps": dict(fps)}
    return write_whole(folder / GRID_FILE, json.dumps(values, indent=1, sort_keys=True).encode())


def agreed(name: str, given: float | None, found: float | None, giver: str, finder: str) -> float | None:
    """The one value of two sources that must not differ; the found one counts. StoreError names both."""
    if given is None or found is None:
        return given if found is None else found
    if not math.isclose(given, found, rel_tol=SAME_RATE):
        raise StoreError(
            f"{name}: {finder} says {found:g}, but {giver} is {given:g}. One of the two is wrong, and with it every "
            "time: correct it"
        )
    return found
