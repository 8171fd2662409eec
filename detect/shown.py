"""What people are shown of the actions of a video: a table, a picture of the timeline, a page to watch, a few lines."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from command.writing import write_text, write_whole
from detect.inference import Detected
from evaluate.files.annotations import Annotations
from evaluate.files.names import VIDEO_KEYS, same_name
from evaluate.reporting.timeline_png import draw_timeline
from evaluate.reporting.timeline_rows import Strip, make_row
from evaluate.watching.page import Film, FilmData, Track, assemble, film_data, link_to

PAGE = "index.html"
PLAYED_FILES = (".mp4", ".m4v", ".mov", ".webm")
PLAYED_CODECS = ("264", "avc1", "vp8", "vp9", "vpx", "av1", "av01")  # in what decoders call H.264, VP8, VP9 and AV1
OFTEN = 100  # videos up to which the page is written after each; beyond, as often as it has grown by a twentieth


class Action(NamedTuple):
    """One detected action."""

    start_s: float
    end_s: float
    label: str
    score: float


def actions_of(found: Detected, classes: Sequence[str]) -> list[Action]:
    """The same by the names of the classes, best first."""
    names = [classes[label] for label in found.labels]
    rows = zip(found.segments.tolist(), names, found.scores.tolist(), strict=True)
    return [Action(start, end, label, score) for (start, end), label, score in rows]


def write_shown(out: Path, name: str, actions: Sequence[Action], duration_s: float, min_score: float) -> list[str]:
    """Table and timeline of one video; a slash in its name is a folder. Returns notes: letters that no font has."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "label", "score"])
    for action in sorted(actions):
        writer.writerow([f"{action.start_s:.3f}", f"{action.end_s:.3f}", action.label, f"{action.score:.4f}"])
    write_whole(out / f"{name}.csv", table.getvalue().encode())
    labels = sorted({action.label for action in actions})
    rows = [
        make_row(
            label,
            [action[:2] for action in actions if action.label == label],
            [label] * sum(action.label == label for action in actions),
            [action.score for action in actions if action.label == label],
            least=min_score,
            best=1.0,
        )
        for label in labels
    ]
    strip = Strip(name, duration_s, tuple(rows or [make_row("nothing found", [], [], [], least=min_score)]))
    return draw_timeline([strip], out / f"{name}.png")


def browsers_play(video: Path, codec: str) -> bool:
    """Whether the page can play a video; codec: as its decoder calls it, "" where that is not known."""
    return video.suffix.lower() in PLAYED_FILES and (not codec or any(word in codec.lower() for word in PLAYED_CODECS))


class Page:
    """The page to watch all videos of a run with what was detected in them; it is whole whenever it is written."""

    def __init__(self, out: Path, least: float, truth: Annotations | None = None) -> None:
        self.path = out / PAGE
        self.least = least
        self.truth = truth
        self.films: list[FilmData] = []
        self.written = 0
        self.strangers: list[str] = []  # not annotated

    def add(self, name: str, video: Path, actions: Sequence[Action], duration_s: float, copy: Path | None) -> None:
        """All detections of one more video. copy: the same film as a browser plays it, where it was made."""
        tracks = [] if (truth := self._truth_of(name)) is None else [truth]
        times, labels, scores = [a[:2] for a in actions], [a.label for a in actions], [a.score for a in actions]
        tracks.append(Track("detected", times, labels, scores))
        playable = [] if video.is_dir() else [video]
        playable += [] if copy is None else [copy]
        remedy = "" if copy else "Run the command again with --burn: this page then plays the copies that it writes. "
        remedy += "Or open the video here, from wherever it is." if video.is_file() else ""
        sources = [link_to(path, self.path.parent) for path in playable]
        file = str(video) if video.is_file() else ""
        self.films.append(film_data(Film(name, duration_s, tracks, sources, file, remedy)))

    def write(self, *, due: bool = False) -> None:
        """due: not if it was written only a few videos ago."""
        new = len(self.films) - self.written
        if not new or (due and len(self.films) > OFTEN and new < len(self.films) / 20):
            return
        write_text(self.path, assemble(self.films, self.least, "Detected actions"))
        self.written = len(self.films)

    def finish(self) -> list[str]:
        """Writes what is not written yet. Returns notes: flaws of the truth, videos that it does not know."""
        self.write()
        if self.truth is None:
            return []
        notes = list(self.truth.remarks)
        if self.strangers:
            notes.append(
                f"{len(self.strangers)} of {len(self.films)} videos are not in {self.truth.source}, the first is "
                f"{self.strangers[0]!r}: the page shows no truth of them"
            )
        return notes

    def _truth_of(self, name: str) -> Track | None:
        if self.truth is None:
            return None
        known = self.truth.videos
        video = name if name in known else same_name([name], list(known), VIDEO_KEYS, alone=True).get(name)
        if video is None:
            self.strangers.append(name)
            return None
        labels = [self.truth.classes[label] for label in known[video].labels]
        return Track("truth", known[video].segments, labels)


def tell(name: str, actions: Sequence[Action]) -> None:
    """What a person wants to read first."""
    print(f"{name}: {len(actions)} actions")
    for action in sorted(actions)[:20]:
        print(f"  {action.start_s:8.2f} - {action.end_s:8.2f} s  {action.score:.2f}  {action.label}")
    if len(actions) > 20:
        print(f"  ... and {len(actions) - 20} more in the table")
