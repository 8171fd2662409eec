"""What is known of files, for as long as they stay as they are: by size, time and inode.

Hashing three thousand videos, or opening ten thousand parts, takes a while; asking the file system whether they have
changed does not. What was found out is kept in a JSON file in the cache folder beside the store, which may be deleted.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from command.errors import FlowlessError
from command.writing import locked, write_whole

SCHEMA = "flowless/known/1"
SETTLED_S = 2.0  # a file written to more recently may change again without a new time, on a coarse clock


class FileState(NamedTuple):
    """What changes when a file does; of a folder, of all files in it together."""

    size: int  # bytes
    mtime_ns: int
    inode: int


class FileChanged(FlowlessError):
    """A file that was replaced, rewritten or cut short while it was being read."""


def file_state(path: Path) -> FileState:
    """The state of a file, or of a folder with the files in it (a folder of pictures is a video). OSError if none."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return FileState(status.st_size, status.st_mtime_ns, status.st_ino)
    with os.scandir(path) as entries:
        inside = [entry.stat() for entry in entries if entry.is_file()]
    newest = max([status.st_mtime_ns, *(one.st_mtime_ns for one in inside)])
    return FileState(sum(one.st_size for one in inside), newest, status.st_ino)


@contextmanager
def unchanged(path: Path, state: FileState, sha256: str, rehash: Callable[[Path], str]) -> Iterator[None]:
    """FileChanged unless the file is the one with this state or sha256 when the block begins, and still when it ends.

    Where the states differ, the hash decides: a file may be touched, or copied over itself. What goes wrong within
    the block because the file was changed is told as such.
    """

    def is_same(before: FileState) -> bool:
        try:
            return file_state(path) == before or rehash(path) == sha256
        except OSError:
            return False

    changed = FileChanged(f"{path}: the file changed while the command ran. Repeat the command")
    if not is_same(state):
        raise changed
    try:
        begun = file_state(path)
        yield
    except Exception as error:
        if not is_same(begun):
            raise changed from error
        raise
    if not is_same(begun):
        raise changed


class Known:
    """Values by file, forgotten once the file has changed.

    Several runs may keep the same JSON file: each adds what it found out. One that cannot be read, or written, costs
    only time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = self._read()
        self._new: dict[str, list[Any]] = {}

    def get(self, file: Path | str, state: FileState) -> Any:
        """What was put for this file in this state; None if nothing."""
        entry = self._values.get(str(file))
        return entry[1] if entry is not None and entry[0] == list(state) else None

    def put(self, file: Path | str, state: FileState, value: Any) -> None:
        """value: as JSON has it, not None."""
        self._values[str(file)] = self._new[str(file)] = [list(state), value]

    def put_settled(self, file: Path | str, state: FileState, value: Any) -> None:
        """put, unless the file was written to so recently that it may still be."""
        if time.time_ns() - state.mtime_ns > SETTLED_S * 1e9:
            self.put(file, state, value)

    def save(self) -> None:
        """Adds what is new to the file."""
        if not self._new:
            return
        with suppress(OSError), locked(self.path.parent):
            self._values = {**self._read(), **self._new}
            write_whole(self.path, json.dumps({"schema": SCHEMA, "files": self._values}).encode())
            self._new = {}

    def _read(self) -> dict[str, list[Any]]:
        try:
            known = json.loads(self.path.read_bytes())
            files = known["files"] if known["schema"] == SCHEMA else {}
            return {name: entry for name, entry in files.items() if isinstance(entry, list) and len(entry) == 2}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
