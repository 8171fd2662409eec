"""Atomic writes: files appear whole or not at all, and never in the place of what was read.

A file is written beside its place as `.flowless-<pid>-<host>-<drawn>.part` and moved there when it is on the disk.
What a process that is gone has left under such a name is removed by the next one that writes to the folder.
"""

import json
import math
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from command.errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Written beside its place, flushed to the disk, then moved there; folders are made.

    Raises OSError, a full disk included, and leaves the old file as it is and none that is half written. Devices and
    pipes are written to as they are.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)  # /dev/stdout, /dev/null, a pipe: nothing to be replaced
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    partial = path.parent / f".flowless-{os.getpid()}-{_host()}-{secrets.token_hex(4)}.part"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8; the file appears whole or not at all. Half of a character, as JSON can hold it, becomes "?"."""
    write_whole(path, text.encode(errors="replace"))


def write_json(path: Path, content: Any) -> None:
    """JSON without NaN: what is undefined is null."""
    write_text(path, json.dumps(_without_nan(content), indent=1, allow_nan=False) + "\n")


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Before anything is written: no output is an input, a folder, or the place of another output.

    outputs: option -> path, None where it is not given. Raises OutputError.
    """
    read = [path for path in inputs if path is not None]
    told: dict[str, Path] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.is_dir():
            raise OutputError(f"{option} {path}: this is a folder; name a file")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise OutputError(f"{option} {path}: {above} is a file, not a folder")
        for other in read:
            if _same(path, other):
                raise OutputError(f"{option} {path}: this is what is read ({other}); name another file")
        for first, other in told.items():
            if _same(path, other):
                raise OutputError(f"{option} {path}: {first} writes there too; name two files")
        told[option] = path


def _same(one: Path, other: Path) -> bool:
    try:
        if one.exists() and other.exists():
            return one.samefile(other)
    except OSError:
        return False
    return one.resolve() == other.resolve()


def _sweep(folder: Path) -> None:
    """Removes what processes of this machine that are gone have left half written in a folder."""
    for leftover in folder.glob(".flowless-*.part"):
        _, pid, rest = leftover.name.split("-", 2) if leftover.name.count("-") >= 2 else ("", "", "")
        if pid.isascii() and pid.isdigit() and rest.rpartition("-")[0] == _host() and not _runs(int(pid)):
            leftover.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return socket.gethostname().split(".")[0][:60] or "host"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
