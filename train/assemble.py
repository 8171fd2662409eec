"""From a configuration to a run that can start: data checked, detector and method built, teachers cached."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import features
from detect.detector import Detector, DetectorConfig
from detect.fusion import FusionConfig
from evaluate.annotations import Annotations, read_annotations
from features.rates import note_of_many, rates_of, usual_rate
from features.store import Store
from train.checkpoint import Run
from train.config import Config, Data, TrainingError, from_dict
from train.dataset import Samples
from train.memory import Memory
from train.methods import METHODS
from train.methods.base import Method, Normaliser
from train.optimiser import Average, make_optimiser
from train.teacher import ROLES, cache_of, cache_teacher, check_teacher, motion_branch
from train.unlabelled import Unlabelled, find_unlabelled, labelled_part, unlabelled_pool
from train.videos import Pool, channel_statistics, outside, videos_of

TRAINED_ON_VALIDATION = ("thumos14", "multithumos")  # their training sets are trimmed clips


@dataclass(frozen=True)
class Material:
    """What there is to learn from."""

    store: Store
    truth: Annotations  # of the labelled videos; its classes are those of the whole file
    unlabelled: Unlabelled | None = None

    @property
    def streams(self) -> set[str]:
        """What the store holds of any labelled video."""
        return {s for v in self.truth.videos if v in self.store.videos for s in self.store.streams(v)}

    @property
    def num_steps(self) -> int:
        return sum(
            self.store.row(v, self.store.streams(v)[0]).num_steps for v in self.truth.videos if v in self.store.videos
        )


def open_material(data: Data) -> Material:
    """Annotations of the training subset and the store of their features; remarks about either go to stderr."""
    everything = read_annotations(data.annotations, strict=not data.repair, repair=data.repair or "clip")
    truth = labelled_part(everything.subset(training_subset(everything, data)), data.train_videos)
    if data.strict and truth.flaws:
        raise TrainingError(f"{data.annotations}: {'; '.join(truth.remarks)}. Correct the file, or leave --strict away")
    for remark in truth.remarks:
        print(f"{data.annotations}: {remark}", file=sys.stderr)
    fps = data.fps or {video: t.fps for video, t in truth.videos.items() if t.fps}
    store = features.open(data.features, fps=fps, window=data.window, stride=data.stride)
    unlabelled = find_unlabelled(data, everything, truth, store)
    if unlabelled is not None:
        print(unlabelled.remark, file=sys.stderr)
    return Material(store, truth, unlabelled)


def training_subset(truth: Annotations, data: Data) -> str:
    """The subset asked for, else the one that everybody trains on."""
    usual = "Validation" if truth.dataset in TRAINED_ON_VALIDATION else "Training"
    name = data.subset or usual
    if name.lower() not in {subset.lower() for subset in truth.subsets}:
        raise TrainingError(
            f"{data.annotations}: no video of subset {name!r}; subsets there: "
            f"{', '.join(map(repr, truth.subsets))}. Say which to learn from with --train-subset"
        )
    return name


def assemble(config: Config, material: Material, folder: Path) -> tuple[Run, Samples]:
    """Everything `loop.fit` needs. The same configuration gives the same weights and samples."""
    if config.optimiser.threads:
        torch.set_num_threads(config.optimiser.threads)
    device = choose_device(config.device)
    kind = METHODS[config.method]
    branches = kind.branches(config.cues)
    student_cues = tuple(dict.fromkeys(branches))
    teachers = load_teachers(config, kind)
    cues = tuple(dict.fromkeys([*student_cues, *(cue for teacher in teachers.values() for cue in teacher.cues)]))
    pools = make_pools(material, cues, config.model.resize)
    if kind.needs_teacher:
        check_rgb(material.store, pools[0].videos[0].name, student_cues)
    seed_everything(config.seed)
    detector = Detector(detector_config(config, branches, material))
    rates = rates_of(material.store, material.truth.videos, student_cues[0], detector.config.stride)
    if remark := note_of_many(rates):
        print(f"note: {remark}", file=sys.stderr)
    if config.model.normalise:
        detector.set_normalisation({cue: channel_statistics(pools, cue, config.model.resize) for cue in student_cues})
    memory = Memory(int(config.sampling.memory_gib * 2**30))
    for role, teacher in teachers.items():
        check_teacher(Path(getattr(config, ROLES[role])), teacher.config, detector.config, material.store, role)
    pools = [
        with_teachers(pool, config, teachers, cache_of(pool.store, folder, name), memory, device)
        for pool, name in zip(pools, ("teacher", "teacher-unlabelled"), strict=False)
    ]
    optimiser = config.optimiser
    normaliser = Normaliser(optimiser.normaliser, optimiser.normaliser_momentum)
    method = kind(detector, method_options(config), normaliser).to(device)
    unlabelled = pools[1] if len(pools) > 1 else None
    samples = Samples(pools[0], unlabelled, student_cues, config.sampling, config.seed, detector, memory)
    average = Average(detector, optimiser.ema, optimiser.ema_warmup)
    return Run(method, average, make_optimiser(method, optimiser)), samples


def detector_config(config: Config, branches: tuple[str, ...], material: Material) -> DetectorConfig:
    store, model = material.store, config.model
    first = next(iter(material.truth.videos))
    attributes = store.attributes(first, branches[0])
    return DetectorConfig(
        classes=material.truth.classes,
        feature_dims={cue: int(store.read(first, cue, 0, 1).shape[1]) for cue in dict.fromkeys(branches)},
        branches=branches,
        width=model.width,
        projection_depth=model.projection_depth,
        dropout=model.dropout,
        fusion=FusionConfig(kind=model.fusion),
        head=model.head,
        resize=model.resize,
        head_config=dict(config.head_options),
        normalise=model.normalise,
        feature_ids={cue: store.feature_id(cue) for cue in dict.fromkeys(branches)},
        window=int(attributes["window"]),
        stride=int(attributes["stride"]),
        geometry=str(attributes.get("geometry", "")),
        steps_per_s=usual_rate(rates_of(store, material.truth.videos, branches[0], int(attributes["stride"]))),
    )


def make_pools(material: Material, cues: Sequence[str], resize: int | None) -> list[Pool]:
    """The labelled videos and, where there are some, those without labels; both checked against their stores."""
    store, truth = material.store, material.truth
    videos = videos_of(store, truth, cues, resize)
    if remark := outside(store, truth, videos):
        print(remark, file=sys.stderr)
    pools = [Pool(store, videos)]
    if material.unlabelled is not None:
        pools.append(unlabelled_pool(material.unlabelled, store, [video.name for video in videos], cues, resize))
    return pools


def with_teachers(
    pool: Pool, config: Config, teachers: Mapping[str, Detector], cache: Path, memory: Memory, device: torch.device
) -> Pool:
    """The pool with every teacher's answers to its videos."""
    names = [video.name for video in pool.videos]
    cached = {
        role: cache_teacher(Path(getattr(config, ROLES[role])), teacher, pool.store, names, cache, memory, device, role)
        for role, teacher in teachers.items()
    }
    return replace(pool, teachers=cached)


