"""Cut the longer cues of a video to the shortest: flow often has one step less than RGB (N frames, N - 1 flows)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import features
from features.storage.parts import Part, fingerprint, write_part
from features.storage.store import Store
from features.storage.table import TableRow

USUAL = 2  # steps; more are not the flow between frames but two recipes


class Trimmed(NamedTuple):
    """What was done: streams that were cut, and why others were not, by video."""

    cut: list[str]
    problems: dict[str, str]


def trim(store: Path, videos: Iterable[str], most: int = USUAL) -> Trimmed:
    """Cuts imported streams of these videos to the shortest one of each; the index has to be written anew after it.

    most: steps that may be cut. Only streams with one window and stride belong together; what was extracted here is
    never cut. The steps that are left keep their times.
    """
    opened = features.open(store)
    done = Trimmed([], {})
    for video in videos:
        rows = _cues(opened, video)
        if len({row.num_steps for row in rows}) < 2:
            continue
        shortest = min(rows, key=lambda row: row.num_steps)
        for row in rows:
            surplus = row.num_steps - shortest.num_steps
            if not surplus:
                continue
            pair = f"{row.stream} has {row.num_steps} steps, {shortest.stream} {shortest.num_steps}"
            if surplus > most:
                done.problems[video] = (
                    f"{pair}: more than {most} apart, not trimmed. If that is right: --trim {surplus}"
                )
            elif not opened.is_imported(video, row.stream):
                done.problems[video] = f"{pair}: {row.stream} was extracted and is not trimmed"
            else:
                _cut(opened, store, row, shortest.num_steps)
                done.cut.append(f"{video}: {row.stream} {row.num_steps} -> {shortest.num_steps}")
    opened.close()
    return done


def _cues(opened: Store, video: str) -> list[TableRow]:
    """The streams of a video that have the clips of its first imported one."""
    if video not in opened.videos:
        return []
    rows = [row for stream in opened.streams(video) if (row := opened.row(video, stream)).num_steps >= 0]
    clips = {
        row.stream: tuple(opened.attributes(video, row.stream).get(n) for n in ("window", "stride")) for row in rows
    }
    first = next((clips[row.stream] for row in rows if opened.is_imported(video, row.stream)), None)
    return [row for row in rows if clips[row.stream] == first]


def _cut(opened: Store, store: Path, row: TableRow, num_steps: int) -> None:
    attributes = opened.attributes(row.video, row.stream)
    before = attributes.pop("trimmed_from", attributes["fingerprint"])
    del attributes["complete"]
    attributes |= {
        "fingerprint": fingerprint({"trimmed_from": before, "num_steps": num_steps}),
        "trimmed_from": before,
    }
    arrays = {name: array[:num_steps] for name, array in opened.arrays(row.video, row.stream).items()}
    write_part(store, Part(row.video, row.stream, arrays, attributes))
