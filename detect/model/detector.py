"""The deployed detector: projections, fusion, head, and everything a stranger needs to run it.

    cues -> normalise -> one projection per branch -> (fusion) -> head -> predictions

A detector knows which cues it reads, which features it was trained on and what its classes are called; it knows nothing
of teachers. One branch is a plain detector; two branches are joined by local attentive fusion, and the head reads
2·width channels.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from command.errors import FlowlessError
from detect.heads import HEADS
from detect.heads.base import Head, Predictions
from detect.model.architecture import Architecture
from detect.model.branches import Projection
from detect.model.fusion import FusionConfig, LocalAttentiveFusion
from detect.model.named import with_names
from detect.model.sealed import DamagedError, check_seal, first_line, read_unsealed, write_sealed
from detect.suppress import Suppression
from detect.windows import SampleRule

SCHEMA = "flowless-detector/1"


class DetectorError(FlowlessError):
    """A detector that cannot be built, read, or used on the features at hand."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(Architecture):
    """What a detector is, in JSON values: its architecture, its classes, and the features it was trained on.

    `head_config` holds the fields of the head's own Config that differ from its defaults.
    """

    classes: tuple[str, ...]  # names, in the order of the head's outputs
    feature_dims: dict[str, int]  # channels of the cached features, by cue
    branches: tuple[str, ...] = ("rgb",)  # the stream each branch reads; decomposed: ("rgb", "rgb_motion")
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head_config: dict[str, Any] = field(default_factory=dict)
    suppression: Suppression | None = None  # None: the head's own
    feature_ids: dict[str, str] = field(default_factory=dict)  # of the features by cue; others are refused
    window: int = 16  # frames seen by one clip
    stride: int = 4  # frames between clips
    geometry: str = ""  # how frames were resized and cropped, as the store says it
    steps_per_s: float = 0.0  # of the features it was trained on, the usual video's; 0: not known
    precision: str = "float32"  # of the large products in training; "bfloat16"
    annotations: str = ""  # fingerprint of the training subset: which videos, which actions

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise DetectorError(f"DetectorConfig: {error}") from None
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "branches", tuple(self.branches))
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise DetectorError("DetectorConfig: classes must be distinct names, at least one")
        if len(self.branches) not in (1, 2):
            raise DetectorError(f"DetectorConfig: a detector has one or two branches, got {self.branches}")
        missing = [cue for cue in self.branches if cue not in self.feature_dims]
        if missing:
            raise DetectorError(f"DetectorConfig: feature_dims lacks {', '.join(missing)} of branches {self.branches}")
        if self.head not in HEADS:
            raise DetectorError(f"DetectorConfig: no head {self.head!r}; there are {', '.join(sorted(HEADS))}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "DetectorConfig":
        """Also of earlier detectors; DetectorError, TypeError or KeyError for what is none."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise DetectorError(f"DetectorConfig: expected an object, found a {type(values).__name__}")
        values["fusion"] = FusionConfig(**values["fusion"])
        if values["suppression"] is not None:
            values["suppression"] = Suppression(**values["suppression"])
        if (steps := values.pop("resize", None)) is not None:  # where detectors before heads declared their samples
            values["head_config"] = {**values["head_config"], "resize": steps}
        return cls(**values)


@contextmanager
def refusing_misfits(head: str) -> Iterator[None]:
    """Whatever settings that a head cannot have raise, as one DetectorError."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError, AssertionError) as error:
        raise DetectorError(
            f"DetectorConfig: head_config does not fit the head {head!r}: {first_line(error)}"
        ) from None


def settings_of(architecture: Architecture, options: Mapping[str, Any]) -> Any:
    """The head's own configuration, `options` being what differs from its defaults; DetectorError for a misfit."""
    kind = HEADS[architecture.head].Config
    known = [field.name for field in dataclasses.fields(kind)]
    with refusing_misfits(architecture.head):
        if unknown := [name for name in options if name not in known]:
            raise ValueError(f"it has no setting {', '.join(unknown)}; it has {', '.join(known)}")
        return kind(**{"width": architecture.width, **options})


def sample_rule(architecture: Architecture, options: Mapping[str, Any]) -> SampleRule:
    """What the head of an architecture needs of a sample."""
    return HEADS[architecture.head].sample_rule(settings_of(architecture, options))


class Detector(nn.Module):
    """Cached features of a video's cues to predictions; see `detect.inference` for segments in seconds."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.projections = nn.ModuleList(
            Projection(config.feature_dims[cue], config.width, config.projection_depth, config.dropout)
            for cue in config.branches
        )
        self.fusion = LocalAttentiveFusion(config.width, config.fusion) if len(config.branches) == 2 else None
        self.head = self.new_head(config.width * len(config.branches))
        for cue in self.cues:
            self.register_buffer(f"mean_{cue}", torch.zeros(config.feature_dims[cue]))
            self.register_buffer(f"deviation_{cue}", torch.ones(config.feature_dims[cue]))

    @property
    def cues(self) -> tuple[str, ...]:
        """The cues it reads, each once."""
        return tuple(dict.fromkeys(self.config.branches))

    @property
    def device(self) -> torch.device:
        """Where its weights are, and features are to be."""
        return next(self.parameters()).device

    def new_head(self, in_channels: int) -> Head:
        """A fresh head of the detector's kind, with a classifier where it names no classes.

        Training needs one more, shared by the branches, on `width` channels.
        """
        kind, config = HEADS[self.config.head], self.config
        with refusing_misfits(config.head):
            head = kind(in_channels, len(config.classes), settings_of(config, config.head_config))
        return with_names(head, len(config.classes))

    @property
    def suppression(self) -> Suppression:
        """Of its candidates: as configured, else the head's own."""
        return self.config.suppression or self.head.suppression

    def set_normalisation(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Mean and standard deviation per channel, both (D_in,), by cue.

        Channels that never change keep their scale.
        """
        for cue in self.cues:
            mean, deviation = (torch.as_tensor(values, dtype=torch.float32) for values in statistics[cue])
            self.get_buffer(f"mean_{cue}").copy_(mean)
            self.get_buffer(f"deviation_{cue}").copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def branch_features(self, cues: Mapping[str, Tensor], mask: Tensor) -> list[Tensor]:
        """cues: (B, D_in, T) by name; mask: (B, T) bool. One (B, D, T) per branch, zero under the mask."""
        inputs = {cue: self._normalised(cue, cues[cue]) for cue in self.cues}
        return [
            projection(inputs[cue], mask)
            for cue, projection in zip(self.config.branches, self.projections, strict=True)
        ]

    def _normalised(self, cue: str, features: Tensor) -> Tensor:
        if not self.config.normalise:
            return features
        scale = 1 / self.get_buffer(f"deviation_{cue}")
        return torch.addcmul((-self.get_buffer(f"mean_{cue}") * scale)[:, None], features, scale[:, None])

    def joint_features(self, branch_features: Sequence[Tensor], mask: Tensor) -> Tensor:
        """What the head reads: the one branch, or both joined to (B, 2D, T)."""
        return branch_features[0] if self.fusion is None else self.fusion(*branch_features, mask)

    def predict_from(self, branch_features: Sequence[Tensor], mask: Tensor) -> Predictions:
        """branch_features: (B, D, T) of each branch; mask (B, T), True on real steps. What the head predicts."""
        return self.head(self.joint_features(branch_features, mask), mask)

    def forward(self, cues: Mapping[str, Tensor], mask: Tensor) -> Predictions:
        """cues: features (B, D_in, T) by stream, as stored; mask (B, T), True on real steps. What the head predicts."""
        return self.predict_from(self.branch_features(cues, mask), mask)

    def check_features(self, feature_ids: Mapping[str, str], where: str, imported: bool = False) -> None:
        """Refuses features made otherwise than those of training; `where` names them in the message.

        imported: they were made elsewhere, so that nobody here can extract them.
        """
        made = f"with window {self.config.window} and stride {self.config.stride} as for training"
        columns = " and ".join(f"{self.config.feature_dims[cue]} columns of {cue}" for cue in self.cues)
        remedy = (
            f"Give features of the same kind, {columns}, imported {made} (features.importer --window, --stride)"
            if imported
            else "Extract them with the backbone, weights, window, stride and geometry of training"
        )
        for cue in self.cues:
            expected, found = self.config.feature_ids.get(cue), feature_ids[cue]
            if expected is not None and expected != found:
                raise DetectorError(
                    f"{where}: stream {cue!r} has features {found}, but the detector was trained on {expected}. "
                    f"{remedy}, or train a detector on these."
                )

    def save(self, path: Path | str) -> None:
        """Weights, configuration and normalisation in one file, which appears whole or not at all."""
        state = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        write_sealed(Path(path), {"schema": SCHEMA, "config": self.config.to_json(), "state": state})

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "Detector":
        """The detector of a file, in evaluation mode.

        Reads tensors and text only: a file from a stranger runs no code. What is not as `save` wrote it is refused.
        """
        try:
            saved = read_unsealed(Path(path))
        except FileNotFoundError:
            raise DetectorError(f"{path}: no such file; train.run writes detector.pt into its --out folder") from None
        except DamagedError as error:
            raise DetectorError(f"{path}: not a detector file ({error})") from None
        if saved.get("schema") != SCHEMA:
            raise DetectorError(
                f"{path}: expected a file of schema {SCHEMA}, found {saved.get('schema')!s:.60}; "
                f"train.run writes it as detector.pt"
            )
        try:
            config = DetectorConfig.from_json(saved["config"])
            check_seal(saved)
            detector = cls(config)
            detector.load_state_dict(saved["state"])
        except (DamagedError, DetectorError) as error:
            raise DetectorError(f"{path}: made by another version of flowless, or damaged: {error}") from None
        except Exception as error:  # a stranger's file may hold anything under our names
            raise DetectorError(
                f"{path}: made by another version of flowless, or damaged: {type(error).__name__}: {first_line(error)}"
            ) from None
        return detector.to(device).eval()
