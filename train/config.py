"""The configuration of a training run: what may be set, in which unit, and why it has its value.

A run's configuration is written whole into its folder as config.json and can be run again from there. `--set` reaches
every field by its path: `optimiser.learning_rate=1e-3`, `head.width=256` (the head's own `Config`),
`method.detach=true` (the method's own `Options`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from detect.fusion import KINDS


class TrainingError(Exception):
    """A run that cannot start or go on: what, where, what was expected, what to do."""


@dataclass(frozen=True)
class Data:
    """What a run learns from."""

    features: str = ""  # a feature store, or a directory of .npy files
    annotations: str = ""
    subset: str = ""  # of the annotations, in any case; empty: "Training", or "Validation" of THUMOS'14 and MultiTHUMOS
    train_videos: str = ""  # of the subset: so many, by name, or a file that lists them; empty: all
    unlabelled: str = ""  # a store whose videos are learnt from without labels, by distilling methods
    unlabelled_subset: str = ""  # or a subset of the annotations; its labels are not read, labelled videos left out
    repair: str = ""  # flawed segments: "clip" or "drop"; left empty, those that published data sets are known for are
    # clipped, any other is refused
    strict: bool = False  # refuse those of published data sets too
    fps: float = 0.0  # of the videos behind .npy files, which cannot say; a store knows
    window: int = 16  # frames of a clip behind .npy files
    stride: int = 4  # frames between their clips

    def __post_init__(self) -> None:
        positive(self, "window", "stride")
        if self.unlabelled and self.unlabelled_subset:
            raise TrainingError(
                "--unlabelled and --unlabelled-subset both say where videos without labels are: give one"
            )


@dataclass(frozen=True)
class Sampling:
    """How training samples are cut out of videos and gathered into batches."""

    batch_size: int = 2  # videos
    unlabelled_batch_size: int = 0  # videos without labels beside them, where there are any; 0: as many as with labels,
    # so that neither kind drowns the other
    max_length: int = 2304  # steps of a sample; a longer video is cropped at random
    crop_ratio: tuple[float, float] = (0.9, 1.0)  # of a shorter video that a sample takes, drawn for each sample
    min_overlap: float = 0.5  # of an action that must lie inside a sample, else the sample does not hear of it
    trials: int = 200  # crops drawn before one without any action is taken
    workers: int = 0  # processes that read features ahead; 0: in this process, best where features fit in memory
    memory_gib: float = 4.0  # features kept in memory; what is beyond is read from the store again and again

    def __post_init__(self) -> None:
        positive(self, "batch_size", "max_length", "trials")
        if self.unlabelled_batch_size < 0:
            raise TrainingError(f"sampling.unlabelled_batch_size = {self.unlabelled_batch_size}: expected 0 or more")
        low, high = self.crop_ratio
        if not 0.0 < low <= high <= 1.0:
            raise TrainingError(f"sampling.crop_ratio = {self.crop_ratio}: expected 0 < low <= high <= 1")
        if not 0.0 < self.min_overlap <= 1.0:
            raise TrainingError(f"sampling.min_overlap = {self.min_overlap}: expected a share of an action, in (0, 1]")


@dataclass(frozen=True)
class Model:
    """The student around its head."""

    head: str = "actionformer"
    width: int = 512  # channels D of a branch, and of the head unless head.width says otherwise
    projection_depth: int = 2  # convolutions between the features and a branch
    dropout: float = 0.0  # share of input channels silenced; OpenTAD uses .2
    resize: int | None = None  # steps that every video is resized to (ActivityNet: 192); None: as many as it has
    normalise: bool = False  # input channels to zero mean and unit variance over the training videos
    fusion: str = "gate"  # how two branches meet, see detect/fusion.py; "gate" is the paper's

    def __post_init__(self) -> None:
        positive(self, "width", "projection_depth")
        if self.fusion not in KINDS:
            raise TrainingError(f"model.fusion = {self.fusion!r}: expected one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Optimiser:
    """AdamW with a linear warm-up and a cosine, step by step, and the average of the weights that is kept."""

    epochs: int = 35  # passes over the training videos, the warm-up among them
    warmup_epochs: int = 5  # the learning rate climbs from 0
    min_steps: int = 0  # where the epochs hold fewer steps, there are more epochs, the warm-up grows in proportion:
    # few videos need their steps too
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-8
    weight_decay: float = 0.05  # of convolution and linear weights only
    clip_norm: float = 1.0  # of the gradient
    ema: float = 0.999  # of the averaged weights, per step
    ema_warmup: bool = (
        False  # average over a share of the steps so far while they are few: min(ema, (1 + n) / (10 + n))
    )
    normaliser: float = 100.0  # positives a step is first taken to have; then their running mean
    normaliser_momentum: float = 0.9
    threads: int = 0  # of the CPU; 0: as many as torch takes. A small network is fastest with 1

    def __post_init__(self) -> None:
        positive(self, "epochs", "learning_rate", "clip_norm", "normaliser")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise TrainingError(
                f"optimiser.warmup_epochs = {self.warmup_epochs} of {self.epochs} epochs: expected fewer than there are"
            )
        for name in ("ema", "normaliser_momentum"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise TrainingError(f"optimiser.{name} = {getattr(self, name)}: expected a share in [0, 1)")

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
    data: Data = field(default_factory=Data)
    sampling: Sampling = field(default_factory=Sampling)
    model: Model = field(default_factory=Model)
    optimiser: Optimiser = field(default_factory=Optimiser)
    head_options: Mapping[str, Any] = field(default_factory=dict)  # what differs from the head's own defaults
    method_options: Mapping[str, Any] = field(default_factory=dict)  # what differs from the method's own defaults

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Config:
        try:
            return from_dict(cls, json.loads(path.read_text()), path.name)
        except (OSError, json.JSONDecodeError) as error:
            raise TrainingError(f"{path}: {error}. Expected the config.json of a run") from error


def positive(config: object, *names: str) -> None:
    """Refuse values at or below zero."""
    for name in names:
        if getattr(config, name) <= 0:
            where = type(config).__name__.lower()
            raise TrainingError(f"{where}.{name} = {getattr(config, name)}: expected a value above zero")


def from_dict(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """The dataclass `kind` from parsed JSON; a key it does not have is an error that lists those it has."""
    known = {f.name: f for f in fields(kind) if f.init}
    types = get_type_hints(kind)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TrainingError(f"{where}: unknown {', '.join(unknown)}. It may hold: {', '.join(known)}")
    made = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]) and isinstance(value, Mapping):
            made[name] = from_dict(types[name], value, f"{where}: {name}")
        else:
            made[name] = like(known[name].default, value, f"{where}: {name}")
    return kind(**made)


def like(default: Any, value: Any, where: str) -> Any:
    """`value` in the type of `default`: an integer will do for a number, nothing else is bent."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if default is not None and default is not dataclasses.MISSING and type(value) is not type(default):
        raise TrainingError(f"{where} = {value!r}: expected a {type(default).__name__} such as {default!r}")
    return value


