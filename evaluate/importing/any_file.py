"""One file of annotations, whatever wrote it: told by its content, not by its name alone.

| .csv .tsv .txt | tables of one's own; BORIS's aggregated and tabular events; VIA 3's export         |
| .eaf           | ELAN                                                                               |
| .xml           | CVAT for video 1.1                                                                 |
| .json          | VIA 3's project, Label Studio, ActivityNet's layout, mmaction2's                   |
| a folder       | THUMOS'14's text; else all files of the kinds above that lie in it                 |
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from evaluate.files.annotation_files import Entry, json_entries, thumos_text_entries, truth_files
from evaluate.files.reading import json_of
from evaluate.importing import label_studio, via
from evaluate.importing.boris import find_header, read_boris
from evaluate.importing.cvat import read_cvat
from evaluate.importing.elan import read_elan
from evaluate.importing.intervals import Imported, ImportingError, Interval, readable_text
from evaluate.importing.spreadsheet import read_table, table_of

ENDINGS = (".csv", ".tsv", ".txt", ".eaf", ".xml", ".json")


def files_of(given: Path) -> list[Path]:
    """The files that one argument stands for. Raises ImportingError if there are none."""
    if not given.exists():
        raise ImportingError(f"{given}: no such file or folder. Check the path")
    if not given.is_dir() or truth_files(given):
        return [given]
    found = sorted(file for file in given.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    if not found:
        raise ImportingError(f"{given}: no annotations in this folder; expected files ending in {', '.join(ENDINGS)}")
    return found


def read_any(path: Path, *, fps: float | None, known: Collection[str], label: str | None) -> Imported:
    """fps: of times that are frames, in tables. known: ids of the videos. label: column, tier or attribute of labels.

    Raises ImportingError (or AnnotationError, for what evaluate reads itself) if nothing can be made of the file.
    """
    ending = path.suffix.lower()
    if path.is_dir():
        return _of_entries("THUMOS'14's text", path, thumos_text_entries(path))
    if ending in (".xlsx", ".xls", ".ods"):
        raise ImportingError(f"{path}: a workbook, not text. Save the sheet as 'CSV UTF-8 (.csv)' and give that")
    if ending == ".eaf":
        return read_elan(path, label)
    if ending == ".xml":
        return read_cvat(path, label)
    if ending == ".json":
        return _of_json(path, label)
    remarks: list[str] = []
    text = readable_text(path, remarks)
    if not text.strip():
        raise ImportingError(f"{path}: empty; expected a line video,start,end,label, then a line for each action")
    if via.is_export(text):
        out = via.read_export(path, text, label)
    else:
        table = table_of(path, text)
        header = find_header(table)
        out = read_boris(path, table, header) if header is not None else read_table(path, table, fps, known, label)
    out.remarks[:0] = remarks
    return out


def _of_json(path: Path, label: str | None) -> Imported:
    try:
        root: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        root = json_of(path, ImportingError)  # says what is wrong
    if via.is_project(root):
        return via.read_project(path, root, label)
    if label_studio.is_export(root):
        return label_studio.read_label_studio(path, root)
    return _of_entries("ActivityNet's layout", path, json_entries(path))


def _of_entries(name: str, path: Path, entries: list[Entry]) -> Imported:
    out = Imported(name)
    for entry in entries:
        out.videos[entry.video] = None
        if entry.subset:
            out.subsets[entry.video] = entry.subset
        for place, ((start, end), label) in enumerate(zip(entry.segments, entry.labels, strict=True)):
            where = f"video {entry.video!r}, annotation {place}"
            out.intervals.append(Interval(entry.video, start, end, label, where, file=path))
    return out
