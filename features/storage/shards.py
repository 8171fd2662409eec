"""Packs the many parts of a store into few files: shards behind the same index, or one self-contained file.

Data are copied as they lie (compression included) and hashed on the way; a part that does not match its own sha256 is
never packed. The same parts give the same bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import h5py
from tqdm import tqdm

from command.writing import DISK_ERRORS, whole_file
from features.files.layout import SCHEMA, StoreError, group_name, part_path, parts_folder, shards_folder
from features.storage.container import new_group, on_disk, read_attribute, read_attributes, write_attribute
from features.storage.index import build_index
from features.storage.integrity import altered
from features.storage.parts import fingerprint
from features.storage.table import TableRow, read_rows, write_table


def write_shards(store: Path, count: int, keep_parts: bool = True) -> list[Path]:
    """Packs all videos of an index into `count` shards, points the index at them, drops shards of an earlier packing.

    Shards are named by their contents: nothing that the old index needs is overwritten, and a packing that was
    interrupted is repeated. With keep_parts False the parts are deleted last, once the new index stands.
    """
    build_index(store)  # parts made since the last one are packed too
    rows = read_rows(store)
    videos = sorted({row.video for row in rows})
    count = min(count, len(videos))
    folder = shards_folder(store)
    old = set(folder.glob("*.h5"))
    shards = []
    with h5py.File(store, "r", locking=False) as source:
        for number in range(count):
            mine = {video for place, video in enumerate(videos) if place * count // len(videos) == number}
            chosen = [row for row in rows if row.video in mine]
            contents = fingerprint({"rows": [(row.video, row.stream, row.digest, row.fingerprint) for row in chosen]})
            target = folder / f"{number:05d}-of-{count:05d}-{contents}.h5"
            if target not in old:
                _copy(source, chosen, target, "shard")
            shards.append(target)
    outdated = old - set(shards)
    build_index(store, without=outdated)
    for shard in outdated:
        shard.unlink()
    if not keep_parts:
        _remove_parts(store, shards)
    return shards


def _remove_parts(store: Path, shards: Sequence[Path]) -> None:
    """Deletes the parts whose contents lie in the shards."""
    for row in [row for shard in shards for row in read_rows(shard)]:
        path = part_path(store, row.video, row.stream)
        if path.exists() and [one.fingerprint for one in read_rows(path)] == [row.fingerprint]:
            path.unlink()
    for stream in sorted(parts_folder(store).glob("*")):
        if not any(stream.iterdir()):
            stream.rmdir()


def write_single(store: Path, target: Path) -> Path:
    """Copies every video and stream of a store into one file that needs no other."""
    if target.resolve() == store.resolve():
        raise StoreError(f"{target}: the single file would replace the index it is made from; give it another name")
    rows = read_rows(store)
    with h5py.File(store, "r", locking=False) as source:
        return _copy(source, rows, target, "single")


def _copy(source: h5py.File, rows: Sequence[TableRow], target: Path, kind: str) -> Path:
    """Copies the groups of rows into a new file that appears whole, table last."""
    with whole_file(target) as temporary:
        with on_disk(temporary) as file:
            write_attribute(file, "schema", SCHEMA)
            write_attribute(file, "kind", kind)
            for row in tqdm(rows, desc=target.name, unit=" parts", disable=len(rows) < 50):
                _copy_part(source, row, file, target)
            write_table(file, rows)
        _read_back(temporary, rows)
    return target


def _copy_part(source: h5py.File, row: TableRow, file: h5py.File, target: Path) -> None:
    """Copies the group of a row once it is known to be as it was written."""
    name = group_name(row.video, row.stream)
    try:
        group = source[name]
        damage = altered(group, row)
        if not damage:
            copy = new_group(file, name)
            for array, dataset in sorted(group.items()):
                source.copy(dataset, copy, array, without_attrs=True)
                write_attribute(copy[array], "sha256", read_attribute(dataset, "sha256"))
            for attribute, value in read_attributes(group).items():
                write_attribute(copy, attribute, value)
    except Exception as error:  # HDF5 and NumPy raise whatever comes of bytes that were altered
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        damage = f"it cannot be read ({error})"
    if damage:
        raise StoreError(
            f"{source.filename}: {row.stream} of video {row.video!r}: {damage}. See features.verify for all such parts "
            f"and their remedies; nothing was packed into {target}."
        )


def _read_back(path: Path, rows: Sequence[TableRow]) -> None:
    """HDF5 can report success on a disk that was full: what was written must be readable before it counts."""
    with h5py.File(path, "r", locking=False) as file:
        for row in rows:
            if altered(file[group_name(row.video, row.stream)], row):
                raise OSError(errno.EIO, f"{row.stream} of {row.video!r} does not read back as written", str(path))
