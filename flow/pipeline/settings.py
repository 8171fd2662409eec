"""What a motion store is made with: the settings of flow.tvl1 and flow.gradient, and the identity they give."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from features.storage.store import fingerprint
from flow.decode.geometry import LINEAR, Geometry
from flow.decode.video import MIN_DECODED
from flow.pipeline.motions import MOTIONS
from flow.pipeline.quantised import BOUND
from flow.tvl1_common.parameters import FlowError, Parameters

CODECS = ("u8", "jpeg", "float16")


@dataclass(frozen=True)
class FlowSettings:
    """Of one run. What changes values is in `made_from`; the rest (backend, decoder) is how they are computed."""

    cue: str  # a key of flow.pipeline.motions.MOTIONS
    short_side: int = 256  # px, after resizing; I3D's published preprocessing
    crop: int = 224  # px, of the centre square that is stored
    codec: str = "u8"
    bound: float = BOUND  # px; flow is clipped to ±bound, except in float16
    parameters: Parameters = field(default_factory=Parameters)  # of TV-L1
    backend: str = "cpu"
    decoder: str = "auto"
    min_decoded: float = MIN_DECODED
    fps: float | None = None  # of the frames; None: as they come
    width: int = 0  # px, after resizing; 0: by aspect
    rule: str = LINEAR  # of the resize

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise FlowError(f"--store {self.codec}: expected one of {', '.join(CODECS)}")
        if not self.bound > 0:
            raise FlowError(f"--bound {self.bound}: expected pixels, more than 0")
        if not 0 < self.min_decoded <= 1:
            raise FlowError(f"--min-decoded {self.min_decoded}: expected a share above 0, at most 1")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise FlowError(f"--fps {self.fps}: expected frames per second, more than 0")
        try:
            size, least = self.geometry.short_side, MOTIONS[self.cue].smallest
        except ValueError as error:
            raise FlowError(str(error)) from error
        if size < least:
            raise FlowError(f"--size {size}: {MOTIONS[self.cue].command} needs at least {least} pixels")

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.short_side, self.crop, self.width, self.rule)

    @property
    def solver_options(self) -> dict[str, Any]:
        """What `flow.solver.make_solver` takes beside the backend."""
        return {name: getattr(self.parameters, name) for name in Parameters.__dataclass_fields__}

    @property
    def made_from(self) -> dict[str, Any]:
        """Everything that changes values, as attributes of a part."""
        return {"cue": self.cue, "geometry": self.geometry.name, **MOTIONS[self.cue].made_from(self)}

    def feature_id(self) -> str:
        """The same for all videos of a store."""
        return fingerprint(self.made_from)

    def fingerprint(self, video_sha256: str, decoded_by: str = "") -> str:
        """Of the parts of one video. decoded_by: VideoInfo's, the decoder where another gives other pixels."""
        more: dict[str, Any] = {"decoded_by": decoded_by, "fps": self.fps}
        more["min_decoded"] = self.min_decoded if self.min_decoded != MIN_DECODED else None
        chosen = {name: value for name, value in more.items() if value}
        return fingerprint({**self.made_from, "video_sha256": video_sha256, **chosen})

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FlowSettings":
        values = json.loads(text)
        return cls(**{**values, "parameters": Parameters(**values["parameters"])})
