"""The deployed detector: projections, fusion, head, and everything a stranger needs to run it.

    cues -> normalise -> one projection per branch -> (fusion) -> head -> predictions

A detector knows which cues it reads, which features it was trained on and what its classes are called; it knows nothing
of teachers. One branch is a plain detector; two branches are joined by local attentive fusion, and the head reads
2·width channels.
"""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detect.branches import Projection
from detect.fusion import FusionConfig, LocalAttentiveFusion
from detect.heads import HEADS
from detect.heads.base import Head, Predictions
from detect.suppress import Suppression
from features.commit import write_whole

SCHEMA = "flowless-detector/1"


class DetectorError(Exception):
    """A detector that cannot be built, read, or used on the features at hand."""


@dataclass(frozen=True)
class DetectorConfig:
    """What a detector is, in JSON values.

    `head_config` holds the fields of the head's own Config that differ from its defaults.
    """

    classes: tuple[str, ...]  # names, in the order of the head's outputs
    feature_dims: dict[str, int]  # channels of the cached features, by cue
    branches: tuple[str, ...] = ("rgb",)  # the stream each branch reads; decomposed: ("rgb", "rgb_motion")
    width: int = 512  # channels of a branch, and of the head unless head_config says otherwise
    projection_depth: int = 2  # convolutions per branch; ActionFormer's embedding has 2
    dropout: float = 0.0  # of whole input channels; OpenTAD gains with 0.2
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: str = "actionformer"
    head_config: dict[str, Any] = field(default_factory=dict)
    resize: int | None = None  # steps every video is resized to (ActivityNet-1.3: 192); None: as many as it has
    normalise: bool = True  # features to mean 0 and deviation 1 per channel, by statistics of the training videos
    suppression: Suppression = field(default_factory=Suppression)
    feature_ids: dict[str, str] = field(default_factory=dict)  # of the features by cue; others are refused
    window: int = 16  # frames seen by one clip
    stride: int = 4  # frames between clips
    geometry: str = ""  # how frames were resized and cropped, as the store says it
    steps_per_s: float = 0.0  # of the features it was trained on, the usual video's; 0: not known

    def __post_init__(self) -> None:
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
        values = json.loads(text)
        values["fusion"] = FusionConfig(**values["fusion"])
        values["suppression"] = Suppression(**values["suppression"])
        return cls(**values)


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

    def new_head(self, in_channels: int) -> Head:
        """A fresh head of the detector's kind; training needs one more, shared by the branches, on `width` channels."""
        head = HEADS[self.config.head]
        values = {"width": self.config.width, **self.config.head_config}
        try:
            config = head.Config(**values)
        except (TypeError, ValueError) as error:
            raise DetectorError(
                f"DetectorConfig: head_config does not fit the head {self.config.head!r}: {error}"
            ) from None
        return head(in_channels, len(self.config.classes), config)

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
        return self.head(self.joint_features(branch_features, mask), mask)

    def forward(self, cues: Mapping[str, Tensor], mask: Tensor) -> Predictions:
        return self.predict_from(self.branch_features(cues, mask), mask)

    def check_features(self, feature_ids: Mapping[str, str], where: str) -> None:
        """Refuses features made otherwise than those of training; `where` names them in the message."""
        for cue in self.cues:
            expected, found = self.config.feature_ids.get(cue), feature_ids[cue]
            if expected is not None and expected != found:
                raise DetectorError(
                    f"{where}: stream {cue!r} has features {found}, but the detector was trained on {expected}. "
                    "Extract them with the backbone, weights, window, stride and geometry of training, "
                    "or train a detector on these."
                )

    def save(self, path: Path | str) -> None:
        """Weights, configuration and normalisation in one file, which appears whole or not at all."""
        state = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        content = io.BytesIO()
        torch.save({"schema": SCHEMA, "config": self.config.to_json(), "state": state}, content)
        write_whole(Path(path), content.getvalue())

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "Detector":
        """The detector of a file, in evaluation mode.

        Reads tensors and text only: a file from a stranger runs no code.
        """
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise DetectorError(f"{path}: no such file; train.run writes detector.pt into its --out folder") from None
        except Exception as error:  # torch raises a different type for every way in which a file can be wrong
            raise DetectorError(
                f"{path}: not a detector file ({type(error).__name__}: {str(error).splitlines()[0]})"
            ) from None
        if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
            found = saved.get("schema") if isinstance(saved, dict) else type(saved).__name__
            raise DetectorError(
                f"{path}: expected a file of schema {SCHEMA}, found {found}; train.run writes it as detector.pt"
            )
        try:
            detector = cls(DetectorConfig.from_json(saved["config"]))
            detector.load_state_dict(saved["state"])
        except (KeyError, TypeError, ValueError, RuntimeError, DetectorError) as error:
            raise DetectorError(f"{path}: made by another version of flowless, or damaged: {error}") from None
        return detector.to(device).eval()
