"""From a configuration to a run that can start: data checked, detector and method built, teacher cached."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import features
from detect.detector import Detector, DetectorConfig
from detect.fusion import FusionConfig
from evaluate.annotations import Annotations, read_annotations
from features.store import Store
from train.checkpoint import Run
from train.config import Config, Data, TrainingError, from_dict
from train.dataset import Samples
from train.memory import Memory
from train.methods import METHODS
from train.methods.base import Method, Normaliser
from train.optimiser import Average, make_optimiser
from train.teacher import cache_teacher, check_teacher
from train.videos import channel_statistics, outside, videos_of

TRAINED_ON_VALIDATION = ("thumos14", "multithumos")  # their training sets are trimmed clips


@dataclass(frozen=True)
class Material:
    """What there is to learn from."""

    store: Store
    truth: Annotations  # of the training subset; its classes are those of the whole file

    @property
    def num_steps(self) -> int:
        return sum(
            self.store.row(v, self.store.streams(v)[0]).num_steps for v in self.truth.videos if v in self.store.videos
        )


def open_material(data: Data) -> Material:
    """Annotations of the training subset and the store of their features; remarks about either go to stderr."""
    truth = read_annotations(data.annotations, strict=not data.repair, repair=data.repair or "clip")
    truth = truth.subset(training_subset(truth, data))
    if data.strict and truth.flaws:
        raise TrainingError(f"{data.annotations}: {'; '.join(truth.remarks)}. Correct the file, or leave --strict away")
    for remark in truth.remarks:
        print(f"{data.annotations}: {remark}", file=sys.stderr)
    fps = data.fps or {video: t.fps for video, t in truth.videos.items() if t.fps}
    return Material(features.open(data.features, fps=fps, window=data.window, stride=data.stride), truth)


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
    teacher = load_teacher(config, kind, material.store)
    teacher_cues = tuple(teacher.cues) if teacher is not None else ()
    resize = config.model.resize
    videos = videos_of(material.store, material.truth, (*student_cues, *teacher_cues), resize)
    if remark := outside(material.store, material.truth, videos):
        print(remark, file=sys.stderr)
    seed_everything(config.seed)
    detector = Detector(detector_config(config, branches, material))
    if config.model.normalise:
        detector.set_normalisation(
            {cue: channel_statistics(material.store, videos, cue, resize) for cue in student_cues}
        )
    memory = Memory(int(config.sampling.memory_gib * 2**30))
    cached = None
    if teacher is not None:
        path = Path(config.teacher)
        check_teacher(path, teacher.config, detector.config, material.store)
        names = [video.name for video in videos]
        cached = cache_teacher(path, teacher, material.store, names, folder, memory, device)
    optimiser = config.optimiser
    normaliser = Normaliser(optimiser.normaliser, optimiser.normaliser_momentum)
    method = kind(detector, method_options(config), normaliser).to(device)
    samples = Samples(material.store, videos, student_cues, config.sampling, config.seed, detector, memory, cached)
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
    )


def load_teacher(config: Config, kind: type[Method], store: Store) -> Detector | None:
    """The frozen teacher of a distilling method, None for others; a missing one is an error saying how to make it."""
    if not kind.needs_teacher:
        return None
    cue = config.cue or "flow"
    data = config.data
    if not config.teacher:
        raise TrainingError(
            f"method {config.method} learns from a motion teacher: give it with --teacher runs/{cue}/detector.pt. "
            f"To make it:\n  python -m train.run --features {data.features} --annotations {data.annotations} "
            f"--method supervised --cues {cue} --head {config.model.head} --out runs/{cue}"
        )
    teacher = Detector.load(config.teacher)
    if config.cue and teacher.config.branches != (config.cue,):
        raise TrainingError(
            f"{config.teacher}: watches {' and '.join(teacher.config.branches)}, but --cue is {config.cue}. "
            f"Leave --cue away, or name a teacher of this cue"
        )
    return teacher


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
