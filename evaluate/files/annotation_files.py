"""Annotation files as they stand on disk, unjudged: JSON of ActivityNet and of mmaction2, THUMOS'14 text."""

from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from command.errors import FlowlessError, shown
from evaluate.files.reading import is_number, json_of, text_of

THUMOS_SUBSETS = {"test": "Test", "val": "Validation"}
MMACTION2_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}  # ActivityNet's names


class AnnotationError(FlowlessError):
    """An annotation file that cannot be read, or contradicts itself."""


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
    group: str = ""  # of videos that show the same person, room or event


class _Place(NamedTuple):
    """A video, or one annotation of it, put into words only when there is something to say."""

    path: Path
    video: str
    position: int | None = None

    def __str__(self) -> str:
        annotation = "" if self.position is None else f", annotation {self.position}"
        return f"{self.path}: video {shown(self.video)}{annotation}"


class _Annotation(NamedTuple):
    """A sound annotation, in a third of the memory that its JSON object takes."""

    start: float
    end: float
    label: str
    number: int | None


class _Compact:
    """Annotations as tuples, labels once each; whatever is not as it should be stays to be told of."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def __call__(self, found: dict[str, Any]) -> Any:
        if "segment" not in found or not 2 <= len(found) <= 3:
            return found
        segment, label, number = found["segment"], found.get("label"), found.get("label_id")
        if type(label) is not str or type(segment) is not list or len(segment) != 2:
            return found
        start, end = segment
        if type(start) is not float or type(end) is not float or not -inf < start + end < inf:
            return found
        number = number if type(number) is int else _whole(number)
        return _Annotation(start, end, self._labels.setdefault(label, label), number)


def json_entries(path: Path) -> list[Entry]:
    """Of ActivityNet's or mmaction2's layout; AnnotationError names file, video and annotation."""
    root = json_of(path, AnnotationError, _Compact())
    database = root.get("database", _of_mmaction2(path, root)) if isinstance(root, dict) else None
    if not isinstance(database, dict):
        raise AnnotationError(
            f"{path}: expected a JSON object with 'database' -> video -> 'subset', 'duration', 'annotations'"
            + (f"; found the keys {', '.join(map(shown, list(root)[:5]))}" if isinstance(root, dict) else "")
        )
    entries = []
    for video in list(database):
        entries.append(_json_entry(path, video, database[video]))
        database[video] = None  # of a million annotations a copy is enough
    return entries


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
    if path.suffix.lower() != ".json":
        names = [line.strip() for line in text_of(path, AnnotationError).splitlines() if line.strip()]
        return _distinct(names, path)
    root = json_of(path, AnnotationError)
    if isinstance(root, dict) and all(type(number) is int for number in root.values()):
        return tuple(sorted(root, key=lambda name: root[name]))
    if isinstance(root, list) and all(isinstance(name, str) for name in root):
        return _distinct(root, path)
    raise AnnotationError(f"{path}: expected a JSON list of class names or an object name -> id")


def read_class_ids(path: Path) -> dict[str, int]:
    """The ids of a class list that is a JSON object name -> id, as `read_classes` reads it; none for other lists."""
    root = json_of(path, AnnotationError) if path.suffix.lower() == ".json" else None
    if not isinstance(root, dict):
        return {}
    owner: dict[int, str] = {}
    for name, number in root.items():
        if owner.setdefault(number, name) != name:
            raise AnnotationError(f"{path}: {owner[number]!r} and {name!r} share the id {shown(number)}")
    return root


def _distinct(names: list[str], path: Path) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise AnnotationError(f"{path}: names {shown(name)} twice")
        seen.add(name)
    return tuple(names)


def read_ambiguous(path: Path) -> dict[str, NDArray[np.float64]]:
    """THUMOS'14's Ambiguous intervals, video -> (n, 2) seconds: text, or JSON video -> [[start, end]]."""
    found: dict[str, list[tuple[float, float]]] = {}
    if path.suffix.lower() == ".txt":
        for number, line in enumerate(text_of(path, AnnotationError).splitlines(), start=1):
            if line.strip():
                video, start, end = _text_line(path, number, line)
                found.setdefault(video, []).append((start, end))
    else:
        root = json_of(path, AnnotationError)
        rows = root.get("database", root) if isinstance(root, dict) else None
        if not isinstance(rows, dict):
            raise AnnotationError(f"{path}: expected a JSON object video -> list of [start, end]")
        for video, pairs in rows.items():
            if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
                raise AnnotationError(
                    f"{path}: video {shown(video)}: expected a list of [start, end], found {shown(pairs)}"
                )
            where = _Place(path, video)
            found[video] = [(_number(start, where, "start"), _number(end, where, "end")) for start, end in pairs]
    return {video: np.array(rows, dtype=np.float64).reshape(-1, 2) for video, rows in found.items()}


def _json_entry(path: Path, video: str, row: object) -> Entry:
    where = _Place(path, video)
    if not isinstance(row, dict):
        raise AnnotationError(f"{where}: expected an object, found {shown(row)}")
    missing = [key for key in ("subset", "duration", "annotations") if key not in row]
    if missing:
        raise AnnotationError(f"{where}: missing {', '.join(map(repr, missing))}; a video needs these keys")
    duration_s = _number(row["duration"], where, "'duration'")
    if duration_s <= 0:
        raise AnnotationError(f"{where}: 'duration' is {duration_s:g} s; expected seconds above 0")
    for key, kind, called in (("subset", str, "text"), ("annotations", list, "a list")):
        if not isinstance(row[key], kind):
            raise AnnotationError(f"{where}: {key!r} must be {called}, found {shown(row[key])}")
    fps = row.get("fps")
    segments, labels, ids = [], [], []
    for position, item in enumerate(row["annotations"]):
        if type(item) is _Annotation:
            segments.append((item[0], item[1]))
            labels.append(item[2])
            ids.append(item[3])
            continue
        try:
            start, end = item["segment"]
            label, number = item["label"], item.get("label_id")
        except (TypeError, KeyError, ValueError, AttributeError):
            raise _no_annotation(item, f"{where}, annotation {position}") from None
        if type(start) is not float or type(end) is not float or not -inf < start + end < inf:
            place = _Place(path, video, position)
            start, end = _number(start, place, "start"), _number(end, place, "end")
        if type(label) is not str:
            if isinstance(label, bool) or not isinstance(label, int):
                raise AnnotationError(f"{where}, annotation {position}: 'label' must be text, found {shown(label)}")
            label = shown(label)
        segments.append((start, end))
        labels.append(label)
        ids.append(number if type(number) is int else _whole(number))
    return Entry(
        video,
        row["subset"],
        duration_s,
        float(fps) if isinstance(fps, int | float) and is_number(fps) else None,
        segments,
        labels,
        ids,
        str(row.get("group") or ""),
    )


def _no_annotation(item: object, place: str) -> AnnotationError:
    if not isinstance(item, dict) or "label" not in item or "segment" not in item:
        return AnnotationError(f"{place}: expected an object with 'label' and 'segment', found {shown(item)}")
    return AnnotationError(f"{place}: 'segment' must be [start, end] in seconds, found {shown(item['segment'])}")


def _whole(value: object) -> int | None:
    """A class id that is written as 3.0 or "3"; None for what is no whole number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else None


