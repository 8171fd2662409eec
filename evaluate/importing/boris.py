"""BORIS's exports of events as tables: aggregated (a line for each event) and tabular (START and STOP lines)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluate.importing.intervals import Imported, ImportingError, Interval, LineFlaw
from evaluate.importing.spreadsheet import Table, simple
from evaluate.importing.times import NoTime, parse_time

HEADER_WITHIN = 200  # older exports tell of the observation first
START, STOP = ("start", "starts"), ("stop", "stops")
BEHAVIOUR = ("behavior", "behaviour")
MEDIA = ("mediafilename", "mediafile", "mediafilepath", "mediafile(s)")


def find_header(table: Table) -> int | None:
    """The place of the line that names BORIS's columns; None if this is no such table."""
    for place, (_, cells) in enumerate(table[:HEADER_WITHIN]):
        names = {simple(cell) for cell in cells}
        tabular = "time" in names and ("status" in names or "behaviortype" in names)
        aggregated = {"start", "stop"} <= names and ("behaviortype" in names or "observationid" in names)
        if names & set(BEHAVIOUR) and (tabular or aggregated):
            return place
    return None


def read_boris(path: Path, table: Table, header: int) -> Imported:
    """State events become intervals; point events, which have no length, are counted in a remark."""
    names = [simple(cell) for cell in table[header][1]]
    originals = table[header][1]
    rows = []
    for number, cells in table[header + 1 :]:
        padded = [*cells, *[""] * (len(names) - len(cells))]
        rows.append((number, dict(zip(names, padded, strict=False)), dict(zip(originals, padded, strict=False))))
    stated = _stated_media(table[:header])
    if {"start", "stop"} <= set(names):
        out, points = _aggregated(path, rows, stated)
    else:
        out, points = _tabular(path, rows, stated)
    if points:
        out.remarks.append(f"{path}: {points} point events have no length and are left out")
    return out


Rows = Sequence[tuple[int, Mapping[str, str], Mapping[str, str]]]


def _aggregated(path: Path, rows: Rows, stated: str) -> tuple[Imported, int]:
    out, points = Imported("BORIS's aggregated events"), 0
    for number, row, extra in rows:
        if row.get("behaviortype", "").casefold() == "point":
            points += 1
            continue
        try:
            start, end = parse_time(row["start"]), parse_time(row["stop"])
        except NoTime as error:
            out.flaws.append(LineFlaw(path, f"line {number}", str(error), "Export the events from BORIS again"))
            continue
        video = _video(path, number, row, stated)
        out.intervals.append(
            Interval(video, start, end, _behaviour(row), f"line {number}", extra=dict(extra), file=path)
        )
        out.videos[video] = None
    return out, points


def _tabular(path: Path, rows: Rows, stated: str) -> tuple[Imported, int]:
    out, points = Imported("BORIS's tabular events"), 0
    begun: dict[tuple[str, ...], tuple[int, float]] = {}
    for number, row, extra in rows:
        status = (row.get("status") or row.get("behaviortype", "")).casefold()
        if status not in (*START, *STOP):
            points += 1
            continue
        try:
            time = parse_time(row["time"])
        except NoTime as error:
            out.flaws.append(LineFlaw(path, f"line {number}", str(error), "Export the events from BORIS again"))
            continue
        video = _video(path, number, row, stated)
        out.videos[video] = None
        key = (row.get("observationid", ""), video, row.get("subject", ""), _behaviour(row))
        if status in START:
            if key in begun:
                out.flaws.append(_unpaired(path, begun[key][0], key[-1], "START", "STOP"))
            begun[key] = (number, time)
        elif key in begun:
            line, start = begun.pop(key)
            out.intervals.append(Interval(video, start, time, key[-1], f"line {line}", extra=dict(extra), file=path))
        else:
            out.flaws.append(_unpaired(path, number, key[-1], "STOP", "START"))
    out.flaws += [_unpaired(path, line, key[-1], "START", "STOP") for key, (line, _) in begun.items()]
    return out, points


def _unpaired(path: Path, number: int, behaviour: str, has: str, lacks: str) -> LineFlaw:
    return LineFlaw(
        path,
        f"line {number}",
        f"{has} of {behaviour!r} without its {lacks}",
        "Let BORIS mend it (Observations > Check state events) and export again",
    )


def _behaviour(row: Mapping[str, str]) -> str:
    return next((row[name] for name in BEHAVIOUR if row.get(name)), "")


def _video(path: Path, number: int, row: Mapping[str, str], stated: str) -> str:
    """The file's name; BORIS writes "PLAYER #1:/path/video.mp4" in some versions."""
    media = next((row[name] for name in MEDIA if row.get(name)), stated) or row.get("observationid", "")
    media = media.split(";")[0]
    if "#" in media and ":" in media:
        media = media[media.index(":", media.index("#")) + 1 :]
    if not media.strip():
        raise ImportingError(f"{path}: line {number}: no media file and no observation id. Export with both")
    return media.strip()


def _stated_media(lines: Sequence[tuple[int, list[str]]]) -> str:
    """The media file that an older export names above its table."""
    for place, (_, cells) in enumerate(lines):
        if simple(cells[0]) in ("mediafile(s)", "mediafile", "mediafiles"):
            after = [cell for cell in cells[1:] if cell] or [c for _, row in lines[place + 1 : place + 3] for c in row]
            return next((cell for cell in after if "." in cell), "")
    return ""
