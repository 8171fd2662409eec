"""Settings of an extraction: what the user chose, and the identities of what is made with it."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from extract.backbones import BACKBONES, PRECISIONS
from extract.backbones.base import CHANNELS
from features.store import fingerprint
from flow.video import MIN_DECODED

FEATURES_VERSION = 1  # raised when the same settings begin to give other numbers


class SettingsError(Exception):
    """A choice that cannot work."""


@dataclass(frozen=True)
class Settings:
    """How the features of one cue are made."""

    cue: str  # what the network sees
    stream: str = ""  # under which the store keeps the features; empty: the cue. Changes no value
    backbone: str = "i3d_inception"
    weights: Path | None = None  # None: those that ship with the backbone, else random
    weights_sha256: str = ""
    window: int = 16  # frames
    stride: int = 4  # frames
    batch: int = 0  # clips; 0: the backbone's choice; changes values by rounding only
    precision: str = "float32"
    device: str = "cpu"
    decoder: str = "auto"
    min_decoded: float = MIN_DECODED
    fps: float | None = None  # of the frames; None: as they come
    flow_store: Path | None = None  # None: compute flow on the fly
    flow_backend: str = "auto"
    flow_preset: str = "compat"
    motion: str = ""  # JSON: what makes the flow what it is, wherever it is computed

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", self.cue)
        checks = [
            (self.cue in CHANNELS, f"cue {self.cue!r}: expected {', '.join(CHANNELS)}"),
            (
                re.fullmatch(rf"{self.cue}(_[a-z0-9_]+)?", self.stream) is not None,
                f"--stream {self.stream}: expected {self.cue}, or {self.cue}_ and lower-case letters, digits or "
                f"underscores, such as {self.cue}_motion: the name tells what the network sees",
            ),
            (self.backbone in BACKBONES, f"--backbone {self.backbone}: expected {', '.join(BACKBONES)}"),
            (self.precision in PRECISIONS, f"--precision {self.precision}: expected {', '.join(PRECISIONS)}"),
            (self.window >= 2, f"--window {self.window}: expected at least 2 frames"),
            (self.stride >= 1, f"--stride {self.stride}: expected at least 1 frame"),
            (self.batch >= 0, f"--batch {self.batch}: expected at least 1 clip, or 0 for the backbone's choice"),
            (self.fps is None or 0 < self.fps < math.inf, f"--fps {self.fps}: expected frames per second, more than 0"),
            (0 < self.min_decoded <= 1, f"--min-decoded {self.min_decoded}: expected a share above 0, at most 1"),
        ]
        wrong = [message for fine, message in checks if not fine]
        if wrong:
            raise SettingsError("; ".join(wrong))

    def values(self) -> dict[str, Any]:
        """All that makes features what they are; what differs from video to video, such as its rate, is left out."""
        return {
            "version": FEATURES_VERSION,
            "cue": self.cue,
            "backbone": self.backbone,
            "weights_sha256": self.weights_sha256,
            "window": self.window,
            "stride": self.stride,
            "tail_rule": "window+1",  # a clip needs the frame after its last one
            "geometry": BACKBONES[self.backbone].geometry.name,
            "precision": self.precision,
            "motion": self.motion,
        }

    @property
    def feature_id(self) -> str:
        """The same for all videos whose features may be used together."""
        return f"{self.backbone}-{self.cue}-{fingerprint(self.values())}"

    @staticmethod
    def backbone_of(feature_id: str) -> str | None:
        """The backbone that made the RGB features of this id; None if it is none of ours."""
        name = feature_id.rsplit("-rgb-", 1)[0]
        return name if name in BACKBONES and name != feature_id else None

    def fingerprint(self, video_sha256: str, decoded_by: str = "") -> str:
        """Changes whenever the part of a video must be made anew.

        decoded_by: VideoInfo's, the decoder where another gives other pixels. It and fps are not in `values`: a video
        taken at 15 fps belongs with those that were filmed so, which is what --fps is for.
        """
        chosen = {name: value for name, value in {"decoded_by": decoded_by, "fps": self.fps}.items() if value}
        made = {**self.values(), "video_sha256": video_sha256, "min_decoded": self.min_decoded}
        return fingerprint({**made, **chosen})

    def attributes(self) -> dict[str, Any]:
        """What a part says of its settings."""
        backbone = BACKBONES[self.backbone]
        return {**self.values(), "feature_id": self.feature_id, "map_shape": list(backbone.map_shape)}

    def to_json(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Settings":
        paths = {name: Path(values[name]) if values[name] else None for name in ("weights", "flow_store")}
        return cls(**{field.name: values[field.name] for field in fields(cls)} | paths)
