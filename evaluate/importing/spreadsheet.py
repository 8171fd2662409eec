"""Tables as people keep them: video, start, end, label in any order, under the usual names, with any delimiter."""

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from evaluate.files.names import ENDINGS, VIDEO_KEYS, same_name
from evaluate.files.tables import DELIMITERS
from evaluate.importing.intervals import FRAMES, SECONDS, Imported, ImportingError, Interval, LineFlaw
from evaluate.importing.times import NoTime, is_clock, parse_time

COLUMNS = {
    "video": (
        *("video", "clip", "file", "filename", "name", "videoid", "videoname", "videofile", "vid", "videopath", "path"),
        *("media", "mediafile", "clipname", "clipid", "filepath", "movie", "sequence", "recording", "id"),
    ),
    "start": (
        *("start", "onset", "begin", "t0", "from", "starttime", "begintime", "tstart", "tmin", "xmin", "startsec"),
        *("startframe", "framestart", "beginframe", "firstframe", "startms", "in", "starttimes", "timestart"),
    ),
    "end": (
        *("end", "offset", "stop", "t1", "to", "endtime", "stoptime", "tend", "tmax", "xmax", "endsec", "finish"),
        *("endframe", "frameend", "stopframe", "lastframe", "endms", "out", "timeend"),
    ),
    "label": (
        *("label", "class", "action", "category", "behavior", "behaviour", "activity", "event", "classname"),
        *("labelname", "actionlabel", "annotation", "tag", "type", "code"),
    ),
    "length": ("duration", "length", "dur", "durations"),
    "subset": ("subset", "split", "partition", "set"),
}
NEEDED = ("video", "start", "end", "label")
EXAMPLE = "video,start,end,label"


Table = list[tuple[int, list[str]]]  # (number, cells) of each line; the header is among them where there is one


def read_table(path: Path, table: Table, fps: float | None, known: Collection[str], label: str | None) -> Imported:
    """fps: times are frames of this rate, unless a column says otherwise. known: ids of videos that are there.

    label: the column that holds the labels, where the usual names do not tell. Raises ImportingError.
    """
    out = Imported("a table")
    header = [simple(cell) for cell in table[0][1]]
    places = _places(path, table, header, label)
    if places is None:
        places = _unmistakable(path, table, known)
        rows, names = table, []
        out.remarks.append(f"{path}: no line of column names; taken for {_told(places)}")
    else:
        rows, names = table[1:], table[0][1]
        if "video" not in places:
            out.remarks.append(f"{path}: no column of videos; all rows are taken for the video {path.stem!r}")
        if "end" not in places:
            out.remarks.append(f"{path}: no column of ends; start + {names[places['length']]} is taken")
    units: dict[str, str] = {}
    for name in ("start", "end", "length"):
        if name in places:
            units[name] = _unit(names[places[name]] if names else "", fps)
    for number, cells in rows:
        _read_row(path, number, cells, places, units, names, out)
    if out.intervals and fps is not None and all(one.unit == SECONDS for one in out.intervals):
        out.remarks.append(f"{path}: --fps {fps:g} was not needed: all times say that they are seconds")
    return out


def table_of(path: Path, text: str) -> Table:
    """Lines and cells under the delimiter that names most columns, or cuts the lines most evenly."""
    wanted = {name for names in COLUMNS.values() for name in names}
    best: tuple[tuple[int, int], Table] | None = None
    for delimiter in DELIMITERS:
        try:
            lines = _lines(text, delimiter)
        except csv.Error as error:
            problem = error
            continue
        if not lines:
            raise ImportingError(f"{path}: empty; expected a line {EXAMPLE}, then a line for each action")
        widths = [len(cells) for _, cells in lines[:100]]
        even = min(widths) if max(widths) > 1 else 0
        rank = (len({simple(cell) for cell in lines[0][1]} & wanted), even)
        if best is None or rank > best[0]:
            best = rank, lines
    if best is None:
        raise ImportingError(f"{path}: not a table ({problem}): a quote is opened and not closed")
    return best[1]


def _lines(text: str, delimiter: str) -> Table:
    """Without blank lines, comments before the header, Excel's "sep=;" and empty cells at the end."""
    found: Table = []
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True, skipinitialspace=True)
    for line in reader:
        cells = [cell.strip().strip("\u200b\ufeff\xa0") for cell in line]
        while cells and not cells[-1]:
            cells.pop()
        comment = not found and cells and cells[0].startswith("#")
        if not cells or comment or (not found and re.fullmatch(r"sep=.?", delimiter.join(cells), re.I)):
            continue
        found.append((reader.line_num, cells))
    return found


def simple(name: str) -> str:
    """The same for "Start time (s)", "start_time" and "StartTime"."""
    name = re.sub(r"[\(\[](s|sec|secs|seconds|frames?|ms|hh:mm:ss|mm:ss)[\)\]]", "", name.strip().casefold())
    name = re.sub(r"[\s_\-.#]", "", name)
    return re.sub(r"^(start|onset|begin|end|stop|offset|time)(s|sec|seconds)$", r"\1", name)


