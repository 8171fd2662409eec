"""Detections of any codebase: ActionFormer's pickle and JSON, csv, and the text files of the THUMOS kits.

| ending       | written by                      | holds                                                |
| .json        | ActivityNet, OpenTAD, mmaction2 | `results` -> video -> `label`, `score`, `segment`    |
| .json        | ActionFormer's evaluator        | `database` -> video -> `label_id`, `scores`, `segment` |
| .pkl         | ActionFormer's `eval.py`        | columns `video-id`, `t-start`, `t-end`, `label`, `score` |
| .pkl         | mmaction2 and relatives         | what their JSON holds, or a list of videos           |
| .csv, .tsv   | pandas, spreadsheets            | the same columns, named in the first line            |
| .txt         | THUMOS kits, S-CNN, CDC         | video, start, end, class id, score; blanks between   |

`class_ids` tells what ids stand for, `tables` how tables are read, `plain_pickle` why
reading a pickle here runs nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from command.errors import shown
from command.plain_pickle import PickleError, read_plain
from evaluate.files.annotations import Annotations
from evaluate.files.class_ids import ClassIdError, ClassIds, names_of_ids
from evaluate.files.detections import DetectionError, Detections, detections_from_json, make_detections
from evaluate.files.names import ENDINGS
from evaluate.files.reading import bytes_of, collector_paused, is_number, json_of
from evaluate.files.tables import COLUMNS, Rows, columns_of, csv_rows, has_column_names, text_rows

PICKLES, TABLES = (".pkl", ".pickle"), (".csv", ".tsv")


def detections_for(
    annotations: Annotations, path: Path | str, *, degenerate: str = "refuse", counted: str | None = None
) -> Detections:
    """Read detections of any of the formats above, to be judged against these annotations.

    counted: what class ids are, one of `class_ids.COUNTED`; None for what the annotations offer.
    """
    return read_any_detections(path, annotations.classes, ids=annotations.ids, degenerate=degenerate, counted=counted)


def read_any_detections(
    path: Path | str,
    classes: Sequence[str],
    *,
    ids: ClassIds = ClassIds(),  # noqa: B008  a constant
    degenerate: str = "refuse",
    counted: str | None = None,
) -> Detections:
    """Read detections of any of the formats above; `classes` and `ids` give class ids their names.

    Raises DetectionError naming file and place.
    """
    with collector_paused():
        return _read(Path(path), classes, ids, degenerate, counted)


def _read(path: Path, classes: Sequence[str], ids: ClassIds, degenerate: str, counted: str | None) -> Detections:
    ending, first = path.suffix.lower(), 0
    if ending in TABLES or (ending == ".txt" and has_column_names(path)):
        found = _from_rows(csv_rows(path), path, degenerate)
    elif ending == ".txt":
        found, first = _from_rows(text_rows(path), path, degenerate), 1
    else:
        found = _from_plain(_pickled(path) if ending in PICKLES else json_of(path, DetectionError), path, degenerate)
    try:
        labels, notes = names_of_ids(found.labels, classes, ids, counted, first)
    except ClassIdError as error:
        raise DetectionError(f"{path}: {error}") from None
    return replace(found, labels=labels, notes=(*found.notes, *(f"{path}: {note}" for note in notes)))


def _pickled(path: Path) -> Any:
    try:
        return read_plain(bytes_of(path, DetectionError))
    except PickleError as error:
        raise DetectionError(f"{path}: not a pickle of detections: {error}") from None


def _from_plain(root: Any, path: Path, degenerate: str) -> Detections:
    """Detections from what a JSON file or a pickle holds."""
    if isinstance(root, list | tuple):
        root = _of_list(root, path)
    if isinstance(root, dict) and "results" not in root:
        if isinstance(root.get("database"), dict):
            if any(isinstance(row, dict) and "annotations" in row for row in root["database"].values()):
                raise DetectionError(f"{path}: this is a file of annotations, not of detections")
            root = {"results": {video: _renamed(entries) for video, entries in root["database"].items()}}
        elif root and all(isinstance(entries, list) and _are_entries(entries) for entries in root.values()):
            root = {"results": root}
        elif path.suffix.lower() in PICKLES or any(name in root for name in COLUMNS["video"]):
            return _from_rows(_column_rows(root, path), path, degenerate)
    return detections_from_json(root, path, degenerate=degenerate)


def _are_entries(entries: list[Any]) -> bool:
    return all(isinstance(entry, dict) and "segment" in entry for entry in entries)


def _of_list(root: Sequence[Any], path: Path) -> dict[str, Any]:
    """A list of videos, as mmaction2 dumps it, or of single detections, as columns; either one as a dict."""
    if not root or not all(isinstance(each, dict) for each in root):
        raise DetectionError(
            f"{path}: expected a dict of columns, or 'results' -> video -> detections; found a list of "
            f"{shown(root[0]) if root else 'nothing'}"
        )
    if not all("video_name" in each for each in root) or all("score" in each for each in root):
        names = list(root[0])
        for number, each in enumerate(root):
            if each.keys() != root[0].keys():
                raise DetectionError(
                    f"{path}: row {number}: expected the keys {shown(names)}, found {shown(list(each))}"
                )
        return {name: [each[name] for each in root] for name in names}
    results: dict[str, Any] = {}
    for each in root:
        entries = next((each[key] for key in ("results", "detections", "proposal_list") if key in each), None)
        if not isinstance(each["video_name"], str) or each["video_name"] in results:
            raise DetectionError(f"{path}: names video {shown(each['video_name'])} twice, or it is not text")
        results[each["video_name"]] = entries
    found = [entry for entries in results.values() if isinstance(entries, list) for entry in entries]
    if found and not any(isinstance(entry, dict) and "label" in entry for entry in found):
        raise DetectionError(
            f"{path}: holds proposals without a 'label', which have no class to be judged by. Classify them first"
        )
    return {"results": results}


def _renamed(entries: Any) -> Any:
    if not isinstance(entries, list):
        return entries
    names = {"scores": "score", "label_id": "label"}
    return [
        {names.get(key, key): entry[key] for key in sorted(entry, key=shown, reverse=True)}  # label wins over label_id
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]


def _column_rows(table: Any, path: Path) -> Rows:
    """The rows of a dict of columns."""
    if not isinstance(table, dict):
        raise DetectionError(f"{path}: expected a dict of columns, found {shown(table)}")
    names = columns_of(path, list(table))
    columns = {name: table[names[name]] for name in COLUMNS}
    for name, column in columns.items():
        if not isinstance(column, list | tuple):
            raise DetectionError(f"{path}: column {names[name]!r}: expected a list or an array, found {shown(column)}")
    lengths = {names[name]: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DetectionError(f"{path}: columns of different lengths: {told}")
    rows: Rows = []
    for number, (video, start, end, label, score) in enumerate(zip(*columns.values(), strict=True)):
        if not (is_number(start) and is_number(end) and is_number(score)):
            raise DetectionError(
                f"{path}: row {number}: start, end and score must be numbers, found {shown(start)}, {shown(end)}, "
                f"{shown(score)}"
            )
        if not isinstance(video, str) or isinstance(label, bool) or not isinstance(label, str | int | float):
            raise DetectionError(
                f"{path}: row {number}: expected the name of a video and a class, found {shown(video)}, {shown(label)}"
            )
        rows.append((video, label if isinstance(label, str) else shown(label), float(start), float(end), float(score)))
    return rows


def _from_rows(rows: Rows, path: Path, degenerate: str) -> Detections:
    """The name of a video loses the ending of its file."""
    bare = [(ENDINGS.sub("", video), label, start, end, score) for video, label, start, end, score in rows]
    return make_detections(bare, degenerate=degenerate, source=str(path))
