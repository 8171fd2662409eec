"""Detections: what a detector says happens when, in ActivityNet's results JSON.

    {"results": {"v1": [{"label": "Dive", "score": 0.93, "segment": [2.1, 4.8]}, ...], ...}, "note": {...}}

`write_detections` and `read_detections` are inverse to each other. Detections of other codebases are read by
`evaluate.files.formats`. An entry whose score or segment is not a number, or whose segment ends before it starts, is
refused by name; `degenerate="drop"` leaves such entries out and counts them; `degenerate="keep"` lets them through
to see what an official evaluator makes of them. Empty segments pass: they overlap nothing and count as false.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from command.errors import FlowlessError, shown
from command.writing import write_whole
from evaluate.files.reading import is_number, json_of

DEGENERATE = ("refuse", "drop", "keep")


WITHOUT_FEATURES = "without_features"  # in the note of a file: videos that were asked for and left out


class DetectionError(FlowlessError):
    """A detection file that cannot be evaluated as it is."""


@dataclass(frozen=True)
class Detections:
    """K detections in file order; ties of the score are broken by this order."""

    videos: tuple[str, ...]  # every video of the file, also those without detections
    labels: tuple[str, ...]
    video: NDArray[np.int64]  # (K,) index into videos
    label: NDArray[np.int64]  # (K,) index into labels
    segments: NDArray[np.float64]  # (K, 2) seconds
    scores: NDArray[np.float64]  # (K,)
    dropped: Mapping[str, int]  # why -> how many entries were left out
    source: str = "detections"
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know about how the file was read

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[Any]) -> "Detections":
        """Some of the detections, by a mask or by indices; videos and labels stay."""
        return replace(
            self,
            video=self.video[rows],
            label=self.label[rows],
            segments=self.segments[rows],
            scores=self.scores[rows],
        )

    def renamed(self, videos: Mapping[str, str], labels: Mapping[str, str]) -> "Detections":
        """The same detections with some videos and labels under other names."""
        if not videos and not labels:
            return self
        return replace(
            self,
            videos=tuple(videos.get(name, name) for name in self.videos),
            labels=tuple(labels.get(name, name) for name in self.labels),
        )

    def relabel(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """(K,) index of each detection's label into `labels`; -1 where it is not among them."""
        index = {label: i for i, label in enumerate(labels)}
        return np.array([index.get(label, -1) for label in self.labels] or [-1], dtype=np.int64)[self.label]

    def rehome(self, videos: Sequence[str]) -> NDArray[np.int64]:
        """(K,) index of each detection's video into `videos`; -1 where it is not among them."""
        index = {video: i for i, video in enumerate(videos)}
        return np.array([index.get(video, -1) for video in self.videos] or [-1], dtype=np.int64)[self.video]


def make_detections(
    rows: Sequence[tuple[str, str, float, float, float]],
    videos: Sequence[str] = (),
    *,
    degenerate: str = "refuse",
    source: str = "detections",
) -> Detections:
    """Build from (video, label, start_s, end_s, score) rows; `videos` adds those without detections."""
    names: dict[str, int] = {video: i for i, video in enumerate(videos)}
    labels: dict[str, int] = {}
    video = np.array([names.setdefault(row[0], len(names)) for row in rows], dtype=np.int64)
    label = np.array([labels.setdefault(row[1], len(labels)) for row in rows], dtype=np.int64)
    numbers = np.array([row[2:] for row in rows], dtype=np.float64).reshape(-1, 3)
    return _checked(tuple(names), tuple(labels), video, label, numbers, degenerate, source)


def read_detections(path: Path | str, *, degenerate: str = "refuse") -> Detections:
    """Read an ActivityNet results JSON. Raises DetectionError naming file, video and entry."""
    path = Path(path)
    return detections_from_json(json_of(path, DetectionError), path, degenerate=degenerate)


def detections_from_json(root: Any, path: Path, *, degenerate: str = "refuse") -> Detections:
    """The same from parsed JSON; `path` is for messages."""
    results = root.get("results") if isinstance(root, dict) else None
    if not isinstance(results, dict):
        raise DetectionError(
            f"{path}: expected a JSON object with 'results' -> video -> list of 'label', 'score', 'segment'"
        )
    videos, labels, numbers = [], [], []
    index: dict[str, int] = {}
    for position, (video, entries) in enumerate(results.items()):
        if not isinstance(video, str) or not isinstance(entries, list):
            raise DetectionError(f"{path}: video {shown(video)}: expected a list of detections, found {shown(entries)}")
        try:
            rows = [(*entry["segment"], entry["score"]) for entry in entries]
            names = [entry["label"] for entry in entries]
        except (KeyError, TypeError):
            raise _unreadable(path, results) from None
        if not {type(name) for name in names} <= {str, int}:
            raise _unreadable(path, results)
        numbers += rows
        labels += [index.setdefault(name if isinstance(name, str) else shown(name), len(index)) for name in names]
        videos += [position] * len(rows)
    if not {type(value) for row in numbers for value in row} <= {int, float}:
        raise _unreadable(path, results)
    try:
        array = np.array(numbers, dtype=np.float64).reshape(len(numbers), 3)
    except (ValueError, TypeError, OverflowError):
        raise _unreadable(path, results) from None
    found = _checked(
        tuple(results),
        tuple(index),
        np.array(videos, np.int64),
        np.array(labels, np.int64),
        array,
        degenerate,
        str(path),
    )
    return replace(found, notes=_left_out(root.get("note"), path))


