"""The file a user names: an index of relative links to parts and shards, and a table of what they hold.

The index is made from the files that are there, sorted, and from nothing else: however a run was interrupted and
resumed, and on however many machines it ran, the same parts give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import h5py
import numpy as np

from features.commit import sweep, write_whole
from features.parts import SCHEMA, StoreError, decode, file_image, group_name, in_memory, parts_folder, read_attributes


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


def shards_folder(store: Path) -> Path:
    return Path(store).with_suffix(".shards")


def build_index(store: Path, without: Container[Path] = ()) -> Path:
    """Writes the index of all parts and shards of the store. A part counts more than a shard, unless they are equal.

    without: shards that are about to go.
    """
    store = Path(store)
    refuse_single(store)
    sweep(parts_folder(store))
    entries: dict[tuple[str, str], tuple[Row, Path]] = {}
    shards = [path for path in sorted(shards_folder(store).glob("*.h5")) if path not in without]
    for path in [*shards, *sorted(parts_folder(store).glob("*/*.h5"))]:
        for row in read_rows(path):
            known = entries.get((row.video, row.stream))
            if known is None or known[0].fingerprint != row.fingerprint:
                entries[row.video, row.stream] = (row, path)
    if not entries:
        raise StoreError(f"{store}: nothing to index: no parts in {parts_folder(store)}. Run an extraction first.")
    ordered = [entries[key] for key in sorted(entries)]
    with in_memory() as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["kind"] = "index"
        for row, path in ordered:
            name = group_name(row.video, row.stream)
            relative = Path(os.path.relpath(path, store.parent)).as_posix()
            file.require_group(name.rsplit("/", 1)[0])[row.stream] = h5py.ExternalLink(relative, name)
        write_table(file, [row for row, _ in ordered])
        image = file_image(file)
    return write_whole(store, image)


def refuse_single(store: Path) -> None:
    """An index must not be written over a file that holds the features themselves."""
    if not Path(store).is_file():
        return
    try:
        with h5py.File(store, "r", locking=False) as file:
            single = file.attrs.get("kind") == "single"
    except OSError:
        return  # not HDF5 at all, or cut short: the index replaces it
    if single:
        raise StoreError(
            f"{store} is a single self-contained file and would be overwritten by an index. Name another store with "
            "--features, or move this file away first."
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
    """The rows of a file: from its table if it has one, else from the groups themselves. StoreError if unreadable."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            schema = file.attrs.get("schema", "none")
            if schema != SCHEMA:
                raise StoreError(
                    f"{path}: schema {schema!r}, expected {SCHEMA!r}. Extract the features anew, or bring them in as "
                    ".npy files with features.importer."
                )
            if "index" in file:
                return _rows_of_table(file["index"][()])
            return [
                describe(decode(video), stream, group)
                for video, streams in sorted(file["videos"].items())
                for stream, group in sorted(streams.items())
            ]
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except (OSError, KeyError) as error:
        raise StoreError(
            f"{path}: not a readable HDF5 file, probably cut short ({error}). Delete it and repeat the command that "
            "made it, or fetch it again."
        ) from error


def describe(video: str, stream: str, group: h5py.Group) -> Row:
    """The row of an open group."""
    attributes = read_attributes(group)
    digests = "".join(f"{name}:{array.attrs['sha256']};" for name, array in sorted(group.items()))
    is_features = "features" in group
    return Row(
        video=video,
        stream=stream,
        fingerprint=str(attributes["fingerprint"]),
        feature_id=str(attributes.get("feature_id", "")),
        video_sha256=str(attributes.get("video_sha256", "")),
        geometry=str(attributes.get("geometry", "")),
        grid=str(group["t_center"].attrs["sha256"])[:16] if is_features else "",
        num_steps=len(group["features"]) if is_features else -1,
        fps=float(attributes.get("fps", float("nan"))),
        duration_s=float(attributes.get("duration_s", float("nan"))),
        digest=hashlib.sha256(digests.encode()).hexdigest(),
    )


def _rows_of_table(table: np.ndarray) -> list[Row]:
    columns = []
    for field in fields(Row):
        values = table[field.name]
        columns.append(np.char.decode(values, "utf-8").tolist() if values.dtype.kind == "S" else values.tolist())
    return [Row(*values) for values in zip(*columns, strict=True)]
