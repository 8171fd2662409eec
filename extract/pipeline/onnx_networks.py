"""The backbones behind a detector as one file of ONNX: clips as decoded in, the features of every stream out.

Input: clips (n, steps, H, W, 3) uint8 RGB, resized and cropped; the scaling of pixels is in the file. Outputs: (n, D)
by stream. The metadata say of which frames a clip is made, by which geometry, and the ids of the features.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from extract.backbones.base import Backbone
from extract.cues.cue import RGB
from extract.pipeline.embedding import Network, passes
from extract.pipeline.new_videos import Embedder
from extract.pipeline.settings import ClipSettings, SettingsError
from features.computing.onnx_files import (
    SUFFIX,
    OnnxFile,
    check_same,
    described,
    export,
    largest_difference,
    quantised,
)
from flow.decode.geometry import Geometry

SCHEMA = "flowless-onnx-backbone/1"
CLIPS = "clips"
TRIED = (1, 3)  # clips at a time that a file is tried on


def beside(detector: Path) -> Path:
    """Where the backbone of a detector's file lies: detector.onnx -> detector.backbone.onnx."""
    return detector.parent / f"{detector.stem}.backbone{SUFFIX}"


class Graph(nn.Module):
    """The networks behind the streams of a detector as a function of clips."""

    def __init__(self, networks: list[Network]) -> None:
        super().__init__()
        self.window = networks[0].settings.window
        self.planned = passes(networks)
        self.backbones = nn.ModuleList(each.backbone for each in self.planned)
        self.reads = sorted({step for each in self.planned for step in each.reads})
        self.streams = [stream for each in self.planned for stream in each.streams.values()]

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        made = []
        for each in self.planned:
            seen = inputs[CLIPS]
            if list(each.reads) != self.reads:
                seen = seen[:, [self.reads.index(step) for step in each.reads]]
            given = each.backbone.each(*each.backbone.inputs(seen), wanted=each.streams)
            made += [given[output] for output in each.streams]
        return tuple(made)


def image_of(embedder: Embedder, precision: str = "float32") -> tuple[bytes, dict[str, float]]:
    """The file, and by stream how far its numbers are from PyTorch's; OnnxError where it cannot be exported.

    SettingsError for features of another precision than float32.
    """
    networks = embedder.networks
    if other := [n.settings.stream for n in networks if n.settings.precision != "float32"]:
        raise SettingsError(
            f"the features of {' and '.join(other)} were made in bfloat16, which ONNX files do not give"
        )
    graph, settings = Graph(networks).eval(), networks[0].settings
    side, generator = settings.cut_out.crop, torch.Generator().manual_seed(0)
    tried = [
        {CLIPS: torch.randint(0, 256, (n, len(graph.reads), side, side, 3), generator=generator, dtype=torch.uint8)}
        for n in TRIED
    ]
    image = export(graph, tried[-1], graph.streams, {CLIPS: {0: ("batch", 1)}})
    check_same(largest_difference(OnnxFile(image, "the exported backbone"), graph, tried, graph.streams))
    if precision == "int8":
        image = quantised(image)
    about = {
        "streams": {n.settings.stream: n.settings.feature_id for n in networks},
        "window": settings.window,
        "stride": settings.stride,
        "reads": graph.reads,
        "geometry": settings.cut_out.name,
        "tail": settings.tail,
        "batch": networks[0].backbone.batch["cpu"],
    }
    image = described(image, {"schema": SCHEMA, "clips": json.dumps(about), "precision": precision})
    return image, largest_difference(OnnxFile(image, "the exported backbone"), graph, tried, graph.streams)


class OnnxBackbone(Backbone):
    """A file behind the interface of a backbone; its outputs are called as the streams."""

    geometry: ClassVar[Geometry] = Geometry()  # each file has its own

    def __init__(self, file: OnnxFile, about: Mapping[str, Any]) -> None:
        super().__init__(RGB.name)
        self.file, self.steps_read = file, [int(step) for step in about["reads"]]
        self.geometry = Geometry.named(about["geometry"])  # type: ignore[misc]
        self.batch = {"cpu": int(about["batch"])}  # type: ignore[misc]

    def reads(self, window: int) -> list[int]:  # type: ignore[override]
        return self.steps_read

    def forward(self, *prepared: Any, **options: Any) -> Tensor:
        raise NotImplementedError("its network is not PyTorch's: embed_each runs it")

    def embed_each(self, clips: np.ndarray, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
        made = self.file({CLIPS: np.ascontiguousarray(clips)})
        return {stream: x for stream, x in made.items() if wanted is None or stream in wanted}


@dataclass(frozen=True)
class OfFile(ClipSettings):
    """The settings of a stream whose features a file gives, which says itself what they are."""

    made: str = ""  # id of the features

    @property
    def network(self) -> type[Backbone]:
        return OnnxBackbone

    @property
    def feature_id(self) -> str:
        return self.made


class OnnxEmbedder(Embedder):
    """The same with the networks of a file."""

    def __init__(self, path: Path, batch: int = 0, fps: float | None = None, **chosen: Any) -> None:
        """chosen: further fields of ClipSettings, such as min_decoded. OnnxError or SettingsError for what is no such
        file, or cannot be."""
        file = OnnxFile(path)
        if file.about.get("schema") != SCHEMA:
            raise SettingsError(
                f"{path}: expected a file of schema {SCHEMA}, found {file.about.get('schema')!s:.60}; detect.export "
                "--backbone writes it"
            )
        try:
            about = json.loads(file.about["clips"])
            backbone = OnnxBackbone(file, about)
            clips = {"window": int(about["window"]), "stride": int(about["stride"])}
            looks = {"geometry": str(about["geometry"]), "tail": str(about["tail"])}
            self.streams = {str(stream): str(made) for stream, made in about["streams"].items()}
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SettingsError(f"{path}: made by another version of flowless, or damaged: {error}") from None
        self.window, self.stride = clips["window"], clips["stride"]
        chosen |= {"batch": batch, "fps": fps, "backbone": path.name, **clips, **looks}
        self.networks = [
            Network(OfFile(RGB.name, stream=stream, output=stream, made=made, **chosen), backbone)
            for stream, made in self.streams.items()
        ]
