"""What a comparison is asked for, found out and checked before anything begins."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from command.errors import FlowlessError
from detect.missing import SHOWN, SKIP
from evaluate.files.annotations import Annotations
from evaluate.files.subsets import usual_subset
from evaluate.metrics.protocols import protocol_for
from extract.backbones import BACKBONES, find_backbone
from extract.backbones.base import Backbone
from flowless.comparing.methods import BOTH_IN_ONE, NONE, SECOND, Method, Student

DISTILL, TWIN, SHIPPED, NO_STUDENT = "distill", "twin", "shipped", "none"
STUDENTS = (SHIPPED, DISTILL, TWIN, NO_STUDENT)


class CompareError(FlowlessError):
    """A comparison that cannot begin."""


@dataclass(frozen=True)
class Network:
    """The backbone, and the weights of each stream where others than those that ship with it are asked for."""

    name: str
    weights: Mapping[str, Path] = field(default_factory=dict)  # by cue: "rgb", "flow", "gradient"

    @property
    def kind(self) -> type[Backbone]:
        return find_backbone(self.name)


@dataclass(frozen=True)
class Asked:
    """All that decides the jobs of a comparison."""

    annotations: Path
    out: Path
    features: Path
    flow: Path
    methods: tuple[Method, ...]
    heads: tuple[str, ...]
    seeds: tuple[int, ...]
    cues: tuple[str, ...]  # motion cues whose features are made; the first is what the methods without a suffix watch
    train_subset: str
    subset: str  # detected in and judged on
    videos: tuple[str, ...] = ()  # as given; none: the features are there
    listed: Mapping[str, Path] = field(default_factory=dict)  # the same by id
    network: Network = field(default_factory=lambda: Network("i3d_inception"))
    student: str = NO_STUDENT
    train: tuple[str, ...] = ()  # further arguments of train.run
    tiou: str | None = None
    missing: str = "refuse"
    device: str | None = None
    workers: int = 1
    shards: int = 1

    @property
    def first_head(self) -> str:
        return self.heads[0]


def student_of(kind: str) -> Student:
    """The streams that a student of this kind gives."""
    return {NO_STUDENT: NONE, DISTILL: SECOND}.get(kind, BOTH_IN_ONE)


def choose_student(asked: str | None, network: Network, streams: set[str], has_videos: bool) -> str:
    """The kind of student: as asked for; else what the store holds, or ships with the backbone, or is to be taught."""
    if not has_videos:
        there = {NO_STUDENT}
        there |= {DISTILL} if "rgb_motion" in streams else set()
        there |= {TWIN, SHIPPED} if "rgb_twin_motion" in streams else set()
        if asked is not None and asked not in there:
            raise CompareError(
                f"--student {asked}: without --videos nobody can learn from them, and the features hold "
                f"{', '.join(sorted(streams)) or 'nothing'}. Give --videos, or --student none"
            )
        return asked or next(kind for kind in (SHIPPED, DISTILL, NO_STUDENT) if kind in there)
    ships = network.name in BACKBONES and network.kind.shipped_weights("rgb_twin") is not None
    if asked == SHIPPED and not ships:
        raise CompareError(
            f"--student shipped: {network.name} ships none. --student twin (or distill) teaches one on the training "
            "videos"
        )
    return asked or (SHIPPED if ships else TWIN)


def check_weights(network: Network, cues: tuple[str, ...]) -> None:
    """Refuses networks that nobody trained: features of random weights tell little."""
    for cue, path in network.weights.items():
        if not path.is_file():
            raise CompareError(f"--{cue}-weights {path}: no such file")
    if network.name not in BACKBONES:
        return
    for cue in ("rgb", *cues):
        if cue not in network.weights and network.kind.shipped_weights(cue) is None:
            raise CompareError(
                f"--backbone {network.name}: ships no weights for {cue}. Give --{cue}-weights FILE "
                "(docs/extraction.md says which are read), or take --backbone nano, which ships small ones"
            )


def choose_subsets(truth: Annotations, train: str | None, test: str | None) -> tuple[str, str]:
    """The subsets to learn from and to judge on; where nothing is said, those that everybody takes."""
    there = {subset.lower(): subset for subset in truth.subsets}
    for option, name in (("--train-subset", train), ("--subset", test)):
        if name is not None and name.lower() not in there:
            raise CompareError(f"{option} {name}: {truth.source} has {', '.join(truth.subsets)}")
    learnt = there.get((train or usual_subset(truth)).lower())
    usual = [test, protocol_for(truth, False).subset, "test", "testing", "validation", "val"]
    judged = next((there[name.lower()] for name in usual if name and name.lower() in there and there[name.lower()]
                   != learnt), None)  # fmt: skip
    if learnt is None:
        left = [subset for subset in truth.subsets if subset != judged]
        learnt = left[0] if len(left) == 1 else None
    if learnt is None or judged is None:
        raise CompareError(
            f"{truth.source}: subsets {', '.join(truth.subsets)}. Say which to learn from with --train-subset, and "
            "which to judge on with --subset"
        )
    return learnt, judged


def without_file(truth: Annotations, listed: Mapping[str, Path], missing: str) -> list[str]:
    """The annotated videos of which there is no file; CompareError unless these may be skipped."""
    lacking = [video for video in truth.videos if video not in listed]
    if not lacking:
        return []
    shown = ", ".join(lacking[:SHOWN]) + (" ..." if len(lacking) > SHOWN else "")
    said = f"{len(lacking)} of {len(truth.videos)} annotated videos have no file in --videos: {shown}"
    if missing != SKIP or len(lacking) == len(truth.videos):
        more = "" if len(lacking) == len(truth.videos) else ", or go on without them with --missing skip"
        raise CompareError(
            f"{said}. A file is called as its video in the annotations (python -m flowless.doctor --videos says what "
            f"is nearly alike). Put them there{more}"
        )
    print(f"{said}; left out of the training, and missed in the test", file=sys.stderr)
    return lacking
