"""Files as bytes, text and JSON; whatever is wrong with one is told with its name, its place and what was expected.

Each function takes the exception to raise, so that a file says what it was read for.
"""

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from command.errors import shown

WHOLE_NUMBER_DIGITS = 4000  # Python refuses to write longer ones as text


class _NamedTwice(ValueError):
    """A key that stands twice in one JSON object, where the second silently replaces the first."""


def bytes_of(path: Path, error: type[Exception]) -> bytes:
    """The file's content; whatever keeps it from being read is raised as `error`, with its path."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from None


def text_of(path: Path, error: type[Exception]) -> str:
    """The text of a UTF-8 file, without the mark that some editors put before it."""
    return decoded(bytes_of(path, error), path, error)


def decoded(content: bytes, path: Path, error: type[Exception]) -> str:
    """Bytes of a file as text; `path` is for messages."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        found = "it looks like UTF-16" if _looks_like_utf16(content) else f"byte {content[problem.start]:#04x}"
        raise error(
            f"{path}: not a text file in UTF-8 ({found}, line {line}). Save it with the encoding UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        found = "it looks like UTF-16" if _looks_like_utf16(content) else "byte 0x00"
        raise error(f"{path}: not a text file in UTF-8 ({found}, line {line}). Save it with the encoding UTF-8")
    return text


def _looks_like_utf16(content: bytes) -> bool:
    return content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[:64].count(0) >= len(content[:64]) // 3 > 0


def json_of(path: Path, error: type[Exception], compact: Callable[[dict[str, Any]], Any] = lambda found: found) -> Any:
    """The content of a JSON file. NaN and infinities are let through; a key that stands twice is refused.

    compact: what is kept of each JSON object, asked as soon as it is read; files of a million small objects take a
    third of the memory where these become tuples.
    """
    text = text_of(path, error)
    if not text.strip():
        raise error(f"{path}: empty; expected JSON")
    try:
        with collector_paused():
            return json.loads(text, object_pairs_hook=lambda pairs: compact(_once(pairs)))
    except json.JSONDecodeError as problem:
        raise error(f"{path}: not valid JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}") from None
    except RecursionError:
        raise error(f"{path}: JSON nested too deeply for a file of this kind") from None
    except _NamedTwice as problem:
        raise error(f"{path}: {problem}: keep one of the two") from None
    except ValueError:
        raise error(f"{path}: a whole number of more than {WHOLE_NUMBER_DIGITS} digits") from None


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """While millions of lists and dicts are made, the collector looks through them again and again, for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _NamedTwice(f"names {shown(twice)} twice in one object")
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value read from a file is a number, and not text or true or false, that fits a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True
