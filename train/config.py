"""The configuration of a training run: what may be set, in which unit, and why it has its value.

A run's configuration is written whole into its folder as config.json and can be run again from there. `--set` reaches
every field by its path: `optimiser.learning_rate=1e-3`, `head.width=256` (the head's own `Config`),
`method.detach=true` (the method's own `Options`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command.writing import write_whole
from detect.missing import MISSING, REFUSE
from detect.model.architecture import Architecture
from detect.model.fusion import FusionConfig
from detect.suppress import Suppression
from features.computing.precision import AUTO, PRECISIONS
from train.settings import TrainingError as TrainingError
from train.settings import from_dict, moved, read_json


@dataclass(frozen=True)
class Data:
    """What a run learns from."""

    features: str = ""  # a feature store, or a directory of .npy files
    annotations: str = ""
    subset: str = ""  # of the annotations, in any case; empty: "Training", or "Validation" of THUMOS'14 and MultiTHUMOS
    train_videos: str = ""  # of the subset: so many, by name, or a file that lists them; empty: all
    unlabelled: str = ""  # a store whose videos are learnt from without labels, by distilling methods
    unlabelled_subset: str = ""  # or a subset of the annotations; its labels are not read, labelled videos left out
    unlabelled_videos: str = ""  # of these: so many, by name, or a file that lists them; empty: all
    repair: str = ""  # flawed segments: "clip" or "drop"; left empty, those that published data sets are known for are
    # clipped, any other is refused
    strict: bool = False  # refuse those of published data sets too
    fps: float = 0.0  # of the videos behind .npy files, which cannot say; a store knows
    window: int = 0  # frames of a clip behind .npy files; 0: by the grid.json beside them, else ActionFormer's 16
    stride: int = 0  # frames between their clips; 0: likewise, else 4
    verify: bool = True  # compare features with the sha256 written beside them, when they are first read
    missing: str = REFUSE  # videos without features: "refuse", or "skip" them, said and counted

    def __post_init__(self) -> None:
        not_negative(self, "fps", "window", "stride")
        if self.missing not in MISSING:
            raise TrainingError(f"data.missing = {self.missing!r}: expected {' or '.join(MISSING)}")
        if self.unlabelled and self.unlabelled_subset:
            raise TrainingError(
                "--unlabelled and --unlabelled-subset both say where videos without labels are: give one"
            )
        if self.unlabelled_videos and not (self.unlabelled or self.unlabelled_subset):
            raise TrainingError(
                "--unlabelled-videos says how many of the videos without labels: name them with --unlabelled or "
                "--unlabelled-subset"
            )
        if self.repair not in ("", "clip", "drop"):
            raise TrainingError(f"data.repair = {self.repair!r}: expected 'clip', 'drop' or nothing")


@dataclass(frozen=True)
class Sampling:
    """How training samples are cut out of videos and gathered into batches."""

    batch_size: int = 2  # videos
    unlabelled_batch_size: int = 0  # videos without labels beside them, where there are any; 0: as many as with labels,
    # so that neither kind drowns the other
    max_length: int = 2304  # steps of a sample where the head takes any number; a longer video is cropped at random
    crop_ratio: tuple[float, float] = (0.9, 1.0)  # of a shorter video that a sample takes, drawn for each; likewise
    min_overlap: float = 0.5  # of an action that must lie inside a sample, else the sample does not hear of it
    trials: int = 200  # crops drawn before one without any action is taken
    workers: int = 0  # processes that read features ahead; 0: in this process, best where features fit in memory
    memory_gib: float = 4.0  # features kept in memory; what is beyond is read from the store again and again

    def __post_init__(self) -> None:
        positive(self, "batch_size", "max_length", "trials")
        if self.unlabelled_batch_size < 0:
            raise TrainingError(f"sampling.unlabelled_batch_size = {self.unlabelled_batch_size}: expected 0 or more")
        not_negative(self, "workers", "memory_gib")
        low, high = self.crop_ratio
        if not 0.0 < low <= high <= 1.0:
            raise TrainingError(f"sampling.crop_ratio = {self.crop_ratio}: expected 0 < low <= high <= 1")
        if not 0.0 < self.min_overlap <= 1.0:
            raise TrainingError(f"sampling.min_overlap = {self.min_overlap}: expected a share of an action, in (0, 1]")


@dataclass(frozen=True)
class Optimiser:
    """AdamW with a linear warm-up and a cosine, step by step, and the exponential moving average of the weights."""

    epochs: int = 35  # passes over the training videos, the warm-up among them
    warmup_epochs: int = 5  # the learning rate climbs from 0
    min_steps: int = 0  # where the epochs hold fewer steps, there are more epochs, the warm-up grows in proportion:
    # few videos need their steps too
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-8
    weight_decay: float = 0.05  # of convolution and linear weights only
    clip_norm: float = 1.0  # of the gradient
    ema: float = 0.999  # decay per step of the exponential moving average (EMA) of the weights, which is deployed
    ema_warmup: bool = (
        False  # average over a share of the steps so far while they are few: min(ema, (1 + n) / (10 + n))
    )
    threads: int = 0  # of the CPU; 0: as many as torch takes. A small network is fastest with 1

    def __post_init__(self) -> None:
        positive(self, "epochs", "learning_rate", "clip_norm")
        not_negative(self, "final_learning_rate", "weight_decay", "min_steps", "threads")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise TrainingError(
                f"optimiser.warmup_epochs = {self.warmup_epochs} of {self.epochs} epochs: expected fewer than there are"
            )
        if not 0.0 <= self.ema < 1.0:
            raise TrainingError(f"optimiser.ema = {self.ema}: expected a share in [0, 1)")

    def lengths(self, steps_per_epoch: int) -> tuple[int, int]:
        """Epochs of a run and those of its warm-up, as many as `min_steps` steps take where `epochs` hold fewer."""
        epochs = max(self.epochs, math.ceil(self.min_steps / steps_per_epoch))
        return epochs, round(self.warmup_epochs * epochs / self.epochs)


@dataclass(frozen=True)
class Config:
    """One run, whole."""

    method: str = "supervised"
    cues: tuple[str, ...] = ("rgb",)  # the stream each branch reads; of a distilling method, made from RGB
    cue: str = ""  # what the teacher of a distilling method must watch: "flow" or "gradient"; empty: whatever it does
    teacher: str = ""  # its detector.pt
    joint_teacher: str = (
        ""  # detector.pt, of any branches, whose predictions the deployed detector mimics; may be absent
    )
    recipe: str = ""  # where the values below came from
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"  # of large products; "bfloat16", or "auto": that where the device computes in it itself
    save_every_s: float = 10.0  # least seconds between two last.pt and rows of the log; 0: at the end of every epoch
    data: Data = field(default_factory=Data)
    sampling: Sampling = field(default_factory=Sampling)
    model: Architecture = field(default_factory=Architecture)  # of the student, around its head
    fusion: FusionConfig = field(default_factory=FusionConfig)  # how two branches meet
    suppression: Suppression = field(default_factory=Suppression)  # of detections that repeat one another
    optimiser: Optimiser = field(default_factory=Optimiser)
    head_options: Mapping[str, Any] = field(default_factory=dict)  # what differs from the head's own defaults
    method_options: Mapping[str, Any] = field(default_factory=dict)  # what differs from the method's own defaults
    reasons: Mapping[str, str] = field(default_factory=dict)  # by path, why a setting is as it is, where it was
    # proposed (flowless.suggest); changes nothing

    def __post_init__(self) -> None:
        if self.precision not in (AUTO, *PRECISIONS):
            raise TrainingError(f"precision = {self.precision!r:.60}: expected {', '.join((AUTO, *PRECISIONS))}")
        if not 0 <= self.seed < 2**32:
            raise TrainingError(f"seed = {self.seed}: expected 0 to 4294967295, what the generators take")
        if not all(isinstance(why, str) for why in self.reasons.values()):
            raise TrainingError("reasons: expected a sentence for each path of a setting")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def write(self, path: Path) -> None:
        """The file appears whole or not at all."""
        write_whole(path, self.to_json().encode())

    @classmethod
    def read(cls, path: Path) -> Config:
        """Also of earlier versions; TrainingError names the file and the setting."""
        return from_dict(cls, moved(read_json(path, "the config.json of a run")), str(path))


def positive(config: object, *names: str) -> None:
    """Refuse values at or below zero."""
    for name in names:
        if getattr(config, name) <= 0:
            where = type(config).__name__.lower()
            raise TrainingError(f"{where}.{name} = {getattr(config, name)}: expected a value above zero")


def not_negative(config: object, *names: str) -> None:
    """Refuse values below zero."""
    for name in names:
        if getattr(config, name) < 0:
            where = type(config).__name__.lower()
            raise TrainingError(f"{where}.{name} = {getattr(config, name)}: expected zero or more")