def _number(value: object, where: _Place, what: str) -> float:
    if not is_number(value) or not isfinite(value):
        raise AnnotationError(f"{where}: {what} must be a number of seconds, found {shown(value)}")
    return float(value)


def truth_files(path: Path) -> list[Path]:
    """The files that annotations are read from: the one file, or the text files of a folder."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*.txt") if file.stem.rpartition("_")[2] in THUMOS_SUBSETS)


def thumos_text_entries(folder: Path) -> list[Entry]:
    """The videos of a folder of `<Class>_test.txt` and `<Class>_val.txt`, lines `video start end`, unjudged.

    These files know no durations (nan) and no frame rates; `Ambiguous` is not a class.
    """
    found: dict[str, Entry] = {}
    files = truth_files(folder)
    if not files:
        raise AnnotationError(f"{folder}: no files named <Class>_test.txt or <Class>_val.txt")
    for file in files:
        label, _, part = file.stem.rpartition("_")
        for number, line in enumerate(text_of(file, AnnotationError).splitlines(), start=1):
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
        video, start, end = words[0], float(words[1]), float(words[2])
        if not isfinite(start + end):
            raise ValueError
    except (IndexError, ValueError):
        raise AnnotationError(f"{path}: line {number}: expected 'video start end', found {shown(line)}") from None
    return video, start, end
