"""One part file per video and stream: the unit in which work is committed to a feature store.

A part is put together in memory and written as a whole, so no crash can leave half of one, and its bytes depend on its
contents alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from command.writing import write_whole
from features.files.layout import SCHEMA, StoreError, group_name, part_path
from features.storage.container import (
    file_image,
    in_memory,
    new_group,
    read_attribute,
    read_attributes,
    write_attribute,
)
from features.storage.grid import ClipGrid
from features.storage.table import StoredArray, describe, write_table

_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ATTRIBUTE_BYTES = 60_000  # HDF5 keeps an attribute in an object header of at most 64 KB


@dataclass(frozen=True)
class Part:
    """What one video gives to one stream.

    Feature streams hold {"features": (T, D) float16, "t_center": (T,) float64 seconds}; other streams name their own.
    attributes["fingerprint"] says what made this part (settings and video); attributes["feature_id"] of feature streams
    leaves the video out and is the same for a whole stream.
    """

    video: str
    stream: str
    arrays: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any]  # str, int, float, bool, or a list of one of these


def fingerprint(values: Mapping[str, Any]) -> str:
    """16 hex digits that change with any of the values, but not with their order."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_part(store: Path, part: Part, compression: Mapping[str, dict[str, Any]] | None = None) -> Path:
    """Commits a part to the store's folder of parts; an older part of the same video and stream is replaced.

    compression: keywords of h5py's create_dataset by array name (chunks, compression, ...).
    Raises StoreError for contents that no store should hold, OSError when the disk will not take the file.
    """
    target = part_path(store, part.video, part.stream)
    arrays = _checked(part, Path(store))
    with in_memory() as file:
        write_attribute(file, "schema", SCHEMA)
        group = new_group(file, group_name(part.video, part.stream))
        _fill(group, arrays, part.attributes, compression or {})
        write_table(file, [describe(part.video, part.stream, read_attributes(group), stored_arrays(group))])
        image = file_image(file)
    return write_whole(target, image)


def _fill(
    group: h5py.Group,
    arrays: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    compression: Mapping[str, dict[str, Any]],
) -> None:
    """Writes arrays with the sha256 of their data, then attributes, `complete` last, always in one order."""
    for name in sorted(arrays):
        dataset = group.create_dataset(name, data=arrays[name], track_times=False, **compression.get(name, {}))
        write_attribute(dataset, "sha256", array_digest(arrays[name]))
    for name in sorted(set(attributes) - {"complete"}):
        write_attribute(group, name, attributes[name])
    group.attrs["complete"] = True


def stored_arrays(group: h5py.Group) -> dict[str, StoredArray]:
    """What a group says of its arrays; their data are not read."""
    return {
        name: StoredArray(array.dtype.str, tuple(array.shape), read_attribute(array, "sha256"))
        for name, array in sorted(group.items())
    }


def array_digest(array: np.ndarray) -> str:
    """sha256 of the bytes of an array in C order, whatever its layout in memory."""
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"").hexdigest()


def all_finite(features: np.ndarray) -> bool:
    """np.isfinite(features).all(), for float16 from the bits: .3 ms instead of 12 for two thousand steps."""
    if features.dtype != np.float16 or not features.size:
        return bool(np.isfinite(features).all())
    magnitudes = np.ascontiguousarray(features).view(np.uint16) & np.uint16(0x7FFF)
    return int(magnitudes.max()) < 0x7C00  # from here on it is infinity, then NaN


def is_done(store: Path, video: str, stream: str, fingerprint: str) -> bool:
    """Whether the store holds this stream of the video, complete and made in just this way.

    Looks at the part itself, and at the index when the part has been packed away.
    """
    part = part_path(store, video, stream)
    for path in (part, Path(store)):
        try:
            with h5py.File(path, "r", locking=False) as file:
                group = file[group_name(video, stream)]
                made = read_attribute(group, "fingerprint")
                if "index" in file and bool(group.attrs["complete"]) and made == fingerprint:
                    return True
        except Exception:  # not there, or whatever HDF5 makes of altered bytes: it is made anew
            continue
    return False


def _checked(part: Part, store: Path) -> dict[str, np.ndarray]:
    """The arrays as they will be stored, or a StoreError that says what is wrong with them."""

    def refuse(what: str) -> StoreError:
        return StoreError(f"{store}: {part.stream} of video {part.video!r}: {what}")

    if store.suffix not in {".h5", ".hdf5"}:
        raise StoreError(f"{store}: name a feature store with .h5 at its end, e.g. {store}.h5")
    if not part.video or not _STREAM.fullmatch(part.stream):
        raise refuse("a part needs a video id and a stream name of letters, digits, dots and dashes")
    if "fingerprint" not in part.attributes:
        raise refuse('attributes["fingerprint"] is missing; without it nothing could be resumed')
    for name, value in part.attributes.items():
        plain = value if isinstance(value, list) else [value]
        if not all(isinstance(one, (str, int, float, bool, np.integer, np.floating, np.bool_)) for one in plain):
            raise refuse(f"attribute {name} = {value!r}: expected text, a number, a truth value or a list of these")
        if len(json.dumps(plain, default=str)) > _ATTRIBUTE_BYTES:
            raise refuse(f"attribute {name} is larger than HDF5 allows; store it as an array")
    arrays = {name: np.ascontiguousarray(array) for name, array in part.arrays.items()}
    if "features" not in arrays:
        return arrays
    features = arrays["features"]
    if features.ndim != 2 or features.dtype.kind != "f" or len(features) == 0:
        raise refuse(f"features must be (T, D) floats with T > 0; got {features.shape} {features.dtype}")
    with np.errstate(over="ignore"):
        arrays["features"] = features.astype(np.float16, copy=False)
    if not all_finite(arrays["features"]):
        bad = ~np.isfinite(arrays["features"]).all(axis=1)
        raise refuse(
            f"features are NaN, infinite or beyond float16 (65504) at step {int(bad.argmax())} of {len(features)} "
            "(the backbone or its weights gave them); nothing was written"
        )
    try:
        num_times = ClipGrid(arrays["t_center"], 1.0).num_steps
    except (KeyError, ValueError) as error:
        raise refuse(f"t_center must hold the time of each step: {error}") from error
    if num_times != len(features):
        raise refuse(f"{len(features)} feature vectors but {num_times} times in t_center")
    arrays["t_center"] = arrays["t_center"].astype(np.float64, copy=False)
    return arrays
