"""Atomic writes: files appear whole or not at all. Write beside the target, sync to disk, rename over it.

A temporary file is called .flowless-<pid>-<host>-<random>.part: whose it is can be told from its name, so that what a
killed process left is swept, and nothing else is. The name says nothing of the target, which may be as long as a file
name can be.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# No other file would fare better: no room, no right or no way to write.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
STALE_S = 24 * 3600.0  # a temporary file of another host is given up after a day
_OURS = re.compile(r"\.flowless-(\d+)-(.+)-[0-9a-f]+\.part")

_swept: set[tuple[int, Path]] = set()  # (process, folder)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; renames it over the target on success, else removes it.

    Two writers of one target do not disturb each other: the last rename wins. The first file that a process writes
    into a folder also sweeps what dead processes left there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    here = (os.getpid(), target.parent.absolute())
    if here not in _swept:
        _swept.add(here)
        sweep_abandoned(target.parent, below=False)
    temporary = target.with_name(temporary_name())
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> Path:
    """Writes data to target through a temporary file. A full disk raises OSError with its errno and leaves no trace.

    Devices and pipes are written to as they are.
    """
    if target.exists() and not target.is_file() and not target.is_dir():
        target.write_bytes(data)  # /dev/stdout, /dev/null: nothing to be replaced
        return target
    with whole_file(target) as temporary:
        temporary.write_bytes(data)
    return target


def write_text(target: Path, text: str) -> Path:
    """UTF-8. Half of a character, as JSON can hold it, becomes "?"."""
    return write_whole(target, text.encode(errors="replace"))


def write_json(target: Path, content: Any) -> Path:
    """JSON without NaN: what is undefined is null."""
    return write_text(target, json.dumps(_without_nan(content), indent=1, allow_nan=False) + "\n")


def temporary_name() -> str:
    """A new name for a file that is being written by this process."""
    return f".flowless-{os.getpid()}-{_host()}-{secrets.token_hex(4)}.part"


def temporary_files(folder: Path, below: bool = True) -> list[Path]:
    """The files with a name of `temporary_name` in folder, and in the folders below it; links are not followed."""
    found = []
    for path, folders, names in os.walk(folder):
        found += [Path(path) / name for name in names if _OURS.fullmatch(name)]
        if not below:
            folders.clear()
    return sorted(found)


def sweep_abandoned(folder: Path, patience_s: float = 0.0, below: bool = True) -> int:
    """Removes the temporary files of ours whose process is gone, in folder and below; returns how many there were.

    Files of other programs, of living processes, and of other hosts until they are a day old, are left alone, and so
    are those that this user may not remove.
    patience_s: how long to wait for processes that are just being killed, as long as files of theirs are there.
    """
    removed = 0
    deadline = time.monotonic() + patience_s
    while True:
        living = False
        for leftover in temporary_files(folder, below):
            with suppress(FileNotFoundError, PermissionError):  # its writer was quicker, or it is another user's
                if _is_abandoned(leftover):
                    leftover.unlink()
                    removed += 1
                else:
                    living = True
        if not living or time.monotonic() > deadline:
            return removed
        time.sleep(0.1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds off other runs that lock the same folder, made if need be; does without where locks are not supported."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_abandoned(leftover: Path) -> bool:
    ours = _OURS.fullmatch(leftover.name)
    if ours is None:
        return False
    if ours[2] != _host():
        return time.time() - leftover.stat().st_mtime > STALE_S
    import psutil  # only where something was left; commands that merely write start without it

    try:
        return psutil.Process(int(ours[1])).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, OverflowError):
        return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", socket.gethostname().split(".")[0])[:63] or "host"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
