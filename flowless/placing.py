"""Intervals of foreign files put onto the videos that are there: whose they are, in seconds, within the video."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from evaluate.files.names import ENDINGS, VIDEO_KEYS, same_name, twins
from evaluate.importing.intervals import FRAMES, Imported, Interval, LineFlaw
from flowless.seen import Seen

ROUNDED_S = 1e-3  # files round to milliseconds
CLOSE = 2000  # videos among which a name that is nearly right is looked for


class Action(NamedTuple):
    """A labelled stretch of a video that is there."""

    video: str
    start_s: float
    end_s: float
    label: str
    of: Interval


@dataclass
class Placed:
    """All files put together."""

    actions: dict[str, list[Action]]  # by video; every video that is used, in order of id
    named: dict[str, str] = field(default_factory=dict)  # as written -> id of the video
    subsets: dict[str, str] = field(default_factory=dict)  # id -> as the files say
    flaws: list[LineFlaw] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def place(files: Sequence[Imported], seen: Mapping[str, Seen], fps: float | None) -> Placed:
    """fps: of times in frames; None: each video's own. Flawed intervals are left out or cut to the video, and told."""
    placed = Placed({video: [] for video, one in seen.items() if one.readable})
    written = dict.fromkeys(name for file in files for name in file.videos)
    placed.named = _names(written, seen)
    strangers = [name for name in written if name not in placed.named]
    hints = {name: _hint(name, seen, set(placed.named.values())) for name in strangers}
    repeated: set[tuple[str, float, float, str]] = set()
    rounded = 0
    for file in files:
        placed.flaws += file.flaws
        placed.remarks += file.remarks
        for name, subset in file.subsets.items():
            if name in placed.named:
                placed.subsets.setdefault(placed.named[name], subset)
        for one in file.intervals:
            video = placed.named.get(one.video)
            if video is None:
                _flaw(placed, one, f"no video {one.video!r} among the {len(seen)} of --videos", hints[one.video])
            elif not seen[video].readable:
                _flaw(placed, one, f"the video cannot be read ({seen[video].problem})", "Then repeat this command")
            else:
                rounded += _put(placed, one, seen[video], fps, repeated)
    if rounded:
        placed.remarks.append(f"{rounded} actions end within a frame after their video and are cut to it")
    _remark_on_classes(placed)
    return placed


def _put(
    placed: Placed, one: Interval, video: Seen, fps: float | None, repeated: set[tuple[str, float, float, str]]
) -> bool:
    """Adds one interval in seconds. True if it was cut by no more than a frame, which is nobody's error."""
    rate = (fps or video.fps) if one.unit == FRAMES else 1.0
    start, end = one.start / rate, one.end / rate
    told = f"{start:g} to {end:g} s" + (f" ({one.start:g} to {one.end:g} frames)" if one.unit == FRAMES else "")
    length = video.duration_s
    slack = 1.5 / video.fps
    if end < start:
        _flaw(placed, one, f"ends before it starts: {told}", "Swap the two times, or correct them; left out")
    elif end == start:
        _flaw(placed, one, f"is empty: {told}", "Give the end of the action; left out")
    elif start < -slack:
        _flaw(placed, one, f"begins before the video: {told}", "Correct the times; left out")
    elif start >= length:
        _flaw(placed, one, f"lies after the end of its video, {length:g} s: {told}", f"{_unit(one, video)}; left out")
    elif (video.video, start, end, one.label) in repeated:
        _flaw(placed, one, f"repeats another line: {one.label!r}, {told}", "Remove one of the two; left out")
    else:
        repeated.add((video.video, start, end, one.label))
        if end > length + slack:
            _flaw(placed, one, f"ends after its video, {length:g} s: {told}", f"{_unit(one, video)}; cut to the video")
        cut = Action(video.video, max(start, 0.0), min(end, length), one.label, one)
        placed.actions[video.video].append(cut)
        return cut.end_s + ROUNDED_S < end <= length + slack
    return False


def _unit(one: Interval, video: Seen) -> str:
    """What would bring a time that is too late into its video."""
    if one.unit == FRAMES:
        return "Check --fps, and that these are frames of this video"
    if one.end / video.fps <= video.duration_s + 1 and one.end == int(one.end):
        return f"Are these frames? Then --fps {video.fps:g}"
    if one.end / 1000 <= video.duration_s:
        return "Are these milliseconds? Then call the columns start_ms and end_ms"
    if one.end % 60 == 0 and one.end / 60 <= video.duration_s:
        return "Spreadsheets read mm:ss as hh:mm: write 00:mm:ss, or format the column as text"
    return "Correct the times"


def _names(written: Iterable[str], seen: Mapping[str, Seen]) -> dict[str, str]:
    """As written -> id: exactly, with the ending of a file, or by the gentlest change that only one video fits."""
    found: dict[str, str] = {}
    others = []
    for name in written:
        plain = name.replace("\\", "/").strip()
        exact = next((one for one in (name, plain, ENDINGS.sub("", plain)) if one in seen), None)
        if exact is None:
            others.append(name)
        else:
            found[name] = exact
    return found | same_name(others, list(seen), VIDEO_KEYS, alone=False)


def _hint(name: str, seen: Mapping[str, Seen], named: Collection[str]) -> str:
    base = ENDINGS.sub("", name.replace("\\", "/").split("/")[-1])
    alike = [video for video in seen if video.split("/")[-1].casefold() == base.casefold()]
    if len(alike) > 1:
        return f"{alike[0]!r} and {alike[1]!r} both fit: write the path below --videos"
    letters = re.sub(r"[0-9]", "", base)
    bases = {
        last: video
        for video in list(seen)[:CLOSE]
        if (last := video.split("/")[-1]) and not (video in named and re.sub(r"[0-9]", "", last) == letters)
    }  # fall-08 is no misspelling of fall-30, which has lines of its own
    close = get_close_matches(base, bases, n=1, cutoff=0.7)
    return f"Is it {bases[close[0]]!r}? Correct the name" if close else "Add the video, or remove the line"


def _flaw(placed: Placed, one: Interval, what: str, remedy: str) -> None:
    placed.flaws.append(LineFlaw(one.file, one.place, what, remedy))


def _remark_on_classes(placed: Placed) -> None:
    labels = sorted({action.label for actions in placed.actions.values() for action in actions})
    for one, other in twins(labels):
        placed.remarks.append(
            f"the classes {one!r} and {other!r} differ only by case, blanks, hyphens or underscores and count as two; "
            "if they are one, write them alike"
        )
