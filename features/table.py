"""The table /index in every file of a store: what it holds, one row per video and stream.

Training opens a store of thousands of videos by its table alone; parts are opened when their arrays are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.layout import SCHEMA, StoreError


@dataclass(frozen=True)
class Row:
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
    digest: str  # over the data of all arrays


def describe(video: str, stream: str, attributes: Mapping[str, Any], digests: Mapping[str, str], num_steps: int) -> Row:
    """The row of a stream; digests are those of its arrays, num_steps is -1 where these are not features."""
    return Row(
        video=video,
        stream=stream,
        fingerprint=str(attributes["fingerprint"]),
        feature_id=str(attributes.get("feature_id", "")),
        video_sha256=str(attributes.get("video_sha256", "")),
        geometry=str(attributes.get("geometry", "")),
        grid=digests["t_center"][:16] if num_steps >= 0 else "",
        num_steps=num_steps,
        fps=float(attributes.get("fps", float("nan"))),
        duration_s=float(attributes.get("duration_s", float("nan"))),
        digest=hashlib.sha256("".join(f"{name}:{digests[name]};" for name in sorted(digests)).encode()).hexdigest(),
    )


def write_table(file: h5py.File, rows: Iterable[Row]) -> None:
    """Stores the rows as one compound dataset, text as UTF-8 of fixed width."""
    columns = list(zip(*(astuple(row) for row in rows), strict=True))
    arrays = {}
    for field, values in zip(fields(Row), columns, strict=True):
        text = isinstance(values[0], str)
        arrays[field.name] = np.char.encode(np.array(values), "utf-8") if text else np.array(values)
    widths = [
        (name, f"S{max(1, array.dtype.itemsize)}" if array.dtype.kind == "S" else array.dtype)
        for name, array in arrays.items()
    ]
    table = np.zeros(len(columns[0]), dtype=widths)
    for name, array in arrays.items():
        table[name] = array
    file.create_dataset("index", data=table, track_times=False)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of a store; StoreError if it is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            schema = file.attrs.get("schema", "none")
            if schema != SCHEMA:
                raise StoreError(
                    f"{path}: schema {schema!r}, expected {SCHEMA!r}. Extract the features anew, or bring them in as "
                    ".npy files with features.importer."
                )
            return _rows_of_table(file["index"][()])
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except (OSError, KeyError) as error:
        raise StoreError(
            f"{path}: not a readable HDF5 file, probably cut short ({error}). Delete it and repeat the command that "
            "made it, or fetch it again."
        ) from error


def _rows_of_table(table: np.ndarray) -> list[Row]:
    columns = []
    for field in fields(Row):
        values = table[field.name]
        columns.append(np.char.decode(values, "utf-8").tolist() if values.dtype.kind == "S" else values.tolist())
    return [Row(*values) for values in zip(*columns, strict=True)]
