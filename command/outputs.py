"""Outputs never take the place of an input: looked at before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from command.errors import OutputError


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path], remedy: str) -> None:
    """OutputError if an output is an input under whatever name, by links or another spelling.

    An input that is a folder is one whose files are read (a folder of frames): nothing is written into it.
    """
    read: dict[object, Path] = {}
    for path in inputs:
        read[_real(path)] = path
        if (identity := _identity(path)) is not None:
            read[identity] = path
    for output in outputs:
        spellings = (_real(output), _identity(output))
        clash = next((read[one] for one in spellings if one is not None and one in read), None)
        if (folder := read.get(_real(output.parent))) is not None:
            raise OutputError(f"{output} would be written into {folder}, whose files are read. {remedy}")
        if clash is not None:
            raise OutputError(f"{output} would be written over {clash}, which is read. {remedy}")


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Before anything is written: no output is an input, a folder, or the place of another output.

    outputs: option -> path, None where it is not given. Raises OutputError.
    """
    read = [path for path in inputs if path is not None]
    told: dict[str, Path] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        refuse_no_place(option, path)
        for other in read:
            if _same(path, other):
                raise OutputError(f"{option} {path}: this is what is read ({other}); name another file")
        for first, other in told.items():
            if _same(path, other):
                raise OutputError(f"{option} {path}: {first} writes there too; name two files")
        told[option] = path


def refuse_no_place(option: str, path: Path) -> None:
    """OutputError if no file can be written at path: it is a folder, or what it lies in is a file. Makes nothing."""
    if path.is_dir():
        raise OutputError(f"{option} {path}: this is a folder; name a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise OutputError(f"{option} {path}: {above} is a file, not a folder")


def _same(one: Path, other: Path) -> bool:
    identity = _identity(one)
    return _real(one) == _real(other) or (identity is not None and identity == _identity(other))


def _real(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL, which no file's name holds
        return str(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
