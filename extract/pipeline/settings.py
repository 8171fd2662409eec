"""Settings of an extraction: what the user chose, and the identities of what is made with it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from command.errors import FlowlessError
from extract.backbones import PRECISIONS, find_backbone, identity_of, tells_backbone
from extract.backbones.base import SINGLE, Backbone, BackboneError
from extract.cues.cue import CUES, RGB
from features.storage.grid import PAIRS, TAILS
from features.storage.store import fingerprint
from flow.decode.geometry import Geometry
from flow.decode.video import MIN_DECODED

FEATURES_VERSION = 1  # raised when the same settings begin to give other numbers


class SettingsError(FlowlessError):
    """A choice that cannot work."""


@dataclass(frozen=True)
class ClipSettings:
    """How the features of one cue are made."""

    cue: str  # what the network sees
    backbone: str = "i3d_inception"  # one of BACKBONES, package.module:NAME, or a file
    weights: Path | None = None  # None: those that ship with the backbone, else random
    weights_sha256: str = ""
    window: int = 0  # frames; 0: the backbone's own
    stride: int = 0  # frames; 0: the backbone's own
    tail: str = PAIRS  # which clips a video ends with, of TAILS
    geometry: str = ""  # the name of the one that frames are cut out by; "": the backbone's own
    convention: str = ""  # whose features these are, where one was named; changes no value by itself
    batch: int = 0  # clips; 0: the backbone's choice; changes values by rounding only
    precision: str = "float32"
    compiled: bool = False  # by torch.compile; changes values by rounding only
    device: str = "cpu"
    decoder: str = "auto"
    min_decoded: float = MIN_DECODED
    fps: float | None = None  # of the frames; None: as they come
    first_layer: str = ""  # how weights of RGB became those of another cue: of FIRST_LAYER; "": they are of the cue
    flow_store: Path | None = None  # None: compute flow on the fly
    flow_backend: str = "auto"
    flow_preset: str = "compat"
    motion: str = ""  # JSON: what makes the flow what it is, wherever it is computed
    stream: str = ""  # under which the store keeps the features; empty: the cue. Changes no value
    output: str = SINGLE  # of a twin: which of the features that it gives

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", self.cue)
        try:
            network = self.network
        except BackboneError as error:
            raise SettingsError(f"--backbone {error}") from None
        if self.cue not in CUES:
            raise SettingsError(f"cue {self.cue!r}: expected {', '.join(CUES)}")
        for name in ("window", "stride"):
            if getattr(self, name) == 0:
                object.__setattr__(self, name, getattr(network, name))
        least = max(2, network.steps or 0)
        watches = ", ".join(network.scales)
        checks = [
            (self.cue in network.scales, f"--backbone {self.backbone}: watches {watches}, and not {self.cue}"),
            (
                CUES[self.cue].names(self.stream),
                f"--stream {self.stream}: expected {self.cue}, or {self.cue}_ and lower-case letters, digits or "
                f"underscores, such as {self.cue}_motion: the name tells what the network sees",
            ),
            (
                not self.first_layer or (self.weights is not None and self.cue != RGB.name),
                f"--first-layer {self.first_layer}: turns weights of RGB into those of another cue: give such weights",
            ),
            (self.precision in PRECISIONS, f"--precision {self.precision}: expected {', '.join(PRECISIONS)}"),
            (self.window >= least, f"--window {self.window}: expected at least {least} frames"),
            (self.tail in TAILS, f"--tail {self.tail}: expected {' or '.join(TAILS)}"),
            (self.stride >= 1, f"--stride {self.stride}: expected at least 1 frame"),
            (self.batch >= 0, f"--batch {self.batch}: expected at least 1 clip, or 0 for the backbone's choice"),
            (self.fps is None or 0 < self.fps < math.inf, f"--fps {self.fps}: expected frames per second, more than 0"),
            (0 < self.min_decoded <= 1, f"--min-decoded {self.min_decoded}: expected a share above 0, at most 1"),
        ]
        wrong = [message for fine, message in checks if not fine]
        if wrong:
            raise SettingsError("; ".join(wrong))

    @property
    def network(self) -> type[Backbone]:
        """The class of the backbone."""
        return find_backbone(self.backbone)

    @property
    def cut_out(self) -> Geometry:
        """How frames are resized and cut out."""
        return Geometry.named(self.geometry) if self.geometry else self.network.geometry

    def values(self) -> dict[str, Any]:
        """All that makes features what they are; what differs from video to video, such as its rate, is left out."""
        return {
            "version": FEATURES_VERSION,
            "cue": self.cue,
            "backbone": identity_of(self.backbone),
            "weights_sha256": self.weights_sha256,
            "window": self.window,
            "stride": self.stride,
            "tail_rule": self.tail,
            "geometry": self.cut_out.name,
            "precision": self.precision,
            "motion": self.motion,
            **({"output": self.output} if self.output else {}),
            **({"first_layer": self.first_layer} if self.first_layer else {}),
            **({"code_sha256": self.network.code_sha256} if self.network.code_sha256 else {}),
        }

    @property
    def feature_id(self) -> str:
        """The same for all videos whose features may be used together."""
        return f"{identity_of(self.backbone)}-{self.cue}-{fingerprint(self.values())}"

    @staticmethod
    def backbone_of(feature_id: str) -> str | None:
        """The backbone that made the RGB features of this id, as `identity_of` has it; None if it tells none."""
        name = feature_id.rsplit(f"-{RGB.name}-", 1)[0]
        return name if tells_backbone(name) and name != feature_id else None

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
        named = {"convention": self.convention} if self.convention else {}
        about = {"feature_id": self.feature_id, "map_shape": list(self.network.map_shape)}
        return {**self.values(), **about, **named}

    def to_json(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ClipSettings":
        paths = {name: Path(values[name]) if values[name] else None for name in ("weights", "flow_store")}
        return cls(**{field.name: values[field.name] for field in fields(cls)} | paths)
