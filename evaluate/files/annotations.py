"""Ground truth: which actions happen when, in which video.

    annotations = read_annotations("demo/annotations.json").subset("Test")

Reads the ActivityNet-style JSON that ActionFormer and OpenTAD read (`database` -> video -> `subset`, `duration`,
`annotations` of `label`, `segment` in seconds), mmaction2's (video -> `duration_second`, `annotations`; one file to a
subset), and a folder of THUMOS'14's own text files.

A file that contradicts itself is refused: an empty or reversed segment, one outside its video, a label not in the
class list. Two exceptions, both counted and said in `remarks`: the flaws that THUMOS'14, MultiTHUMOS and
ActivityNet-1.3 are known for (`evaluate.files.published`), and everything else when `strict=False`. What happens
then is `repair`: "clip" cuts segments to their video and drops what is left empty, repeated or reversed (for training);
"drop" takes every flawed segment out; "keep" leaves all as published, which is what the official evaluators do.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluate.files.annotation_files import AnnotationError, Entry, json_entries, thumos_text_entries
from evaluate.files.class_ids import ClassIds, ids_of
from evaluate.files.names import twins
from evaluate.files.published import recognise
from evaluate.files.reading import collector_paused

AMBIGUOUS = "Ambiguous"  # THUMOS'14's label for "an action, but we would not say which": not a class
SLACK_S = 1e-3  # files round durations and segments differently; less than this beyond the end is no one's error
REPAIRS = ("keep", "clip", "drop")
REMEDY = "Correct the file, or say what to do with such segments: --repair clip or --repair drop"
FLAWS = {
    "outside": "reaches outside the video",
    "empty": "is empty",
    "reversed": "ends before it starts",
    "duplicate": "repeats another one of the same video",
}


@dataclass(frozen=True)
class VideoTruth:
    """What one video holds. `duration_s` is nan where the source does not tell it (THUMOS text files)."""

    subset: str
    duration_s: float
    fps: float | None
    segments: NDArray[np.float64]  # (N, 2) seconds, in file order
    labels: NDArray[np.int64]  # (N,) index into Annotations.classes
    group: str = ""  # of videos that show the same person, room or event; empty where the source tells none


@dataclass(frozen=True)
class Flaw:
    """One segment that contradicts its file, and what was done about it."""

    kind: str  # a key of FLAWS
    video: str
    segment: tuple[float, float]
    action: str  # "kept", "clipped" or "dropped"


@dataclass(frozen=True)
class Annotations:
    """Classes and videos, in file order. `classes` are those of the whole file, whatever the subset."""

    classes: tuple[str, ...]
    videos: dict[str, VideoTruth]
    ambiguous: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # video -> (n, 2) seconds
    dataset: str | None = None  # name of the published data set that these classes are
    flaws: tuple[Flaw, ...] = ()
    source: str = "annotations"
    ids: ClassIds = field(default_factory=ClassIds)  # what numbers the file gives its classes

    @property
    def subsets(self) -> tuple[str, ...]:
        """In the order in which they first appear."""
        return tuple(dict.fromkeys(truth.subset for truth in self.videos.values()))

    @property
    def num_segments(self) -> int:
        """Over all videos; ambiguous ones are not counted."""
        return sum(len(truth.segments) for truth in self.videos.values())

    def subset(self, name: str) -> "Annotations":
        """The videos of one subset; upper and lower case are the same."""
        chosen = [v for v, truth in self.videos.items() if truth.subset.lower() == name.lower()]
        if not chosen:
            there = ", ".join(repr(subset) for subset in self.subsets) or "none"
            raise AnnotationError(f"{self.source}: no video of subset {name!r}; subsets in this file: {there}")
        return self._of(chosen)

    def only(self, videos: Sequence[str]) -> "Annotations":
        """These videos, in this order; one that is not annotated is an error."""
        unknown = [video for video in videos if video not in self.videos]
        if unknown:
            close = difflib.get_close_matches(unknown[0], self.videos, n=1)
            hint = f"; the nearest annotated video is {close[0]!r}" if close else ""
            raise AnnotationError(
                f"{self.source}: {len(unknown)} of {len(videos)} videos asked for are not annotated, "
                f"the first is {unknown[0]!r}{hint}. Annotate them or take them off the list"
            )
        return self._of(videos)

    def without(self, videos: Sequence[str]) -> "Annotations":
        """All other videos; names that are not there do no harm."""
        gone = set(videos)
        return self._of([video for video in self.videos if video not in gone])

    def _of(self, videos: Sequence[str]) -> "Annotations":
        chosen = set(videos)
        return replace(
            self,
            videos={video: self.videos[video] for video in videos},
            ambiguous={video: rows for video, rows in self.ambiguous.items() if video in chosen},
            flaws=tuple(flaw for flaw in self.flaws if flaw.video in chosen),
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """One sentence for every kind of flaw that was let through or repaired: to be printed, always."""
        groups: dict[tuple[str, str], list[Flaw]] = {}
        for flaw in self.flaws:
            groups.setdefault((flaw.kind, flaw.action), []).append(flaw)
        sentences = []
        for (kind, action), flaws in groups.items():
            start, end = flaws[0].segment
            many = "segments" if len(flaws) > 1 else "segment"
            sentences.append(
                f"{len(flaws)} {many} {action}: each {FLAWS[kind]} (first: {flaws[0].video}, {start:g} to {end:g} s)"
            )
        for one, other in twins(self.classes):
            sentences.append(
                f"the classes {one!r} and {other!r} differ only by case, blanks, hyphens or underscores and count as "
                f"two; if they are one, give both the same label in {self.source}"
            )
        return tuple(sentences)


def read_annotations(
    path: Path | str, classes: Sequence[str] | None = None, *, strict: bool = True, repair: str = "clip"
) -> Annotations:
    """Read an annotation JSON (ActivityNet's or mmaction2's), or a folder of THUMOS'14 text (`<Class>_test.txt`, ...).

    classes: the class list that labels must come from, in this order. Left out, the file's own: ordered by
    `label_id` where every annotation has one, else by name.
    """
    if repair not in REPAIRS:
        raise ValueError(f"repair must be one of {', '.join(REPAIRS)}, not {repair!r}")
    with collector_paused():
        return _read(Path(path), classes, strict, repair)


def make_annotations(
    videos: Mapping[str, Sequence[tuple[float, float, str]]],
    durations_s: Mapping[str, float] | None = None,
    *,
    fps: Mapping[str, float] | None = None,
    subset: str = "",
    source: str = "annotations",
) -> Annotations:
    """From (start_s, end_s, label) rows by video; a video of no rows holds no action. Classes are ordered by name.

    durations_s: seconds by video; where none is told, segments are not compared with it. AnnotationError for a segment
    that is empty, reversed or outside its video.
    """
    entries = []
    for video, rows in videos.items():
        times, labels = [(float(start), float(end)) for start, end, _ in rows], [str(label) for *_, label in rows]
        duration_s = (durations_s or {}).get(video, nan)
        entries.append(Entry(video, subset, duration_s, (fps or {}).get(video), times, labels, [None] * len(rows)))
    return _judged(entries, Path(source), None, frozenset(), "clip", "Correct it, or leave it out")


def _read(path: Path, classes: Sequence[str] | None, strict: bool, repair: str) -> Annotations:
    entries = thumos_text_entries(path) if path.is_dir() else json_entries(path)
    return _judged(entries, path, classes, None if strict else frozenset(FLAWS), repair)


def _judged(
    entries: list[Entry],
    path: Path,
    classes: Sequence[str] | None,
    tolerated: frozenset[str] | None,
    repair: str,
    remedy: str = REMEDY,
) -> Annotations:
    """tolerated: the flaws that are let through; None: those that a published data set is known for."""
    pairs: dict[tuple[str, int | None], None] = {}
    for entry in entries:
        pairs |= dict.fromkeys(zip(entry.labels, entry.ids, strict=True))
    pairs = dict.fromkeys(pair for pair in pairs if pair[0] != AMBIGUOUS)
    names = _classes_of(entries, pairs, classes, path)
    known = recognise(names, [entry.video for entry in entries])
    index = {name: i for i, name in enumerate(names)}
    if tolerated is None:
        tolerated = known.flaws if known else frozenset()
    videos, ambiguous, flaws = {}, {}, []
    for entry in entries:
        segments, labels = entry.segments, entry.labels
        if not _is_sound(entry):
            segments, labels, found = _repaired(entry, tolerated, repair, path, remedy)
            flaws += found
        if AMBIGUOUS in labels:
            labelled = list(zip(segments, labels, strict=True))
            ambiguous[entry.video] = np.array([times for times, label in labelled if label == AMBIGUOUS], np.float64)
            segments = [times for times, label in labelled if label != AMBIGUOUS]
            labels = [label for label in labels if label != AMBIGUOUS]
        videos[entry.video] = VideoTruth(
            subset=entry.subset,
            duration_s=entry.duration_s,
            fps=entry.fps,
            segments=np.array(segments, dtype=np.float64).reshape(-1, 2),
            labels=np.array([index[label] for label in labels], dtype=np.int64),
            group=entry.group,
        )
    return Annotations(names, videos, ambiguous, known.name if known else None, tuple(flaws), str(path), ids_of(pairs))


def _classes_of(
    entries: list[Entry], pairs: Mapping[tuple[str, int | None], None], classes: Sequence[str] | None, path: Path
) -> tuple[str, ...]:
    """pairs: every (label, `label_id`) of the file, Ambiguous left out."""
    if classes is not None:
        known = set(classes)
        if strange := next((label for label, _ in pairs if label not in known), None):
            raise AnnotationError(_not_among(strange, entries, classes, path))
        return tuple(classes)
    ids: dict[str, int | None] = {}
    for label, number in pairs:
        if ids.setdefault(label, number) != number:
            ids[label] = None
    numbers = [number for number in ids.values() if number is not None]
    if len(numbers) == len(ids) == len(set(numbers)):
        return tuple(sorted(ids, key=lambda label: ids[label] or 0))
    return tuple(sorted(ids))


def _not_among(label: str, entries: list[Entry], classes: Sequence[str], path: Path) -> str:
    entry = next(entry for entry in entries if label in entry.labels)
    close = difflib.get_close_matches(label, classes, n=1)
    hint = f"; the nearest is {close[0]!r}" if close else ""
    return (
        f"{path}: video {entry.video!r}, annotation {entry.labels.index(label)}: label {label!r} is not among the "
        f"{len(classes)} classes{hint}. Correct the label or add it to the class list"
    )


def _is_sound(entry: Entry) -> bool:
    """Whether no segment of the video has a flaw, told in a quarter of the time that `_repaired` takes."""
    latest = inf if isnan(entry.duration_s) else entry.duration_s
    if not all(0 <= start < end <= latest for start, end in entry.segments):
        return False
    return len(set(zip(entry.segments, entry.labels, strict=True))) == len(entry.segments)


def _repaired(
    entry: Entry, tolerated: frozenset[str], repair: str, path: Path, remedy: str
) -> tuple[list[tuple[float, float]], list[str], list[Flaw]]:
    """The segments of one video that stay, as they stay, and what was wrong with them."""
    kept: list[tuple[tuple[float, float], str]] = []
    flaws: list[Flaw] = []
    seen: set[tuple[float, float, str]] = set()
    for position, ((start, end), label) in enumerate(zip(entry.segments, entry.labels, strict=True)):
        kind = _flaw_of(start, end, label, entry.duration_s, seen)
        seen.add((start, end, label))
        if kind is None:
            kept.append(((start, end), label))
            continue
        beyond = max(end - entry.duration_s, -start)
        minor = kind == "duplicate" or (kind == "outside" and beyond <= SLACK_S)
        if (kind not in tolerated and not minor) or (kind == "reversed" and repair == "keep"):
            raise AnnotationError(
                f"{path}: video {entry.video!r}, annotation {position} ({label!r}): the segment {start:g} to {end:g} s "
                f"{FLAWS[kind]} (0 to {entry.duration_s:g} s). {remedy}"
            )
        whole = (max(start, 0.0), min(end, entry.duration_s))
        if repair == "keep" or (minor and kind == "outside" and repair == "drop"):
            kept.append(((start, end), label))
            flaws.append(Flaw(kind, entry.video, (start, end), "kept"))
        elif repair == "clip" and kind == "outside" and whole[1] - whole[0] > 0:
            kept.append((whole, label))
            flaws.append(Flaw(kind, entry.video, (start, end), "clipped"))
        else:
            flaws.append(Flaw(kind, entry.video, (start, end), "dropped"))
    return [times for times, _ in kept], [label for _, label in kept], flaws


def _flaw_of(
    start: float, end: float, label: str, duration_s: float, seen: set[tuple[float, float, str]]
) -> str | None:
    if end < start:
        return "reversed"
    if end == start:
        return "empty"
    if start < 0 or end > duration_s:  # never true for an unknown duration, nan
        return "outside"
    return "duplicate" if (start, end, label) in seen else None
