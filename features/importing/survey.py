"""Looks at a folder of feature files before anything is written: names, shapes, and what the user asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from features.files.array_file import SUFFIXES, shape_of
from features.files.found import Found, find, refuse_twice, walk
from features.files.grid_file import read_grid_file
from features.files.layout import StoreError
from features.files.many_file import members
from features.files.naming import Naming, folded, suggestion
from features.importing.annotated import Known
from features.storage.npy import default_columns, refuse_transposed

Columns = dict[str, slice]
OPTIONS = {**dict.fromkeys(SUFFIXES, "--npy"), ".csv": "--csv"}  # which option reads which files


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    folder: Path
    store: Path
    suffixes: tuple[str, ...] = SUFFIXES  # of the files that are meant
    fps: float | None = None
    window: int | None = None  # None: as grid.json or the times of the files say, else ActionFormer's
    stride: int | None = None
    stretch: bool = False
    annotations: Path | None = None
    known: dict[str, Known] = field(default_factory=dict)  # of the annotations
    naming: Naming = field(default_factory=Naming)
    columns: Columns | None = None
    array: str | None = None  # in .npz files
    transposed: bool = False
    backbone: str = "unknown"
    replace: bool = False
    files: tuple[Path, ...] = ()  # of many videos each; then the folder is theirs
    resampled: bool = False  # videos were brought to the rate `fps` before: it need not be the annotated one
    every: int = 1  # rows to a step: the others are left out


class Item(NamedTuple):
    """One file that can be imported."""

    found: Found
    video: str
    shape: tuple[int, int]  # (T, D)
    columns: Columns


@dataclass
class ImportOutcome:
    """What became of an import."""

    videos: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # files
    notes: list[str] = field(default_factory=list)

    def fail(self, file: Path, error: Exception) -> None:
        """Says why a file is not imported, and counts it."""
        text = str(error) or type(error).__name__
        tqdm.write(printable(text if text.startswith(str(file)) else f"{file}: {text}"), file=sys.stderr)
        self.failures.append(str(file))


def printable(text: str) -> str:
    """text as every terminal and file takes it: bytes of names that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def find_features(request: Request, outcome: ImportOutcome) -> list[Found]:
    """The files of features below the folder; one that is itself called flow holds flow, unless --columns says."""
    folder = request.folder
    if request.files:
        return [Found(file, one.video, one.stream, member=one.name) for file in request.files for one in members(file)]
    if not folder.is_dir():
        what = "is a file; name the folder that it lies in" if folder.exists() else "no such directory"
        raise StoreError(f"{folder}: {what}")
    found = find(folder, request.suffixes)
    if not found:
        others = Counter(file.suffix or file.name for file in walk(folder)).most_common(3)
        there = ", ".join(f"{count} {suffix}" for suffix, count in others) or "nothing"
        meant = next((option for suffix, option in OPTIONS.items() if suffix in dict(others)), None)
        remedy = (
            f"Read them with {meant} {folder}" if meant else "Save each (T, D) array with np.save('VIDEO.npy', array)"
        )
        wanted = " or ".join([", ".join(request.suffixes[:-1]), request.suffixes[-1]][len(request.suffixes) < 2 :])
        raise StoreError(f"{folder}: no {wanted} files here; found {there}. {remedy}")
    if left := [file for file in walk(folder) if file.suffix in OPTIONS and file.suffix not in request.suffixes]:
        option = OPTIONS[left[0].suffix]
        outcome.notes.append(f"{len(left)} {left[0].suffix} files are left alone, e.g. {left[0]}; {option} reads them")
    if request.columns and all(one.stream for one in found):
        raise StoreError(f"{folder}: the names of files and folders say which stream they are: leave --columns away")
    if folder.resolve().name.lower() == "flow" and not request.columns:
        return [one if one.stream else one._replace(stream="flow") for one in found]
    return found


def look(request: Request, found: Sequence[Found], outcome: ImportOutcome) -> list[Item]:
    """The files that can be imported, by their names and headers; the others are failures."""
    by_case = folded(request.known)
    names = [one.video for one in found]
    videos = [request.naming.video(name, by_case) for name in names]
    _compare_names(request, found, videos, outcome)
    items, squeezed = [], []
    for one, video in zip(found, videos, strict=True):
        try:
            name = request.array if one.member is None else one.member
            num_steps, width = shape_of(one.file, name)
            if request.transposed:
                num_steps, width = width, num_steps
            num_steps = -(-num_steps // request.every)
            columns = request.columns if request.columns and not one.stream else default_columns(width, one.stream)
            items.append(Item(one, video, (num_steps, width), columns))
            if one.file.suffix != ".csv" and len(shape_of(one.file, name, sequence=False)) > 2:
                squeezed.append(one.file)
        except StoreError as error:
            outcome.fail(one.file, error if one.member is None else StoreError(f"{one.file}: {one.member}: {error}"))
    if not items:
        raise StoreError(f"{request.folder}: none of {len(found)} files could be imported; the reasons stand above")
    refuse_twice([(item.video, stream, item.found.file) for item in items for stream in item.columns])
    if not request.transposed and len(items) > 1:
        refuse_transposed(request.folder, [item.shape for item in items if item.found.stream == items[0].found.stream])
    if squeezed:
        outcome.notes.append(f"{len(squeezed)} arrays of more than two axes were taken for (T, D), e.g. {squeezed[0]}")
    return _of_one_width(items, outcome)


def _compare_names(request: Request, found: Sequence[Found], videos: Sequence[str], outcome: ImportOutcome) -> None:
    """StoreError, or a note where the import can go on, if names of files and annotated videos do not meet."""
    missing = [video for video in videos if video not in request.known]
    if not request.known or not missing:
        return
    names = [one.video for one in found]
    first = next(iter(request.known))
    better = suggestion(names, request.known)
    remedy = (
        f"These options make them match: {better.options}"
        if better is not None and better.options and better != request.naming
        else "Name the files as the annotations name the videos, or change names with --prefix, --suffix, "
        "--strip-folders, --add-prefix, --ignore-case"
    )
    if len(missing) < len(videos):
        outcome.notes.append(
            f"{len(set(missing))} of {len(set(videos))} videos are not annotated in {request.annotations}, "
            f"e.g. {missing[0]!r}"
        )
        return
    text = (
        f"{request.folder}: none of {len(videos)} files is annotated in {request.annotations}: the files give "
        f"{videos[0]!r}, annotated is {first!r}. {remedy}"
    )
    if request.stretch or not (request.fps or _rates_beside(request.folder, found)):
        raise StoreError(text)
    outcome.notes.append(text)


def _rates_beside(folder: Path, found: Sequence[Found]) -> bool:
    grid = read_grid_file(folder)
    return bool(grid.fps or grid.any_fps or any(one.rate for one in found))


def _of_one_width(items: list[Item], outcome: ImportOutcome) -> list[Item]:
    """The items whose arrays are as wide as most of their stream; the others are failures."""
    usual: dict[str | None, int] = {}
    for stream in {item.found.stream for item in items}:
        usual[stream] = Counter(item.shape[1] for item in items if item.found.stream == stream).most_common(1)[0][0]
    kept = []
    for item in items:
        most = usual[item.found.stream]
        if item.shape[1] == most:
            kept.append(item)
        else:
            outcome.fail(item.found.file, StoreError(f"{item.shape[1]} columns, but most files here have {most}"))
    return kept
