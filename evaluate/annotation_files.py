"""Annotation files as they stand on disk, before anything is judged: ActivityNet-style JSON, THUMOS'14 text."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

THUMOS_SUBSETS = {"test": "Test", "val": "Validation"}


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
    database = root.get("database") if isinstance(root, dict) else None
    if not isinstance(database, dict):
        raise AnnotationError(
            f"{path}: expected a JSON object with 'database' -> video -> 'subset', 'duration', 'annotations'"
            + (f"; found the keys {', '.join(map(repr, list(root)[:5]))}" if isinstance(root, dict) else "")
        )
    return [_json_entry(path, video, row) for video, row in database.items()]


def _read_json(path: Path) -> object:
    """Parse a JSON file; what is wrong with it is told with its line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not a text file ({error})") from None
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path}: not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


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
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            words = line.split()
            if not words:
                continue
            try:
                video, start, end = words[0], float(words[1]), float(words[2])
            except (IndexError, ValueError):
                raise AnnotationError(
                    f"{file}: line {number}: expected 'video start end', found {line!r:.60}"
                ) from None
            entry = found.setdefault(video, Entry(video, THUMOS_SUBSETS[part], float("nan"), None, [], [], []))
            entry.segments.append((start, end))
            entry.labels.append(label)
            entry.ids.append(None)
    return [found[video] for video in sorted(found)]
