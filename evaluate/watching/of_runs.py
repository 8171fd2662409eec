"""The films of a report: videos that several runs were judged on, each with its truth and all that was detected."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluate.files.names import ENDINGS, VIDEO_KEYS, same_name
from evaluate.metrics.scores import Score
from evaluate.reporting.timeline_rows import TRUTH, Strip
from evaluate.watching.page import Film, Track, link_to

NO_VIDEO = (".npy", ".npz", ".pkl", ".pt")  # endings of what else bears the name of a video


def find_videos(wanted: Sequence[str], given: Sequence[Path]) -> dict[str, Path]:
    """Video -> its file among the files and folders given, by its path in the folder or by its name alone.

    A path that does not exist is a FileNotFoundError.
    """
    names: dict[str, Path] = {}
    for path in given:
        os.stat(path)  # noqa: PTH116  names what is missing
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if ENDINGS.search(file.name) and not file.name.lower().endswith(NO_VIDEO) and file.is_file():
                name = str(file.relative_to(path) if path.is_dir() else Path(file.name))
                names.setdefault(ENDINGS.sub("", name), file)
    exact = {video: names[video] for video in wanted if video in names}
    rest = [video for video in wanted if video not in exact]
    return exact | {video: names[name] for video, name in same_name(rest, list(names), VIDEO_KEYS, alone=True).items()}


def films_of(runs: Mapping[str, Score], strips: Sequence[Strip], files: Mapping[str, Path], folder: Path) -> list[Film]:
    """A film for each strip whose video has a file; folder: where the page will lie."""
    films = []
    for strip in strips:
        if strip.video not in files:
            continue
        annotations = next(iter(runs.values())).annotations
        truth = annotations.videos[strip.video]
        tracks = [Track(TRUTH, truth.segments, [annotations.classes[label] for label in truth.labels])]
        for name, score in runs.items():
            run = score.detections
            mine = np.flatnonzero(run.rehome([strip.video]) == 0)
            labels = [run.labels[label] for label in run.label[mine]]
            tracks.append(Track(name, run.segments[mine], labels, run.scores[mine]))
        file = files[strip.video]
        remedy = "Open the video here, from wherever it is, or a copy of it that browsers play."
        films.append(Film(strip.video, strip.duration_s, tracks, [link_to(file, folder)], str(file), remedy))
    return films


def least_of(strips: Sequence[Strip]) -> float:
    """The lowest score from which any run is shown in the strips; 0 where none is."""
    shown = [row.least for strip in strips for row in strip.rows if row.least is not None and np.isfinite(row.least)]
    return min(shown, default=0.0)
