"""Backbone: the one interface of the networks that turn a clip of one cue into a vector."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import extract.weights
from extract.checkpoints import load_strictly
from flow.geometry import Geometry

FLOW_BOUND = 20.0  # pixels; flow is stored clipped to it
CHANNELS = {"rgb": 3, "flow": 2, "gradient": 3}


class Backbone(nn.Module, ABC):
    """A network over clips of `window` steps of one cue, cut out and resized by `geometry`.

    A clip is an array (window, H, W, channels): uint8 RGB, flow in pixels (x then y), or the int16 difference of two
    frames. Clip i of RGB is the first `window` frames of those that clip i of a motion cue needs `window` + 1 of.
    """

    name: ClassVar[str]
    geometry: ClassVar[Geometry]
    dim: ClassVar[int]  # channels of one feature vector
    map_shape: ClassVar[tuple[int, ...]]  # (channels, time, height, width) of the map flattened into `dim`
    window: ClassVar[int] = 16  # frames, the default of the commands
    stride: ClassVar[int] = 4  # frames
    batch: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 16}  # clips embedded at a time, the fastest by device

    def __init__(self, cue: str) -> None:
        super().__init__()
        if cue not in CHANNELS:
            raise ValueError(f"cue {cue!r} is unknown: expected {', '.join(CHANNELS)}")
        self.cue = cue
        self.channels = CHANNELS[cue]

    def prepare(self, clips: Tensor) -> Tensor:
        """(B, window, H, W, channels) as decoded -> (B, channels, window, H, W) float in [-1, 1]."""
        x = clips.permute(0, 4, 1, 2, 3).float()
        if self.cue == "rgb":
            return x * (2 / 255) - 1
        return x / (FLOW_BOUND if self.cue == "flow" else 255.0)

    @classmethod
    def shipped_weights(cls, stream: str) -> Path | None:
        """The weights that come with the package for a stream, by default the cue; None if there are none."""
        path = Path(extract.weights.__file__).parent / f"{cls.name}_{stream}.pt"
        return path if path.exists() else None

    def load(self, path: Path) -> None:
        """Loads a checkpoint; WeightsError unless every tensor finds its place."""
        load_strictly(self, path, self.our_names)

    @staticmethod
    def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a published checkpoint by our names."""
        return dict(state)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, window, H, W) prepared -> (B, dim)."""

    @torch.no_grad()
    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Features (B, dim) float32 of clips as decoded (B, window, H, W, channels)."""
        parameter = next(self.parameters())
        x = self.prepare(torch.from_numpy(np.ascontiguousarray(clips)).to(parameter.device))
        x = x.to(parameter.dtype).contiguous(memory_format=torch.channels_last_3d)
        return self(x).float().cpu().numpy()
