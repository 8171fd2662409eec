"""Files appear whole or not at all: write beside the target, sync to disk, rename over it."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

# No other file would fare better: no room, no right or no way to write.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
STALE_S = 24 * 3600.0  # a temporary file of another host is given up after a day


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; renames it over the target on success, else removes it.

    Two writers of one target do not disturb each other: the last rename wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{_host()}.{os.getpid()}.{secrets.token_hex(3)}.part")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> Path:
    """Writes data to target through a temporary file. A full disk raises OSError with its errno and leaves no trace."""
    with whole_file(target) as temporary:
        temporary.write_bytes(data)
    return target


def sweep(folder: Path, patience_s: float = 0.0) -> int:
    """Removes the temporary files that dead processes left in folder and below; returns how many there were.

    patience_s: how long to wait for processes that are just being killed, as long as files of theirs are there.
    """
    removed = 0
    deadline = time.monotonic() + patience_s
    while True:
        living = False
        for leftover in folder.rglob("*.part"):
            try:
                if _is_abandoned(leftover):
                    leftover.unlink(missing_ok=True)
                    removed += 1
                else:
                    living = True
            except FileNotFoundError:
                continue  # its writer was quicker
        if not living or time.monotonic() > deadline:
            return removed
        time.sleep(0.1)


def _is_abandoned(leftover: Path) -> bool:
    fields = leftover.name.split(".")
    if len(fields) < 5 or not fields[-3].isdigit():
        return False  # not ours
    host, pid = fields[-4], int(fields[-3])
    if host != _host():
        return time.time() - leftover.stat().st_mtime > STALE_S
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _host() -> str:
    return socket.gethostname().split(".")[0] or "host"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
