"""How a feature store lies on disk: schema, folders and names.

    features/thumos.h5                                  the index (features/storage/index.py), the name a user knows
    features/thumos.parts/rgb/video_test_0000004.h5     a part (features/storage/parts.py), by percent-encoded video
    features/thumos.shards/00003-of-00016-<digest>.h5   parts packed together (features/storage/shards.py)
    features/thumos.reports/extract.rgb.json            what the runs did (features/running/report.py)
    features/thumos.cache/parts.json                    what need not be found out again (features/files/known.py)

In every HDF5 file of a store the arrays of a stream lie in the group /videos/<video>/<stream>, and the table /index
(features/storage/table.py) says what the file holds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

from command.errors import FlowlessError

SCHEMA = "flowless/1"
IMPORTED = "imported"  # attribute `origin` of features that were made elsewhere
LONGEST_NAME = 252  # bytes; with ".h5" at its end a file name has at most 255


class StoreError(FlowlessError):
    """A feature store that cannot be read, or does not hold what is asked of it."""


class DamagedParts(StoreError):
    """Files of a store that cannot be read; the rest was done."""


def parts_folder(store: Path) -> Path:
    """Beside the store: one HDF5 file for each video and stream."""
    return Path(store).with_suffix(".parts")


def shards_folder(store: Path) -> Path:
    """Beside the store: what `features.pack` made of its parts."""
    return Path(store).with_suffix(".shards")


def reports_folder(store: Path) -> Path:
    """Beside the store: what each command said of its run."""
    return Path(store).with_suffix(".reports")


def cache_folder(store: Path) -> Path:
    """Beside the store: locks, and what is known of files; made anew where it is gone."""
    return Path(store).with_suffix(".cache")


def part_path(store: Path, video: str, stream: str) -> Path:
    """Where the part of a video and stream lies, or would; the name is escaped and cut to what a file may be called."""
    return parts_folder(store) / stream / f"{_file_name(video)}.h5"


def _file_name(video: str) -> str:
    """The encoded id; of one too long for a file name its beginning and its hash, which no other id has."""
    name = encode(video)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(video.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    beginning = name[:100]
    return f"{beginning[: beginning.rfind('%', 98)] if '%' in beginning[98:] else beginning}~{digest}"


def group_name(video: str, stream: str) -> str:
    """Where the part is in an HDF5 file of many."""
    return f"videos/{encode(video)}/{stream}"


def encode(video: str) -> str:
    """A video id as one name for files and groups: percent-encoded, slashes too, and never "." or ".."."""
    name = quote(video, safe="", errors="surrogateescape")
    return name.replace(".", "%2E") if name in {".", ".."} else name