def set_values(config: Config, assignments: Sequence[str]) -> Config:
    """`config` with each "path=value" of `--set` put in; values are read as JSON where they are, else as text."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        section, dot, name = path.partition(".")
        if not equals:
            raise TrainingError(f"--set {assignment}: expected path=value, such as head.width=256")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if dot and section in ("head", "method"):  # their own dataclasses judge these
            changed: dict[str, Any] = {f"{section}_options": {**getattr(config, f"{section}_options"), name: value}}
            config = replace(config, **changed)
        else:
            config = set_field(config, section, name if dot else "", value)
    return config


def set_field(config: Config, section: str, name: str, value: Any) -> Config:
    """One value of `config` or, where `name` is given, of its section."""
    if not name:
        return from_dict(Config, {**shallow(config), section: value}, "--set")
    part = getattr(config, section, None)
    if not dataclasses.is_dataclass(part):
        sections = [f.name for f in fields(config) if dataclasses.is_dataclass(getattr(config, f.name))]
        raise TrainingError(f"--set {section}.{name}: no such section. There are: head, method, {', '.join(sections)}")
    changed = from_dict(type(part), {**shallow(part), name: value}, f"--set {section}")
    return replace(config, **{section: changed})


def shallow(config: Any) -> dict[str, Any]:
    """The fields of a dataclass, sections as plain dictionaries."""
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    return {
        name: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
        for name, v in values.items()
    }


WITHOUT_EFFECT = ("device", "sampling.workers", "sampling.memory_gib")  # on what a run computes


def difference(before: Config, after: Config) -> list[str]:
    """The settings in which two configurations differ, as sentences; what only changes speed is left out."""
    old, new = flat(dataclasses.asdict(before)), flat(dataclasses.asdict(after))
    paths = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    return [f"{path} was {old.get(path)!r}, is {new.get(path)!r}" for path in paths if path not in WITHOUT_EFFECT]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined to paths."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        made |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return made
