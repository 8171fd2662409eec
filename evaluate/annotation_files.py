"""Annotation files as they stand on disk, unjudged: JSON of ActivityNet and of mmaction2, THUMOS'14 text."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

THUMOS_SUBSETS = {"test": "Test", "val": "Validation"}
MMACTION2_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}  # ActivityNet's names


class AnnotationError(Exception):
    """An annotation file that cannot be taken at its word."""


@dataclass(frozen=True)
class Entry:
    """One video as its file tells it, before anything is judged."""

    video: str
    subset: str
    duration_s: float
    fps: float | None
    segments: list[tuple[float, float]]
    labels: list[str]
    ids: list[int | None]


def json_entries(path: Path) -> list[Entry]:
    root = _read_json(path)
    database = root.get("database", _of_mmaction2(path, root)) if isinstance(root, dict) else None
    if not isinstance(database, dict):
        raise AnnotationError(
            f"{path}: expected a JSON object with 'database' -> video -> 'subset', 'duration', 'annotations'"
            + (f"; found the keys {', '.join(map(repr, list(root)[:5]))}" if isinstance(root, dict) else "")
        )
    return [_json_entry(path, video, row) for video, row in database.items()]


def _of_mmaction2(path: Path, root: dict[str, object]) -> dict[str, object] | None:
    """The `database` of a file that has none: mmaction2's are video -> `duration_second`, `annotations`, one file to a
    subset, which the file's name tells. None for anything else.
    """
    if not root or not all(isinstance(row, dict) and "duration_second" in row for row in root.values()):
        return None
    subset = next((name for part, name in MMACTION2_SUBSETS.items() if part in path.stem.lower()), path.stem)
    return {
        video: {"subset": subset, "duration": row["duration_second"], **row}
        for video, row in root.items()
        if isinstance(row, dict)
    }


def read_classes(path: Path) -> tuple[str, ...]:
    """A class list: a JSON list of names, a JSON object name -> id, or one name a line."""
    if path.suffix != ".json":
        return tuple(line.strip() for line in _text_of(path).splitlines() if line.strip())
    root = _read_json(path)
    if isinstance(root, dict) and all(isinstance(number, int) for number in root.values()):
        return tuple(sorted(root, key=lambda name: root[name]))
    if isinstance(root, list) and all(isinstance(name, str) for name in root):
        return tuple(root)
    raise AnnotationError(f"{path}: expected a JSON list of class names or an object name -> id")


def read_ambiguous(path: Path) -> dict[str, NDArray[np.float64]]:
    """THUMOS'14's Ambiguous intervals, video -> (n, 2) seconds: text, or JSON video -> [[start, end]]."""
    found: dict[str, list[list[float]]] = {}
    if path.suffix == ".txt":
        for number, line in enumerate(_text_of(path).splitlines(), start=1):
            video, start, end = _text_line(path, number, line)
            found.setdefault(video, []).append([start, end])
    else:
        root = _read_json(path)
        rows = root.get("database", root) if isinstance(root, dict) else None
        if not isinstance(rows, dict):
            raise AnnotationError(f"{path}: expected a JSON object video -> list of [start, end]")
        found = rows
    try:
        return {video: np.array(rows, dtype=np.float64).reshape(-1, 2) for video, rows in found.items()}
    except (TypeError, ValueError):
        raise AnnotationError(f"{path}: expected a JSON object video -> list of [start, end]") from None


def _read_json(path: Path) -> object:
    """Parse a JSON file; what is wrong with it is told with its line."""
    try:
        return json.loads(_text_of(path))
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path}: not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not a text file ({error})") from None


def _json_entry(path: Path, video: str, row: object) -> Entry:
    where = f"{path}: video {video!r}"
    if not isinstance(row, dict):
        raise AnnotationError(f"{where}: expected an object, found {row!r:.60}")
    missing = [key for key in ("subset", "duration", "annotations") if key not in row]
    if missing:
        raise AnnotationError(f"{where}: missing {', '.join(map(repr, missing))}; a video needs these keys")
    duration_s = _number(row["duration"], f"{where}: 'duration'")
    if duration_s <= 0:
        raise AnnotationError(f"{where}: 'duration' is {duration_s:g} s; expected seconds above 0")
    fps = row.get("fps")
    segments, labels, ids = [], [], []
    for position, item in enumerate(row["annotations"]):
        place = f"{where}, annotation {position}"
        if not isinstance(item, dict) or "label" not in item or "segment" not in item:
            raise AnnotationError(f"{place}: expected an object with 'label' and 'segment', found {item!r:.80}")
        segment = item["segment"]
        if not isinstance(segment, list | tuple) or len(segment) != 2:
            raise AnnotationError(f"{place}: 'segment' must be [start, end] in seconds, found {segment!r:.60}")
        segments.append((_number(segment[0], f"{place}: start"), _number(segment[1], f"{place}: end")))
        labels.append(str(item["label"]))
        number = item.get("label_id")
        ids.append(number if isinstance(number, int) else None)
    return Entry(
        video,
        str(row["subset"]),
        duration_s,
        float(fps) if isinstance(fps, int | float) else None,
        segments,
        labels,
        ids,
    )


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise AnnotationError(f"{what} must be a number of seconds, found {value!r:.60}")
    return float(value)


def thumos_text_entries(folder: Path) -> list[Entry]:
    """The videos of a folder of `<Class>_test.txt` and `<Class>_val.txt`, lines `video start end`, unjudged.

    These files know no durations (nan) and no frame rates; `Ambiguous` is not a class.
    """
    found: dict[str, Entry] = {}
    files = sorted(file for file in folder.rglob("*.txt") if file.stem.rpartition("_")[2] in THUMOS_SUBSETS)
    if not files:
        raise AnnotationError(f"{folder}: no files named <Class>_test.txt or <Class>_val.txt")
    for file in files:
        label, _, part = file.stem.rpartition("_")
        for number, line in enumerate(_text_of(file).splitlines(), start=1):
            if not line.strip():
                continue
            video, start, end = _text_line(file, number, line)
            entry = found.setdefault(video, Entry(video, THUMOS_SUBSETS[part], float("nan"), None, [], [], []))
            entry.segments.append((start, end))
            entry.labels.append(label)
            entry.ids.append(None)
    return [found[video] for video in sorted(found)]


def _text_line(path: Path, number: int, line: str) -> tuple[str, float, float]:
    words = line.split()
    try:
        return words[0], float(words[1]), float(words[2])
    except (IndexError, ValueError):
        raise AnnotationError(f"{path}: line {number}: expected 'video start end', found {line!r:.60}") from None
