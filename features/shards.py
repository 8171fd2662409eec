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

from features.commit import DISK_ERRORS, whole_file
from features.index import build_index
from features.layout import SCHEMA, StoreError, group_name, part_path, parts_folder, shards_folder
from features.parts import damaged_arrays, fingerprint
from features.table import Row, read_rows, write_table


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
    with h5py.File(store, "r", locking=False) as source:
        return _copy(source, read_rows(store), target, "single")


def _copy(source: h5py.File, rows: Sequence[Row], target: Path, kind: str) -> Path:
    """Copies the groups of rows into a new file that appears whole, table last."""
    with whole_file(target) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["schema"] = SCHEMA
            file.attrs["kind"] = kind
            for row in tqdm(rows, desc=target.name, unit=" parts", disable=len(rows) < 50):
                name = group_name(row.video, row.stream)
                try:
                    group = source[name]
                    damaged = damaged_arrays(group)
                    source.copy(group, file.require_group(name.rsplit("/", 1)[0]), row.stream)
                except (OSError, KeyError) as error:
                    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                        raise
                    raise StoreError(
                        f"{source.filename}: {row.stream} of video {row.video!r} cannot be read ({error}). "
                        f"See features.verify; nothing was packed into {target}."
                    ) from error
                if damaged:
                    raise StoreError(
                        f"{source.filename}: {row.stream} of video {row.video!r}: the data of {', '.join(damaged)} "
                        f"do not match their sha256. Delete {part_path(Path(source.filename), row.video, row.stream)} "
                        f"and repeat the command that made it; nothing was packed into {target}."
                    )
            write_table(file, rows)
        _read_back(temporary, rows)
    return target


def _read_back(path: Path, rows: Sequence[Row]) -> None:
    """HDF5 can report success on a disk that was full: what was written must be readable before it counts."""
    with h5py.File(path, "r", locking=False) as file:
        for row in rows:
            damaged = damaged_arrays(file[group_name(row.video, row.stream)])
            if damaged:
                raise OSError(errno.EIO, f"{row.stream} of {row.video!r} does not read back as written", str(path))
