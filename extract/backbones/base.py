"""Backbone: the one interface of the networks that turn a clip of one cue into a vector."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import extract.weights
from extract.backbones.checkpoints import WeightsError, load_strictly
from extract.cues.cue import CUES, Scale
from flow.decode.geometry import Geometry

RANKS = {torch.channels_last: 4, torch.channels_last_3d: 5}  # of the tensors that a memory format is for


class BackboneError(WeightsError):
    """A backbone that is not there, or is not what it declares."""


class Backbone(nn.Module, ABC):
    """A network over clips of one cue, cut out and resized by `geometry`. A class declares what is its own.

    A clip of `window` steps arrives as an array (steps read, H, W, channels): uint8 RGB, flow in pixels (x then y), or
    the int16 difference of two frames. Clip i of RGB is the first `window` frames of those that clip i of a motion cue
    needs `window` + 1 of.

        prepare(clips)        what the network takes: one tensor, or a tuple of them (the pathways of SlowFast)
        forward(*prepared)    -> (B, dim)

    In a prepared tensor clips are the first dimension, the frames of each perhaps folded into it ((B * frames, C, H, W)
    for a network of single frames), and channels the second.
    """

    name: ClassVar[str]  # a class that gives none is called module:Class, as it is named to --backbone
    geometry: ClassVar[Geometry]
    dim: ClassVar[int]  # channels of one feature vector
    map_shape: ClassVar[tuple[int, ...]]  # (channels, time, height, width) of the map flattened into `dim`
    window: ClassVar[int] = 16  # frames, the default of the commands
    stride: ClassVar[int] = 4  # frames, the default of the commands
    steps: ClassVar[int | None] = None  # of a window that are read, at equal distances; None: all
    scales: ClassVar[Mapping[str, Scale]] = {name: cue.scale for name, cue in CUES.items()}  # by each cue it may watch
    memory_format: ClassVar[torch.memory_format] = torch.channels_last_3d  # of tensors that have its rank
    batch: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 16}  # clips embedded at a time, the fastest by device

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:  # not its parent's, whose weights ship under that name
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def __init__(self, cue: str) -> None:
        super().__init__()
        if cue not in self.scales:
            raise ValueError(f"cue {cue!r} is unknown to {self.name}: expected {', '.join(self.scales)}")
        self.cue = cue
        self.channels = CUES[cue].channels

    @classmethod
    def reads(cls, window: int) -> Sequence[int]:
        """The steps of a clip that the network sees, in order: numbers from 0 to window - 1."""
        steps = window if cls.steps is None else cls.steps
        return [step * window // steps for step in range(steps)]

    def prepare(self, clips: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, steps read, H, W, channels) as decoded -> (B, channels, steps read, H, W) float, scaled for the cue."""
        return self.scales[self.cue](clips.permute(0, 4, 1, 2, 3).float())

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
    def forward(self, *prepared: Any, **options: Any) -> Tensor:
        """What `prepare` gives -> (B, dim)."""

    def inputs(self, clips: Tensor) -> tuple[Tensor, ...]:
        """(B, steps read, H, W, channels) as decoded -> what forward takes."""
        prepared = self.prepare(clips)
        return prepared if isinstance(prepared, tuple) else (prepared,)

    @classmethod
    def laid_out(cls, tensor: Tensor) -> Tensor:
        """The same values in the memory format of this backbone, if they have its rank."""
        if tensor.dim() != RANKS.get(cls.memory_format, tensor.dim()):
            return tensor
        return tensor.contiguous(memory_format=cls.memory_format)

    def to_memory_format(self) -> None:
        """Lays out the weights; nn.Module.to would force a format of one rank on tensors of another."""
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.data = self.laid_out(tensor.data)

    @torch.no_grad()
    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Features (B, dim) float32 of clips as decoded (B, steps read, H, W, channels)."""
        parameter = next(self.parameters())
        prepared = self.inputs(torch.from_numpy(np.ascontiguousarray(clips)).to(parameter.device))
        made = self(*(self.laid_out(x.to(parameter.dtype)) for x in prepared))
        if made.shape != (len(clips), self.dim):
            raise BackboneError(
                f"{self.name}: gave {tuple(made.shape)} for {len(clips)} clips, but declares dim = {self.dim}"
            )
        return made.float().cpu().numpy()