def _left_out(note: Any, path: Path) -> tuple[str, ...]:
    """A sentence where the detector's note tells videos that it was asked for and had no features of."""
    names = note.get(WITHOUT_FEATURES) if isinstance(note, dict) else None
    if not isinstance(names, list) or not names:
        return ()
    first = ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
    many = "1 video had" if len(names) == 1 else f"{len(names)} videos had"
    return (
        f"{path}: {many} no features and never reached the detector (--missing skip): {first}; actions annotated there "
        "count as missed",
    )


def write_detections(
    path: Path | str,
    detections: Mapping[str, tuple[ArrayLike, ArrayLike, Sequence[str]]],
    note: Mapping[str, Any] | None = None,
) -> None:
    """Write {video: (segments (n, 2) seconds, scores (n,), n label names)}; the file appears whole or not at all.

    note: what the detections were made with; kept under "note". Videos without detections are written too: a
    detector that saw nothing is not one that never looked.
    """
    path = Path(path)
    results = {}
    for video, (segments, scores, labels) in detections.items():
        times, confidences = np.asarray(segments, np.float64).reshape(-1, 2), np.asarray(scores, np.float64).ravel()
        if not len(times) == len(confidences) == len(labels):
            raise DetectionError(
                f"{path}: video {video!r}: {len(times)} segments, {len(confidences)} scores and {len(labels)} labels"
            )
        bad = ~(np.isfinite(times).all(1) & np.isfinite(confidences))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DetectionError(
                f"{path}: video {video!r}, detection {first}: segment {times[first].tolist()}, score "
                f"{confidences[first]} are not all numbers; not written"
            )
        results[video] = [
            {"label": label, "score": score, "segment": segment}
            for label, score, segment in zip(labels, confidences.tolist(), times.tolist(), strict=True)
        ]
    content = {"version": "flowless/detections/1", "results": results, "note": dict(note or {})}
    write_whole(path, json.dumps(content).encode())


def _first_unreadable(entries: list[Any]) -> str | None:
    """What is wrong with the first entry that is not a detection, in words."""
    for position, entry in enumerate(entries):
        place = f"entry {position}"
        if not isinstance(entry, dict):
            return f"{place}: expected an object, found {shown(entry)}"
        missing = [key for key in ("label", "score", "segment") if key not in entry]
        if missing:
            return f"{place}: missing {', '.join(map(repr, missing))}"
        if isinstance(entry["label"], bool) or not isinstance(entry["label"], str | int):
            return f"{place}: label must be a name or a class id, found {shown(entry['label'])}"
        segment = entry["segment"]
        if not isinstance(segment, list | tuple) or len(segment) != 2:
            return f"{place}: 'segment' must be [start, end] in seconds, found {shown(segment)}"
        for what, value in (("score", entry["score"]), ("start", segment[0]), ("end", segment[1])):
            if not is_number(value):
                return f"{place}: {what} must be a number, found {shown(value)}"
    return None


def _unreadable(path: Path, results: Mapping[str, list[Any]]) -> DetectionError:
    """The error that names the first entry of a file that is not a detection."""
    for video, entries in results.items():
        if problem := _first_unreadable(entries) if isinstance(entries, list) else "expected a list of detections":
            return DetectionError(f"{path}: video {shown(video)}, {problem}")
    return DetectionError(f"{path}: holds entries that are no detections")


def _checked(
    videos: tuple[str, ...],
    labels: tuple[str, ...],
    video: NDArray[np.int64],
    label: NDArray[np.int64],
    numbers: NDArray[np.float64],  # (K, 3): start, end, score
    degenerate: str,
    source: str,
) -> Detections:
    if degenerate not in DEGENERATE:
        raise ValueError(f"degenerate must be one of {', '.join(DEGENERATE)}, not {degenerate!r}")
    unscored = np.isnan(numbers[:, 2])
    infinite = ~np.isfinite(numbers[:, 0] + numbers[:, 1])
    backwards = numbers[:, 1] < numbers[:, 0]
    bad = unscored | infinite | backwards
    reasons = {
        "a score that is not a number": unscored,
        "a segment that is not finite": infinite,
        "a segment that ends before it starts": backwards,
    }
    dropped: dict[str, int] = {}
    if bad.any() and degenerate == "refuse":
        first = int(np.flatnonzero(bad)[0])
        entry = int((video[:first] == video[first]).sum())
        why = next(reason for reason, rows in reasons.items() if rows[first])
        start, end, score = numbers[first].tolist()
        raise DetectionError(
            f"{source}: video {videos[video[first]]!r}, entry {entry}: {why} (score {score:g}, segment {start:g} to "
            f"{end:g}); {int(bad.sum())} of {len(numbers)} detections are like this. Correct the detector that wrote "
            f"them, or leave them out with --lenient"
        )
    if bad.any() and degenerate == "drop":
        left = np.ones(len(numbers), dtype=bool)
        for reason, rows in reasons.items():
            if count := int((rows & left).sum()):
                dropped[reason] = count
            left &= ~rows
        video, label, numbers = video[~bad], label[~bad], numbers[~bad]
    return Detections(videos, labels, video, label, numbers[:, :2].copy(), numbers[:, 2].copy(), dropped, source)
