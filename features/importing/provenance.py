"""What an import must not do to a store: overwrite what is not its own, or mix features of two recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import features
from features.files.layout import IMPORTED, StoreError, part_path, parts_folder
from features.storage.table import read_rows


def refuse_target(store: Path, *inputs: Path | None) -> None:
    """StoreError if the store to write cannot be one, is an input, or is a file that is no feature store."""
    if store.suffix not in {".h5", ".hdf5"}:
        raise StoreError(f"{store}: name a feature store with .h5 at its end, e.g. {store}.h5")
    if any(path is not None and path.resolve() == store.resolve() for path in inputs):
        raise StoreError(f"{store}: is what would be read. Name a store to write with --features")
    if store.is_dir():
        raise StoreError(f"{store}: is a directory. Name a file to write with --features, e.g. {store.stem}_store.h5")
    if store.is_file() and not parts_folder(store).is_dir():
        try:
            read_rows(store)
        except StoreError as error:
            raise StoreError(
                f"{store}: is there already and is no feature store ({error}). It is not overwritten: name another "
                "store with --features"
            ) from error


class Stored:
    """What a store holds already, in parts that no index may know yet, or in shards."""

    def __init__(self, store: Path) -> None:
        self.path = store
        try:
            self.opened = features.open(store) if store.is_file() else None
        except StoreError:
            self.opened = None  # damaged: the index is written anew from the parts beside it

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        """Of a stream of a video; empty if the store has none that can be read."""
        part = part_path(self.path, video, stream)
        try:
            if part.is_file():
                return features.open(part).attributes(video, stream)
            if self.opened is not None and video in self.opened.videos:
                return self.opened.attributes(video, stream)
        except StoreError:
            pass  # damaged: it is made anew
        return {}


def refuse_other_origin(attributes: dict[str, Any], source: str, stream: str) -> None:
    """StoreError if what stands in the store was extracted, or imported from another file; attributes: of `Stored`."""
    if not attributes:
        return
    before = attributes.get("imported_from")
    if before is None and attributes.get("origin") != IMPORTED:
        made = f"were extracted ({attributes.get('backbone', 'unknown backbone')})"
    elif before is not None and before not in (source, source.rpartition("/")[2]):
        made = f"were imported from {before}"
    else:
        return
    raise StoreError(
        f"the store holds {stream} features of this video already, which {made}: not overwritten. Name another stream "
        "with --columns STREAM=0:WIDTH, another store with --features, or replace them with --replace"
    )


def refuse_mixture(stored: Stored, videos: set[str], feature_ids: dict[str, str]) -> None:
    """StoreError if other videos of the store have a stream of another recipe than the one to be imported.

    feature_ids: by stream, of what is to be imported; videos: those that it will replace or add.
    """
    for row in () if stored.opened is None else stored.opened.rows:
        if row.stream in feature_ids and row.video not in videos and row.feature_id != feature_ids[row.stream]:
            attributes = stored.attributes(row.video, row.stream)
            made = ", ".join(
                f"{name} {attributes[name]}" for name in ("backbone", "window", "stride") if name in attributes
            )
            raise StoreError(
                f"{stored.path}: {row.stream} of video {row.video!r}, which is not among these files, was made "
                f"otherwise ({made or row.feature_id}); a stream of two recipes cannot be used. Import with the same "
                "settings (--window, --stride, --stretch, --columns, --backbone), or name another store with --features"
            )
