"""Detections of other codebases: ActionFormer's pickle and JSON, csv, and the text files of the THUMOS kits.

| suffix       | written by                      | columns                                              |
| .json        | ActivityNet, OpenTAD, mmaction2 | `results` -> video -> `label`, `score`, `segment`    |
| .json        | ActionFormer's evaluator        | `database` -> video -> `label_id`, `scores`, `segment` |
| .pkl         | ActionFormer's `eval.py`        | `video-id`, `t-start`, `t-end`, `label`, `score`     |
| .csv         | pandas, BMN and relatives       | the same names in the first line, or similar ones    |
| .txt         | THUMOS kits, S-CNN, CDC         | video, start, end, class id, score; blanks between   |

Class ids count from 0 in the order of the annotations' classes; in text files they are those of the THUMOS kits
(7 is BaseballPitch, one of 101), or count from 1 where an id is none of these.
"""

import csv
import io
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.detections import (
    DetectionError,
    Detections,
    bytes_of,
    detections_from_json,
    load_json,
    make_detections,
)

# The 20 THUMOS classes in alphabetical order, by their numbers among the 101 classes of the kits' detclasslist.txt.
THUMOS_IDS = (7, 9, 12, 21, 22, 23, 24, 26, 31, 33, 36, 40, 45, 51, 68, 79, 85, 92, 93, 97)
COLUMNS = {
    "video": ("video-id", "video", "video_id", "video-name", "video_name"),
    "start": ("t-start", "start", "xmin", "t_start", "start_s"),
    "end": ("t-end", "end", "xmax", "t_end", "end_s"),
    "label": ("label", "class", "label_id", "category"),
    "score": ("score", "scores", "confidence"),
}

Rows = list[tuple[str, str, float, float, float]]


def read_any_detections(path: Path | str, classes: Sequence[str], *, degenerate: str = "refuse") -> Detections:
    """Read detections of any of the formats above; `classes` gives class ids their names."""
    path = Path(path)
    if path.suffix in (".pkl", ".pickle"):
        return _by_name(make_detections(_pickle_rows(path), degenerate=degenerate, source=str(path)), classes, 0)
    if path.suffix == ".csv":
        return _by_name(make_detections(_csv_rows(path), degenerate=degenerate, source=str(path)), classes, 0)
    if path.suffix == ".txt":
        found = make_detections(_text_rows(path), degenerate=degenerate, source=str(path))
        return _by_name(found, classes, 1)
    root = load_json(path)
    if isinstance(root, dict) and "results" not in root and isinstance(root.get("database"), dict):
        root = {"results": {video: _renamed(entries) for video, entries in root["database"].items()}}
    return _by_name(detections_from_json(root, path, degenerate=degenerate), classes, 0)


def _renamed(entries: Any) -> Any:
    if not isinstance(entries, list):
        return entries
    names = {"scores": "score", "label_id": "label"}
    return [
        {names.get(key, key): value for key, value in sorted(entry.items(), reverse=True)}  # label wins over label_id
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]


def _by_name(detections: Detections, classes: Sequence[str], first: int) -> Detections:
    """Class ids turned into names; labels that are names stay as they are."""
    labels = detections.labels
    if not labels or set(labels) & set(classes) or not all(_is_id(label) for label in labels):
        return detections
    numbers = [int(float(label)) for label in labels]
    if first == 1 and len(classes) == len(THUMOS_IDS) and set(numbers) <= set(THUMOS_IDS):
        names = dict(zip(THUMOS_IDS, sorted(classes), strict=True))
    else:
        names = {number + first: name for number, name in enumerate(classes)}
    unknown = sorted(set(numbers) - set(names))
    if unknown:
        raise DetectionError(
            f"{detections.source}: class id {unknown[0]} is outside {min(names)} to {max(names)}, the ids of the "
            f"{len(classes)} annotated classes"
        )
    return replace(detections, labels=tuple(names[number] for number in numbers))


def _is_id(label: str) -> bool:
    return label.removesuffix(".0").isdigit()


class _NumbersOnly(pickle.Unpickler):
    """A pickle can run any code when it is read; this one gives it numpy arrays and nothing else."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"})

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, not only arrays, lists and numbers")


def _pickle_rows(path: Path) -> Rows:
    try:
        table = _NumbersOnly(io.BytesIO(bytes_of(path))).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, ValueError) as error:
        raise DetectionError(f"{path}: not a pickle of detections: {error}") from None
    if not isinstance(table, dict):
        raise DetectionError(f"{path}: expected a dict of columns, found {type(table).__name__}")
    columns = _columns(path, list(table))
    return _rows(path, [list(np.asarray(table[columns[name]]).tolist()) for name in COLUMNS])


def _csv_rows(path: Path) -> Rows:
    lines = list(csv.reader(io.StringIO(bytes_of(path).decode("utf-8-sig"))))
    if not lines:
        raise DetectionError(f"{path}: empty; expected a line of column names")
    columns = _columns(path, lines[0])
    places = [lines[0].index(columns[name]) for name in COLUMNS]
    short = next((i for i, line in enumerate(lines, start=1) if line and len(line) <= max(places)), None)
    if short:
        raise DetectionError(f"{path}: line {short}: {len(lines[short - 1])} columns, expected {len(lines[0])}")
    return _rows(path, [[line[place] for line in lines[1:] if line] for place in places], first_line=2)


def _text_rows(path: Path) -> Rows:
    lines = [line.split() for line in bytes_of(path).decode("utf-8").splitlines() if line.strip()]
    for number, words in enumerate(lines, start=1):
        if len(words) != 5:
            raise DetectionError(f"{path}: line {number}: expected 'video start end class score', found {words}")
    return _rows(path, [[words[i] for words in lines] for i in range(5)], first_line=1)


def _columns(path: Path, names: Sequence[str]) -> dict[str, str]:
    out = {}
    for name, spellings in COLUMNS.items():
        match = [spelling for spelling in spellings if spelling in names]
        if not match:
            raise DetectionError(f"{path}: no column {spellings[0]!r}; it has {', '.join(map(str, names))}")
        out[name] = match[0]
    return out


def _rows(path: Path, columns: list[list[Any]], first_line: int = 0) -> Rows:
    """Five columns as rows; the name of a video loses the ending of its file."""
    rows: Rows = []
    for number, (video, start, end, label, score) in enumerate(zip(*columns, strict=True), start=first_line):
        try:
            rows.append((_stem(str(video)), str(label), float(start), float(end), float(score)))
        except ValueError:
            raise DetectionError(
                f"{path}: {'line' if first_line else 'row'} {number}: start, end and score must be numbers, found "
                f"{start!r}, {end!r}, {score!r}"
            ) from None
    return rows


def _stem(video: str) -> str:
    head, dot, ending = video.rpartition(".")
    return head if dot and ending.lower() in ("mp4", "avi", "mkv", "webm", "mov") else video