def _unit(name: str, fps: float | None) -> str:
    told = name.casefold()
    if "frame" in told:
        return FRAMES
    if re.search(r"(^|[^a-z])(ms|msec|milliseconds?)([^a-z]|$)", told):
        return "ms"
    if re.search(r"(^|[^a-z])(s|secs?|seconds?)([^a-z]|$)", told):
        return SECONDS
    return FRAMES if fps is not None else ""


def _places(path: Path, table: Table, header: Sequence[str], label: str | None) -> dict[str, int] | None:
    """Our name -> column by the header; None if the first line is no header. Raises ImportingError."""
    places: dict[str, int] = {}
    for name, spellings in COLUMNS.items():
        for spelling in spellings:
            if header.count(spelling) > 1 and name in NEEDED:
                raise ImportingError(f"{path}: two columns are called {spelling!r}. Rename or remove one")
            if spelling in header and name not in places and header.index(spelling) not in places.values():
                places[name] = header.index(spelling)
    if label is not None:
        if simple(label) not in header:
            raise ImportingError(f"{path}: no column {label!r}; there are {', '.join(table[0][1])}")
        places["label"] = header.index(simple(label))
    if len(places.keys() & set(NEEDED)) < 2 or any(_is_time(cell) for cell in table[0][1]):
        return None
    missing = [name for name in ("start", "end", "label") if name not in places]
    if missing == ["end"] and "length" in places:
        missing = []
    if missing:
        raise ImportingError(
            f"{path}: no column for {' and '.join(missing)}; there are {', '.join(table[0][1])}. Rename the "
            f"columns: {EXAMPLE}" + ("; or say which holds the labels: --label NAME" if missing == ["label"] else "")
        )
    return places


def _unmistakable(path: Path, table: Table, known: Collection[str]) -> dict[str, int]:
    """The columns of a table without header, if they can be told from what they hold. Raises ImportingError."""
    width = max(len(cells) for _, cells in table)
    columns = [[cells[place] if place < len(cells) else "" for _, cells in table] for place in range(width)]
    times = [place for place, cells in enumerate(columns) if sum(map(_is_time, cells)) >= 0.9 * len(cells)]
    others = [place for place in range(width) if place not in times]
    videos = [place for place in others if _are_videos(columns[place], known)]
    if len(times) != 2 or len(others) != 2 or len(videos) != 1:
        raise ImportingError(
            f"{path}: no line of column names, and the columns are not unmistakable ({len(times)} of times, "
            f"{len(videos)} of videos, {width} in all). Write a first line such as {EXAMPLE}"
        )
    pairs = [(columns[times[0]][i], columns[times[1]][i]) for i in range(len(table))]
    sound = [(parse_time(one), parse_time(other)) for one, other in pairs if _is_time(one) and _is_time(other)]
    if all(one > other for one, other in sound):
        times.reverse()
    [video] = videos
    return {"video": video, "start": times[0], "end": times[1], "label": next(p for p in others if p != video)}


def _are_videos(cells: Sequence[str], known: Collection[str]) -> bool:
    names = list(dict.fromkeys(cell for cell in cells if cell))
    if not names:
        return False
    if all(ENDINGS.search(name) for name in names):
        return True
    return 2 * len(same_name(names, list(known), VIDEO_KEYS, alone=False)) > len(names)


def _told(places: Mapping[str, int]) -> str:
    return ",".join(sorted(places, key=lambda name: places[name]))


def _is_time(cell: str) -> bool:
    try:
        parse_time(cell)
    except NoTime:
        return False
    return True


def _read_row(
    path: Path, number: int, cells: list[str], places: Mapping[str, int], units: Mapping[str, str],
    names: Sequence[str], out: Imported,
) -> None:  # fmt: skip
    """Adds the interval of one line, or what is wrong with it."""

    def flaw(what: str, remedy: str) -> None:
        out.flaws.append(LineFlaw(path, f"line {number}", what, remedy))

    if names and len(cells) > len(names):
        flaw(
            f"{len(cells)} cells, expected {len(names)}",
            "Put values that hold the delimiter in quotes, decimal commas too",
        )
        return
    cell = {name: cells[place] if place < len(cells) else "" for name, place in places.items()}
    video = cell.get("video", path.stem)
    for name, value in (("video", video), ("label", cell["label"])):
        if not value or value.startswith("#N/A"):
            flaw(f"no {name}", "Fill the cell, or remove the line")
            return
    times: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for name, unit in units.items():
        try:
            time = parse_time(cell[name])
        except NoTime as error:
            flaw(f"{name}: {error}", "Correct the cell, or remove the line")
            return
        kinds[name] = SECONDS if is_clock(cell[name]) or unit != FRAMES else FRAMES
        times[name] = time / 1000 if unit == "ms" and not is_clock(cell[name]) else time
    if len(set(kinds.values())) > 1:
        flaw("one time is in frames and the other is not", "Write both alike")
        return
    end = times["end"] if "end" in times else times["start"] + times["length"]
    extra = {name: cells[i] if i < len(cells) else "" for i, name in enumerate(names)}
    out.intervals.append(
        Interval(video, times["start"], end, cell["label"], f"line {number}", kinds["start"], extra, path)
    )
    out.videos[video] = None
    if cell.get("subset"):
        out.subsets.setdefault(video, cell["subset"])
