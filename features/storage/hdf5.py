"""Reads the HDF5 files of a feature store: an index, a single file, a shard or a lone part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.files.layout import StoreError, encode, group_name, reports_folder, shards_folder
from features.files.report_file import read_report
from features.storage.container import read_attribute, read_attributes
from features.storage.integrity import is_whole, matches
from features.storage.parts import all_finite
from features.storage.table import TableRow, read_rows

KEPT_OPEN = 8  # parts


class Altered(Exception):
    """Bytes that are not those that were written."""


class Hdf5Source:
    """Groups of one HDF5 file, opened on first use and anew in every process (a handle must not cross a fork).

    verify: attributes are compared with their sha256 when a part is opened, each array when it is first read in this
    process.
    """

    remarks: tuple[str, ...] = ()  # the files say it all

    def __init__(self, path: Path, verify: bool = True) -> None:
        self.path = path
        self.verify = verify
        self.rows = {(row.video, row.stream): row for row in read_rows(path)}
        self._forget()

    def _forget(self) -> None:
        self._handle: tuple[int, h5py.File] | None = None
        self._groups: dict[tuple[str, str], h5py.Group] = {}  # the last few, so that windows of one part open it once
        self._verified: set[tuple[str, str, str]] = set()
        self._finite: set[tuple[str, str]] = set()
        self._unpacked: tuple[tuple[str, str, str], np.ndarray] | None = None  # the last compressed array, verified

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "verify": self.verify, "rows": self.rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def row(self, video: str, stream: str) -> TableRow:
        """The row of a stream of a video; StoreError if the store has none."""
        if (video, stream) not in self.rows:
            there = sorted(name for known, name in self.rows if known == video)
            has = f"it has {', '.join(there)}" if there else "the store does not know this video"
            raise StoreError(
                f"{self.path}: no {stream!r} of video {video!r}; {has}. Make it with the command that made the others, "
                "or leave this video out."
            )
        return self.rows[video, stream]

    def attributes(self, video: str, stream: str) -> dict[str, Any]:
        """StoreError where the part cannot be read."""
        group = self._group(video, stream)
        try:
            return read_attributes(group)
        except Exception as error:
            raise self._broken(video, stream, error) from error

    def names(self, video: str, stream: str) -> tuple[str, ...]:
        return tuple(self._group(video, stream))

    def digests(self, video: str, stream: str) -> dict[str, str]:
        """sha256 of the data of each array, as written."""
        return {name: read_attribute(array, "sha256") for name, array in self._group(video, stream).items()}

    def known_finite(self, video: str, stream: str) -> bool:
        """Whether all features were looked at when they were verified, and none was NaN or infinite."""
        return (video, stream) in self._finite

    def read(self, video: str, stream: str, name: str, start: int | None, stop: int | None) -> np.ndarray:
        """Rows of one array; a process's first read compares it with its sha256, if so opened. Else StoreError."""
        group = self._group(video, stream)
        if name not in group:
            raise StoreError(f"{self.path}: {stream} of video {video!r} holds {sorted(group)}, not {name!r}")
        key = (video, stream, name)
        if self._unpacked is not None and self._unpacked[0] == key:
            return self._unpacked[1][start:stop].copy()
        try:
            dataset = group[name]
            whole = start is None and stop is None
            if not self.verify or key in self._verified:
                return dataset[()] if whole else dataset[start:stop]
            data = dataset[()]
            if not is_whole(dataset, data):
                raise Altered(f"the data of {name} do not match their sha256")
            self._verified.add(key)
            if name == "features" and all_finite(data):
                self._finite.add((video, stream))
            if dataset.compression is not None:  # what follows is likely read next, and unpacking costs most
                self._unpacked = (key, data)
                return data[start:stop].copy()
            return data if whole else data[start:stop].copy()
        except Exception as error:  # HDF5 and NumPy raise whatever comes of bytes that were altered
            raise self._broken(video, stream, error) from error

    def close(self) -> None:
        if self._handle is not None and self._handle[0] == os.getpid():
            self._groups = {}
            self._handle[1].close()
        self._forget()

    def _file(self) -> h5py.File:
        if self._handle is None or self._handle[0] != os.getpid():
            self._forget()
            self._handle = (os.getpid(), h5py.File(self.path, "r", locking=False))
        return self._handle[1]

    def _group(self, video: str, stream: str) -> h5py.Group:
        row = self.row(video, stream)
        file = self._file()
        if (video, stream) in self._groups:
            return self._groups[video, stream]
        try:
            group = file[group_name(video, stream)]
            as_indexed = matches(group, row) if self.verify else read_attribute(group, "fingerprint") == row.fingerprint
            if not as_indexed and not self._made_anew(group, row):
                raise Altered("its attributes do not match their sha256")
        except Exception as error:
            raise self._broken(video, stream, error) from error
        if not as_indexed:
            raise StoreError(
                f"{self.path}: {stream} of video {video!r} was made anew after this index was written. Write the index "
                f"again: python -m features.pack {self.path} --index"
            )
        while len(self._groups) >= KEPT_OPEN:
            del self._groups[next(iter(self._groups))]
        self._groups[video, stream] = group
        return group

    def _made_anew(self, group: h5py.Group, row: TableRow) -> bool:
        """Whether the file that holds a group says itself that it holds just this, and not what the index says."""
        own = [
            one for one in read_rows(Path(group.file.filename)) if (one.video, one.stream) == (row.video, row.stream)
        ]
        return any(one.digest != row.digest and matches(group, one) for one in own)

    def _broken(self, video: str, stream: str, error: Exception) -> StoreError:
        """Says which file is missing or damaged, and what to do about it."""
        target = self.path
        try:
            link = self._file()[f"videos/{encode(video)}"].get(stream, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                target = self.path.parent / link.filename
        except Exception:
            pass  # then the index itself is what is damaged
        there = target.exists()
        what = f"{target} is damaged or cut short ({error})" if there else f"{target} is missing"
        return StoreError(
            f"{self.path}: {stream} of video {video!r}: {what}. {self._remedy(target, video, there)}, or leave this "
            "video out."
        )

    def _remedy(self, target: Path, video: str, there: bool) -> str:
        reports = sorted(reports_folder(self.path).glob("*.json"))
        made_by = [path.stem for path in reports if video in read_report(path).get("videos", {})]
        made_by = made_by or ["features.importer if it was imported"]
        repeat = f"repeat the command that made it ({' or '.join(made_by)})"
        if target == self.path:
            return f"Fetch the file again, or {repeat}"
        if target.parent == shards_folder(self.path):
            return f"Fetch this shard again, or {'delete it and ' if there else ''}{repeat} for all of its videos"
        return f"Delete it and {repeat}, or fetch it again" if there else f"Fetch it again, or {repeat}"
