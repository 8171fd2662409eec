"""The table /index in every file of a store: what it holds, one row per video and stream.

Training opens a store of thousands of videos by its table alone; parts are opened when their arrays are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from features.files.layout import SCHEMA, StoreError
from features.storage.container import read_labelled, write_attribute


@dataclass(frozen=True)
class TableRow:
    """One stream of one video, as far as can be told without opening its part."""

    video: str
    stream: str
    fingerprint: str
    feature_id: str
    video_sha256: str
    geometry: str
    grid: str  # digest of the clip times; empty for streams that are not features
    num_steps: int  # -1 for streams that are not features
    fps: float
    duration_s: float
    digest: str  # of all attributes and arrays, see digest_of


class StoredArray(NamedTuple):
    """What an HDF5 file says of an array before its data are read."""

    dtype: str  # as NumPy writes it: "<f2"
    shape: tuple[int, ...]
    sha256: str  # of the data


def describe(video: str, stream: str, attributes: Mapping[str, Any], arrays: Mapping[str, StoredArray]) -> TableRow:
    """The row of a stream, from its attributes and what is said of its arrays."""
    is_features = "features" in arrays
    return TableRow(
        video=video,
        stream=stream,
        fingerprint=str(attributes["fingerprint"]),
        feature_id=str(attributes.get("feature_id", "")),
        video_sha256=str(attributes.get("video_sha256", "")),
        geometry=str(attributes.get("geometry", "")),
        grid=arrays["t_center"].sha256[:16] if is_features else "",
        num_steps=arrays["features"].shape[0] if is_features else -1,
        fps=float(attributes.get("fps", float("nan"))),
        duration_s=float(attributes.get("duration_s", float("nan"))),
        digest=digest_of(attributes, arrays),
    )


def digest_of(attributes: Mapping[str, Any], arrays: Mapping[str, StoredArray]) -> str:
    """The sha256 that changes with any attribute, and with the name, type, shape or data of any array."""
    contents = {"attributes": dict(attributes), "arrays": {name: list(array) for name, array in arrays.items()}}
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def digest_of_data(arrays: Mapping[str, StoredArray]) -> str:
    """The digest of parts written before attributes were under it."""
    text = "".join(f"{name}:{arrays[name].sha256};" for name in sorted(arrays))
    return hashlib.sha256(text.encode()).hexdigest()


def write_table(file: h5py.File, rows: Iterable[TableRow]) -> None:
    """Stores the rows as one compound dataset, text as UTF-8 of fixed width."""
    columns = list(zip(*(astuple(row) for row in rows), strict=True))
    arrays = {}
    for field, values in zip(fields(TableRow), columns, strict=True):
        text = isinstance(values[0], str)
        arrays[field.name] = np.char.encode(np.array(values), "utf-8", "surrogateescape") if text else np.array(values)
    widths = [
        (name, f"S{max(1, array.dtype.itemsize)}" if array.dtype.kind == "S" else array.dtype)
        for name, array in arrays.items()
    ]
    table = np.zeros(len(columns[0]), dtype=widths)
    for name, array in arrays.items():
        table[name] = array
    dataset = file.create_dataset("index", data=table, track_times=False)
    write_attribute(dataset, "sha256", hashlib.sha256(table.tobytes()).hexdigest())


def read_rows(path: Path) -> list[TableRow]:
    """The rows of a file of a store; StoreError if it is none, or was altered."""
    try:
        schema, table, stored = read_labelled(path, "index", "schema", "sha256")
        if schema != SCHEMA:
            raise StoreError(
                f"{path}: schema {schema or 'none'!r}, expected {SCHEMA!r}. Make this store anew, or bring its "
                "features in as .npy files with features.importer."
            )
        if table is None:
            raise ValueError("it has no table")
        if stored and stored != hashlib.sha256(table.tobytes()).hexdigest():  # older files have none
            raise ValueError("its table does not match its sha256")
        return _rows_of_table(table)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except StoreError:
        raise
    except Exception as error:  # HDF5 and NumPy raise whatever comes of bytes that were altered
        raise StoreError(
            f"{path}: not a readable HDF5 file of a store, probably cut short or altered ({error}). Fetch it again, or "
            "delete it and repeat the command that made it."
        ) from error


def _rows_of_table(table: np.ndarray) -> list[TableRow]:
    ordered = table[[field.name for field in fields(TableRow)]].tolist()
    return [TableRow(*map(_plain, values)) for values in ordered]


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
