"""Reads the HDF5 files of a feature store: an index, a single file, a shard or a lone part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.layout import StoreError, encode, group_name
from features.parts import read_attributes
from features.table import Row, read_rows

KEPT_OPEN = 8  # parts


class Hdf5Source:
    """Groups of one HDF5 file, opened on first use and anew in every process (a handle must not cross a fork)."""

    remarks: tuple[str, ...] = ()  # the files say it all

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = {(row.video, row.stream): row for row in read_rows(path)}
        self._handle: tuple[int, h5py.File] | None = None
        self._groups: dict[tuple[str, str], h5py.Group] = {}  # the last few, so that windows of one part open it once

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_groups": {}}

    def row(self, video: str, stream: str) -> Row:
        """The row of a stream of a video; StoreError if the store has none."""
        if (video, stream) not in self.rows:
            there = sorted(name for known, name in self.rows if known == video)
            has = f"it has {', '.join(there)}" if there else "the store does not know this video"
            raise StoreError(
                f"{self.path}: no {stream!r} of video {video!r}; {has}. Extract it into this store, or leave it out."
            )
        return self.rows[video, stream]

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        return read_attributes(self._group(video, stream))

    def names(self, video: str, stream: str) -> tuple[str, ...]:
        return tuple(self._group(video, stream))

    def digests(self, video: str, stream: str) -> dict[str, str]:
        return {name: str(array.attrs["sha256"]) for name, array in self._group(video, stream).items()}

    def read(self, video: str, stream: str, name: str, start: int | None, stop: int | None) -> np.ndarray:
        group = self._group(video, stream)
        if name not in group:
            raise StoreError(f"{self.path}: {stream} of video {video!r} holds {sorted(group)}, not {name!r}")
        try:
            dataset = group[name]
            return dataset[()] if start is None and stop is None else dataset[start:stop]
        except OSError as error:
            raise self._broken(video, stream, error) from error

    def close(self) -> None:
        self._groups = {}
        if self._handle is not None and self._handle[0] == os.getpid():
            self._handle[1].close()
        self._handle = None

    def _file(self) -> h5py.File:
        if self._handle is None or self._handle[0] != os.getpid():
            self._groups = {}
            self._handle = (os.getpid(), h5py.File(self.path, "r", locking=False))
        return self._handle[1]

    def _group(self, video: str, stream: str) -> h5py.Group:
        row = self.row(video, stream)
        file = self._file()
        if (video, stream) in self._groups:
            return self._groups[video, stream]
        try:
            group = file[group_name(video, stream)]
            stored = group.attrs["fingerprint"]
        except (OSError, KeyError) as error:
            raise self._broken(video, stream, error) from error
        if stored != row.fingerprint:
            raise StoreError(
                f"{self.path}: {stream} of video {video!r} was made anew (fingerprint {stored}) after this index was "
                f"written ({row.fingerprint}). Write the index again: python -m features.pack {self.path} --index"
            )
        while len(self._groups) >= KEPT_OPEN:
            del self._groups[next(iter(self._groups))]
        self._groups[video, stream] = group
        return group

    def _broken(self, video: str, stream: str, error: Exception) -> StoreError:
        """Says which file is missing or damaged, and what to do about it."""
        target = self.path
        try:
            link = self._file()[f"videos/{encode(video)}"].get(stream, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                target = self.path.parent / link.filename
        except (OSError, KeyError):
            pass
        what = "is damaged or cut short" if target.exists() else "is missing"
        delete = "delete it and " if target.exists() else ""
        return StoreError(
            f"{self.path}: {stream} of video {video!r}: {target} {what} ({error}). Copy it here again with the folder "
            f"it lies in, or {delete}repeat the command that made it."
        )
