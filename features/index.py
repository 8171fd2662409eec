"""The file a user names: an index of relative links to parts and shards, and a table of what they hold.

The index is made from the files that are there, sorted, and from nothing else: however a run was interrupted and
resumed, and on however many machines it ran, the same parts give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

import h5py

from features.commit import sweep_abandoned, write_whole
from features.container import file_image, in_memory, new_group, read_attribute, write_attribute
from features.layout import SCHEMA, StoreError, group_name, parts_folder, shards_folder
from features.table import Row, read_rows, write_table


def build_index(store: Path, without: Container[Path] = ()) -> Path:
    """Writes the index of all parts and shards of the store. A part counts more than a shard, unless they are equal.

    without: shards that are about to go.
    """
    store = Path(store)
    refuse_single(store)
    sweep_abandoned(parts_folder(store))
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
        write_attribute(file, "schema", SCHEMA)
        write_attribute(file, "kind", "index")
        for row, path in ordered:
            name = group_name(row.video, row.stream)
            relative = Path(os.path.relpath(path, store.parent)).as_posix()
            new_group(file, name.rsplit("/", 1)[0])[row.stream] = h5py.ExternalLink(relative, name)
        write_table(file, [row for row, _ in ordered])
        image = file_image(file)
    return write_whole(store, image)


def refuse_single(store: Path) -> None:
    """An index must not be written over a file that holds the features themselves."""
    if not Path(store).is_file():
        return
    try:
        with h5py.File(store, "r", locking=False) as file:
            single = "kind" in file.attrs and read_attribute(file, "kind") == "single"
    except OSError:
        return  # not HDF5 at all, or cut short: the index replaces it
    if single:
        raise StoreError(
            f"{store} is a single self-contained file and would be overwritten by an index. Name another store with "
            "--features, or move this file away first."
        )
