"""JSON files of other people's making: read whole, or refused in one line that says where and why."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from features.files.layout import StoreError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark; StoreError names any other encoding."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16, by its byte order mark" if data.startswith(_UTF16) else f"byte {error.start} is {error.reason}"
        raise StoreError(f"{path}: expected text in UTF-8 ({found}). Save it as UTF-8") from error


def read_json(path: Path) -> Any:
    """The contents of a JSON file. An object that says one key twice is refused: one of the two would be lost."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise StoreError(f"{path}: the key {key!r:.100} stands twice in one object. Keep one of the two")
            found[key] = value
        return found

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise StoreError(f"{path}: not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise StoreError(f"{path}: not a file of this kind: objects or lists lie too deep in each other") from error
    except ValueError as error:  # an integer of thousands of digits
        raise StoreError(f"{path}: not valid JSON: {error}") from error


def positive(value: Any, what: str) -> float:
    """value as a finite number above 0; StoreError says that `what` is not."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and number > 0:
            return number
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge integer"
    raise StoreError(f"{what} is {shown:.60}; expected a number above 0")


def positive_int(value: Any, what: str) -> int:
    """value as a whole number above 0; StoreError says that `what` is not."""
    number = positive(value, what)
    if not number.is_integer() or number > 1e9:
        raise StoreError(f"{what} is {number:g}; expected a whole number of frames")
    return int(number)
