"""One run: a training by a method, its detections and its scores, as steps of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detect.missing import SKIP
from flowless.comparing.methods import Method
from flowless.comparing.watches import Stream
from flowless.graph.job import Step


@dataclass(frozen=True)
class Material:
    """What runs are made from, and how their commands are called."""

    features: Path
    annotations: Path
    train_videos: tuple[str, ...] = ()
    missing: str = "refuse"
    device: str | None = None
    tiou: str | None = None

    @property
    def how(self) -> tuple[str, ...]:
        """What of the commands changes no result of a run that could be made."""
        missing = ("--missing", SKIP) if self.missing == SKIP else ()
        return (*missing, *(() if self.device is None else ("--device", self.device)))

    def watched(self, streams: Iterable[str], videos: Sequence[str]) -> list[Stream]:
        return [Stream(self.features, stream, tuple(videos)) for stream in sorted(set(streams))]


class Judged(NamedTuple):
    """A subset, its videos, and the files that its detections and scores go into."""

    subset: str
    videos: tuple[str, ...]
    detections: Path
    metrics: Path


def average_of(metrics: Path) -> float | None:
    """Average mAP as a fraction, from what evaluate.run wrote; None where it is not there, or not whole."""
    try:
        return float(json.loads(metrics.read_bytes())["average_mAP"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_steps(
    method: Method,
    folder: Path,
    material: Material,
    options: Sequence[str],
    teachers: Mapping[str, tuple[Path, Method]],
    judged: Sequence[Judged],
) -> tuple[Step, ...]:
    """options: further ones of train.run. teachers: by option of train.run, their detectors and what made these."""
    data = ("--features", str(material.features), "--annotations", str(material.annotations))
    train = ["train.run", *data, *method.options.split(), *options]
    for option, (path, _) in teachers.items():
        train += [option, str(path)]
    streams = {*method.streams, *(stream for _, teacher in teachers.values() for stream in teacher.streams)}
    detector = folder / "detector.pt"
    steps = [
        Step(
            (*train, "--out", str(folder)),
            (detector,),
            how=("--resume", *material.how),
            watches=(
                material.annotations,
                *(path for path, _ in teachers.values()),
                *material.watched(streams, material.train_videos),
            ),
            resumes=True,
            keeps=True,
        )
    ]
    for one in judged:
        detect = (
            "detect.run",
            "--detector",
            str(detector),
            *data,
            "--subset",
            one.subset,
            "--out",
            str(one.detections),
        )
        judge = ("evaluate.run", "--detections", str(one.detections), *data[2:], "--subset", one.subset)
        judge += ("--json", str(one.metrics), *(() if material.tiou is None else ("--tiou", material.tiou)))
        table = one.metrics.with_suffix(".txt")
        steps += [
            Step(
                detect,
                (one.detections, one.detections.with_suffix(".report.json")),
                how=material.how,
                watches=(material.annotations, detector, *material.watched(method.streams, one.videos)),
                passes=(0, 3) if material.missing == SKIP else (0,),
            ),
            Step(judge, (one.metrics, table), watches=(material.annotations, one.detections), prints=table),
        ]
    return tuple(steps)
