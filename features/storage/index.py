"""The file a user names: an index of relative links to parts and shards, and a table of what they hold.

The index is made from the files that are there, sorted, and from nothing else: however a run was interrupted and
resumed, and on however many machines it ran, the same parts give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from command.writing import locked, sweep_abandoned, write_whole
from features.files.known import FileState, Known, file_state
from features.files.layout import (
    SCHEMA,
    DamagedParts,
    StoreError,
    cache_folder,
    group_name,
    parts_folder,
    shards_folder,
)
from features.storage.container import file_image, in_memory, new_group, read_attribute, write_attribute
from features.storage.table import TableRow, read_rows, write_table

ROUNDS = 20  # of writing the index anew because others finish parts in the meantime


class Contents(NamedTuple):
    """What lies beside an index."""

    entries: dict[tuple[str, str], tuple[TableRow, str]]  # by video and stream: the row and the file that holds it
    damaged: list[str]  # what is wrong with each file that cannot be read

    def digest(self) -> str:
        """Changes with anything that would be another index."""
        listed = [(name, _values(row)) for _, (row, name) in sorted(self.entries.items())]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def build_index(store: Path, without: Container[Path] = ()) -> Path:
    """Writes the index of all parts and shards of the store. A part counts more than a shard, unless they are equal.

    without: shards that are about to go. An index that is right is left alone. Parts that cannot be read are left
    out, and named in DamagedParts once the index stands.
    """
    store = Path(store)
    refuse_losing(store)
    sweep_abandoned(parts_folder(store))
    known = known_parts(store)
    with locked(cache_folder(store)):
        # Where there are no locks, another run may write its older index over ours, or finish a part meanwhile: look
        # again until the index is that of what is there.
        for _ in range(ROUNDS):
            contents = read_contents(store, without, known)
            if not contents.entries:
                damaged = "".join(f"\n  {line}" for line in contents.damaged)
                raise StoreError(
                    f"{store}: nothing to index: no parts in {parts_folder(store)}. Run an extraction first, or bring "
                    f"features in with features.importer.{damaged}"
                )
            digest = contents.digest()
            if _is_index_of(store, digest, known):
                break
            _write(store, contents)
            known.put(store.name, file_state(store), digest)
    known.save()
    if contents.damaged:
        raise DamagedParts(
            f"{store}: {len(contents.damaged)} files could not be read and are not in the index, which is written:\n  "
            + "\n  ".join(contents.damaged)
        )
    return store


def known_parts(store: Path) -> Known:
    """What earlier runs have read of the parts and shards of a store."""
    return Known(cache_folder(store) / "parts.json")


def read_contents(store: Path, without: Container[Path] = (), known: Known | None = None) -> Contents:
    """All parts and shards beside an index, whether it knows them or not; opens those that have changed."""
    keep = known or known_parts(store)
    contents = Contents({}, [])
    for name, state in _files(store):
        if store.parent / name in without:
            continue
        try:
            rows = _rows_of(name, state, store, keep)
        except StoreError as error:
            if (store.parent / name).exists():  # else it is a shard that has just been replaced
                contents.damaged.append(str(error))
            continue
        for row in rows:
            entry = contents.entries.get((row.video, row.stream))
            if entry is None or entry[0].fingerprint != row.fingerprint:
                contents.entries[row.video, row.stream] = (row, name)
    if known is None:
        keep.save()
    return contents


def _files(store: Path) -> Iterator[tuple[str, FileState]]:
    """Shards, then parts, by name relative to the index, in order; the fast way for tens of thousands."""
    parts = parts_folder(store)
    streams = sorted(entry.name for entry in os.scandir(parts) if entry.is_dir()) if parts.is_dir() else []
    for folder in [shards_folder(store), *(parts / stream for stream in streams)]:
        relative = folder.relative_to(store.parent).as_posix()
        try:
            with os.scandir(folder) as entries:
                found = sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith(".h5"))
        except FileNotFoundError:
            continue
        for name, status in found:
            yield f"{relative}/{name}", FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def stored_fingerprints(store: Path) -> dict[tuple[str, str], str]:
    """What made each stream of each video that is there, as `is_done` asks of one; empty if there is no store."""
    return {key: row.fingerprint for key, (row, _) in read_contents(Path(store)).entries.items()}


def _rows_of(name: str, state: FileState, store: Path, known: Known) -> list[TableRow]:
    values = known.get(name, state)
    if values is not None:
        return [TableRow(*one) for one in values]
    rows = read_rows(store.parent / name)
    known.put(name, state, [_values(row) for row in rows])
    return rows


def _values(row: TableRow) -> list[Any]:
    return list(vars(row).values())


def _is_index_of(store: Path, digest: str, known: Known) -> bool:
    try:
        return bool(known.get(store.name, file_state(store)) == digest)
    except OSError:
        return False


def _write(store: Path, contents: Contents) -> None:
    ordered = [contents.entries[key] for key in sorted(contents.entries)]
    with in_memory() as file:
        write_attribute(file, "schema", SCHEMA)
        write_attribute(file, "kind", "index")
        for row, path in ordered:
            name = group_name(row.video, row.stream)
            new_group(file, name.rsplit("/", 1)[0])[row.stream] = h5py.ExternalLink(path, name)
        write_table(file, [row for row, _ in ordered])
        image = file_image(file)
    write_whole(store, image)


def refuse_losing(store: Path) -> None:
    """An index must not be written over a file that holds the features themselves, or over the index of other parts."""
    if not Path(store).is_file():
        return
    try:
        with h5py.File(store, "r", locking=False) as file:
            single = "kind" in file.attrs and read_attribute(file, "kind") == "single"
            linked = _first_link(file)
    except OSError:
        return  # not HDF5 at all, or cut short: the index replaces it
    if single:
        raise StoreError(
            f"{store} is a single self-contained file and would be overwritten by an index. Name another store with "
            "--features, or move this file away first."
        )
    name = linked.split("/", 1)[0]
    wanted = (shards_folder if name.endswith(".shards") else parts_folder)(store).name
    if name and name != wanted and (store.parent / name).is_dir():  # the index was renamed and its folder was not
        raise StoreError(
            f"{store} is the index of {store.parent / name} and would be overwritten by one of {wanted}: give that "
            f"folder the name {wanted} (a copy, if {name} has another index), or name another store with --features."
        )


def _first_link(group: h5py.Group) -> str:
    """The file that the first link of an index leads to; empty where there is none."""
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return str(link.filename)
        inner = group.get(name)
        if isinstance(inner, h5py.Group):
            return _first_link(inner)
    return ""