def check_rgb(store: Store, video: str, cues: Sequence[str]) -> None:
    """Refuse, for a student that is to detect from RGB, a stream that was made from anything else."""
    for cue in cues:
        shown = store.attributes(video, cue).get("cue", "rgb")
        if shown != "rgb":
            raise TrainingError(
                f"--cues {','.join(cues)}: the stream {cue!r} of {store.path} was made from {shown}. "
                f"A distilling method reads rgb alone; extract it with extract.rgb"
            )


def load_teachers(config: Config, kind: type[Method]) -> dict[str, Detector]:
    """The frozen teachers of a distilling method by role; a missing one is an error saying how to make it."""
    if not kind.needs_teacher:
        refuse_distillation(config)
        return {}
    cue = config.cue or "flow"
    data = config.data
    if not config.teacher:
        raise TrainingError(
            f"method {config.method} learns from a motion teacher: give it with --teacher runs/{cue}/detector.pt. "
            f"To make it:\n  python -m train.run --features {data.features} --annotations {data.annotations} "
            f"--method supervised --cues {cue} --head {config.model.head} --out runs/{cue}"
        )
    if (data.unlabelled or data.unlabelled_subset) and not config.joint_teacher:
        print("without --joint-teacher the deployed head hears nothing of videos without labels", file=sys.stderr)
    teachers = {role: Detector.load(path) for role, name in ROLES.items() if (path := getattr(config, name))}
    branches = teachers["motion"].config.branches
    watched = " and ".join(branches)
    if config.cue and {branch for branch in branches if branch != "rgb"} != {config.cue}:
        raise TrainingError(
            f"{config.teacher}: watches {watched}, but --cue is {config.cue}. "
            f"Leave --cue away, or name a teacher of this cue"
        )
    if motion_branch(branches) is None:
        lacking = f"{config.teacher}: watches {watched} with no single motion branch whose features could be mimicked"
        if kind.needs_teacher_features:
            raise TrainingError(f"{lacking}, which is all that {config.method} does. Name a teacher of one motion cue")
        print(f"{lacking}: its predictions alone teach the motion branch", file=sys.stderr)
    return teachers


def refuse_distillation(config: Config) -> None:
    """Of a method that learns from ground truth alone, whatever only a teacher could make use of."""
    data = config.data
    for option, given, why in (
        ("--teacher", config.teacher, "has no teacher"),
        ("--joint-teacher", config.joint_teacher, "has no teacher"),
        ("--unlabelled", data.unlabelled, "learns from ground truth alone, which videos without labels have none of"),
        ("--unlabelled-subset", data.unlabelled_subset, "learns from ground truth alone, and would not read it there"),
    ):
        if given:
            distilling = ", ".join(name for name, kind in METHODS.items() if kind.needs_teacher)
            raise TrainingError(
                f"{option} {given}: method {config.method} {why}. Leave {option} away (with --config: give "
                f"{option} ''), or take a method that distils a teacher: {distilling}"
            )


def method_options(config: Config) -> Any:
    return from_dict(METHODS[config.method].Options, config.method_options, f"method {config.method}")


def choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: this PyTorch sees no CUDA device. Leave --device away to train on the CPU")
    return torch.device(name)


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (for code that draws from the global generator)
    torch.manual_seed(seed)
