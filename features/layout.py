"""How a feature store lies on disk: schema, folders and names.

    features/thumos.h5                                  the index (features/index.py), the name a user knows
    features/thumos.parts/rgb/video_test_0000004.h5     a part (features/parts.py), named by its percent-encoded video
    features/thumos.shards/00003-of-00016-<digest>.h5   parts packed together (features/shards.py)
    features/thumos.reports/extract.rgb.json            what the runs did (features/report.py)

In every HDF5 file of a store the arrays of a stream lie in the group /videos/<video>/<stream>, and the table /index
(features/table.py) says what the file holds.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

SCHEMA = "flowless/1"


class StoreError(Exception):
    """A feature store that cannot be read, or does not hold what is asked of it."""


def parts_folder(store: Path) -> Path:
    return Path(store).with_suffix(".parts")


def shards_folder(store: Path) -> Path:
    return Path(store).with_suffix(".shards")


def reports_folder(store: Path) -> Path:
    return Path(store).with_suffix(".reports")


def part_path(store: Path, video: str, stream: str) -> Path:
    return parts_folder(store) / stream / f"{encode(video)}.h5"


def group_name(video: str, stream: str) -> str:
    return f"videos/{encode(video)}/{stream}"


def encode(video: str) -> str:
    """A video id as one name for files and groups: percent-encoded, slashes too, and never "." or ".."."""
    name = quote(video, safe="")
    return name.replace(".", "%2E") if name in {".", ".."} else name
