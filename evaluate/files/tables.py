"""Detections in tables as people and spreadsheets write them: csv of any delimiter, text of the THUMOS kits.

The first line of a csv names its columns, in any order and under the usual names. Delimiters are comma, semicolon,
tab or bar; where numbers have no point, a comma in them is the decimal comma. Blank lines, blanks around values,
quotes, and Excel's `sep=;` do no harm. A file of text has five words on each line, video start end class score.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from command.errors import shown
from evaluate.files.detections import DetectionError
from evaluate.files.reading import text_of

DELIMITERS = ",;\t|"
COLUMNS = {
    "video": ("video-id", "video", "video-name", "vid", "video-file", "file", "filename"),
    "start": ("t-start", "start", "xmin", "start-s", "start-time", "t-min", "begin", "onset"),
    "end": ("t-end", "end", "xmax", "end-s", "end-time", "t-max", "stop", "offset"),
    "label": ("label", "class", "label-id", "category", "class-id", "class-name", "label-name", "action"),
    "score": ("score", "scores", "confidence", "conf", "prob", "probability"),
}
NUMBERS = ("start", "end", "score")
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")

Rows = list[tuple[str, str, float, float, float]]


def csv_rows(path: Path) -> Rows:
    """The rows of a csv file. Raises DetectionError with the number of the line."""
    text = text_of(path, DetectionError)
    if not text.strip():
        raise DetectionError(f"{path}: empty; expected a line of column names")
    delimiter, header = _header_of(path, text)
    columns = columns_of(path, header)
    places = [header.index(columns[name]) for name in COLUMNS]
    lines: list[tuple[int, list[str]]] = []
    for number, cells in _lines(path, text, delimiter):
        if cells == header and not lines:
            continue
        if (len(cells) > len(header) and any(cells[len(header) :])) or len(cells) <= max(places):
            hint = " (decimal commas need quotes, or a semicolon between columns)" if delimiter == "," else ""
            raise DetectionError(f"{path}: line {number}: {len(cells)} columns, expected {len(header)}{hint}")
        lines.append((number, [cells[place] for place in places]))
    return _rows(path, lines)


def has_column_names(path: Path) -> bool:
    """Whether the first line of a text file names all columns: then it is a csv, whatever its ending."""
    try:
        columns_of(path, _header_of(path, text_of(path, DetectionError))[1])
    except DetectionError:
        return False
    return True


def text_rows(path: Path) -> Rows:
    """The rows of a text file of the THUMOS kits."""
    lines = []
    for number, line in enumerate(text_of(path, DetectionError).splitlines(), start=1):
        words = line.split()
        if words and len(words) != 5:
            raise DetectionError(f"{path}: line {number}: expected 'video start end class score', found {shown(line)}")
        if words:
            video, start, end, label, score = words
            lines.append((number, [video, start, end, label, score]))
    if not lines:
        raise DetectionError(f"{path}: empty; expected lines 'video start end class score'")
    return _rows(path, lines)


def columns_of(path: Path, names: Sequence[object]) -> dict[str, str]:
    """Our name -> theirs for the five columns; what is missing or stands twice is a DetectionError."""
    simple: dict[str, list[str]] = {}
    for name in names:
        if isinstance(name, str):
            simple.setdefault(_simple(name), []).append(name)
    out = {}
    for name, spellings in COLUMNS.items():
        match = [spelling for spelling in map(_simple, spellings) if spelling in simple]
        if not match:
            there = ", ".join(name if isinstance(name, str) else shown(name) for name in names[:12])
            raise DetectionError(f"{path}: no column {spellings[0]!r}; it has {there or 'none'}")
        if len(simple[match[0]]) > 1:
            raise DetectionError(f"{path}: names column {simple[match[0]][0]!r} twice; keep one of the two")
        out[name] = simple[match[0]][0]
    return out


def _simple(name: str) -> str:
    """The same for "t-start", "T_Start " and "t start (s)"."""
    return re.sub(r"\((s|sec|seconds)\)|\[(s|sec|seconds)\]|[\s_\-.]", "", name.strip().casefold())


def _header_of(path: Path, text: str) -> tuple[str, list[str]]:
    """The delimiter under which the first line names most columns, and the cells of that line."""
    best: tuple[int, str, list[str]] = (-1, ",", [])
    wanted = {_simple(spelling) for spellings in COLUMNS.values() for spelling in spellings}
    for delimiter in DELIMITERS:
        try:
            header = next(_lines(path, text, delimiter), (0, []))[1]
        except DetectionError:
            continue
        found = len({_simple(cell) for cell in header} & wanted)
        if found > best[0]:
            best = (found, delimiter, header)
    return best[1], best[2]


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its cells) of all lines that hold something."""
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if reader.line_num == 1 and re.fullmatch(r"sep=.?", delimiter.join(cells)):
                continue
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DetectionError(
            f"{path}: line {reader.line_num}: not a csv file ({error}). A quote is opened and not closed, or stands "
            f"within a value"
        ) from None


def _rows(path: Path, lines: Sequence[tuple[int, list[str]]]) -> Rows:
    """Cells as rows; with decimal commas where no number has a point."""
    commas = [COMMA.fullmatch(cell) is not None for _, cells in lines for cell in _numbers(cells)]
    if any(commas) and not any("." in cell for _, cells in lines for cell in _numbers(cells)):
        lines = [(number, [v, s.replace(",", "."), e.replace(",", "."), label, score.replace(",", ".")])
                 for number, (v, s, e, label, score) in lines]  # fmt: skip
    rows: Rows = []
    for number, (video, start, end, label, score) in lines:
        try:
            numbers = float(start), float(end), float(score)
        except ValueError:
            raise DetectionError(
                f"{path}: line {number}: start, end and score must be numbers, found {shown(start)}, {shown(end)}, "
                f"{shown(score)}"
            ) from None
        if not video or not label:
            raise DetectionError(f"{path}: line {number}: no {'label' if video else 'video'}")
        rows.append((video, label, *numbers))
    return rows


def _numbers(cells: list[str]) -> tuple[str, str, str]:
    return cells[1], cells[2], cells[4]
