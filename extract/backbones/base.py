"""Backbone: the one interface of the networks that turn a clip of one cue into a vector."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import extract.weights
from extract.backbones.checkpoints import FIRST_LAYER, LayoutError, WeightsError, load_strictly, read_state
from extract.cues.cue import CUES, Scale
from features.computing.compiling import compile_whole
from flow.decode.geometry import Geometry

SINGLE, APPEARANCE, MOTION = "", "appearance", "motion"  # outputs: of a network as it is declared; of a twin
TWIN = "rgb_twin"  # the stream that a twin which ships goes to where no other is named
DEFAULT = "DEFAULT"  # as weights: those that the library of a backbone publishes
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

    A network that is a chain may say so, and `forward` be written in these terms. It can then become a *twin*: its last
    layers are there twice, the first ones run once, and it gives two features for a clip.

        layers()              its modules by name, in the order in which clips pass them
        finish(x)             what the last of them gives -> (B, dim)
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
    packs: ClassVar[bool] = False  # whether its convolutions are packed for the CPU: where it was measured to pay
    brings_weights: ClassVar[bool] = False  # made with weights that are not random, as far as we can know
    code_sha256: ClassVar[str] = ""  # of what computes it, where that is part of its identity
    within: ClassVar[str] = ""  # what the names of its tensors begin with, and those of its publisher do not
    parting: ClassVar[str] = ""  # of `layers`, the first that a twin has twice where nothing else is asked for

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
        self.twin: Backbone | None = None  # the layers that a twin has a second time, under the names of the first
        self.shared: tuple[str, ...] = ()  # the layers that it has once
        self.whole = 0  # clips that it always embeds at a time, filled up where there are fewer

    @classmethod
    def reads(cls, window: int) -> Sequence[int]:
        """The steps of a clip that the network sees, in order: numbers from 0 to window - 1."""
        steps = window if cls.steps is None else cls.steps
        return [step * window // steps for step in range(steps)]

    def prepare(self, clips: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, steps read, H, W, channels) as decoded -> (B, channels, steps read, H, W) float, scaled for the cue."""
        return self.scales[self.cue](clips.permute(0, 4, 1, 2, 3).float())

    @classmethod
    def published_weights(cls, cue: str) -> Path:
        """What --weights DEFAULT names: the file that a library publishes, fetched if it is not here; WeightsError."""
        raise WeightsError(f"--weights {DEFAULT}: no library publishes weights of {cls.name}. Give their file")

    @classmethod
    def shipped_weights(cls, stream: str) -> Path | None:
        """The weights that come with the package for a stream, by default the cue; None if there are none."""
        path = Path(extract.weights.__file__).parent / f"{cls.name}_{stream}.pt"
        return path if path.exists() else None

    def load(self, path: Path, first_layer: str = "") -> None:
        """Loads a checkpoint, of a twin as well; WeightsError unless every tensor finds its place.

        first_layer: how weights of RGB become those of another cue, one of FIRST_LAYER; "": they are of this cue.
        """
        state = self.read(path, first_layer)
        for layer in self.layers():
            if self.twin is None and any(name.startswith(f"twin.{layer}.") for name in state):
                self.grow_twin(layer)
        load_strictly(self, state, path, self.within)

    def read(self, path: Path, first_layer: str = "") -> dict[str, Tensor]:
        """The tensors of a checkpoint by our names."""
        try:
            state = self.our_names(read_state(path))
            return FIRST_LAYER[first_layer](state, self.first_layers(), self.channels) if first_layer else state
        except LayoutError as error:
            raise WeightsError(f"{path}: {error}") from None

    def first_layers(self) -> Collection[str]:
        """The layers that clips come to first, by name: its first convolution, where it says no other."""
        found = (name for name, layer in self.named_modules() if isinstance(layer, (nn.Conv2d, nn.Conv3d)))
        return tuple(islice(found, 1))

    def layers(self) -> Mapping[str, nn.Module]:
        """Its modules by name in the order in which clips pass them; empty for a network that is no such chain."""
        return {}

    def finish(self, x: Tensor) -> Tensor:
        """The output of the last of `layers` -> (B, dim); nothing is left to do where that is the feature already."""
        return x

    def grow_twin(self, layer: str = "") -> None:
        """Doubles the layers from this one on, by default `parting`; BackboneError where that cannot be.

        The second ones begin as copies of the first.
        """
        if self.twin is not None:
            raise BackboneError(f"{self.name}: is a twin already, which shares {', '.join(self.shared)}")
        names = list(self.layers())
        layer = layer or self.parting or (names[-1] if names else "")
        if not names:
            raise BackboneError(
                f"{self.name}: does not say which layers its clips pass one after the other (Backbone.layers), so a "
                "twin has nothing to share. Train a second network: leave --twin out"
            )
        if layer not in names[1:]:
            raise BackboneError(f"--twin {layer}: {self.name} can part before {', '.join(names[1:])}")
        second = copy.deepcopy(self)
        self.shared = tuple(names[: names.index(layer)])
        for name in self.shared:
            parent, _, own = name.rpartition(".")
            setattr(second.get_submodule(parent), own, nn.Identity())
        self.twin = second

    @property
    def outputs(self) -> tuple[str, ...]:
        """The features that it gives of a clip, by name: one without a name, or the two of a twin."""
        return (SINGLE,) if self.twin is None else (APPEARANCE, MOTION)

    def each(self, *prepared: Any, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
        """What `prepare` gives -> (B, dim) by output; of a twin all, or those wanted, shared layers run once."""
        if self.twin is None:
            return {SINGLE: self(*prepared)}
        (x,) = prepared
        own, second = self.layers(), self.twin.layers()
        for name in self.shared:
            x = own[name](x)
        made = {}
        for output, layers in zip(self.outputs, (own, second), strict=True):
            if wanted is None or output in wanted:
                y = x
                for name in [*own][len(self.shared) :]:
                    y = layers[name](y)
                made[output] = self.finish(y)
        return made

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a published checkpoint by our names; LayoutError where they are those of another network."""
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

    def compile_for(self, clips: int) -> None:
        """From now on embeds by torch.compile, where it can be, and always so many clips at a time."""
        self.whole = clips
        self.each = compile_whole(self.each, self.name, next(self.parameters()).device)  # type: ignore[method-assign]

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Features (B, dim) float32 of clips as decoded (B, steps read, H, W, channels): of a twin its appearance."""
        output = self.outputs[0]
        return self.embed_each(clips, (output,))[output]

    @torch.inference_mode()
    def embed_each(self, clips: np.ndarray, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The same by output."""
        parameter, number = next(self.parameters()), len(clips)
        if number < self.whole:
            clips = np.concatenate([clips, np.repeat(clips[-1:], self.whole - number, axis=0)])
        prepared = self.inputs(to_device(np.ascontiguousarray(clips), parameter.device))
        made = self.each(*(self.laid_out(x.to(parameter.dtype)) for x in prepared), wanted=wanted)
        made = {output: features[:number] for output, features in made.items()}
        for features in made.values():
            if features.shape != (number, self.dim):
                raise BackboneError(
                    f"{self.name}: gave {tuple(features.shape)} for {number} clips, but declares dim = {self.dim}"
                )
        return {output: features.float().cpu().numpy() for output, features in made.items()}


def to_device(clips: np.ndarray, device: torch.device) -> Tensor:
    """On a GPU by way of memory that it reads by itself."""
    there = torch.from_numpy(clips)
    return there.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else there.to(device)


def outputs_of(path: Path) -> tuple[str, ...]:
    """What a network with these weights gives of a clip: `Backbone.outputs`."""
    return (APPEARANCE, MOTION) if any(name.startswith("twin.") for name in read_state(path)) else (SINGLE,)


class Row(Protocol):
    """As much of a row of a table of networks as all have."""

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...


def pooled(kind: type[Backbone], model: Row, doc: str, **said: Any) -> type[Backbone]:
    """The backbone class of a row: it is called as the row is, and gives one vector a clip. said: more attributes."""
    shape = {"dim": model.dim, "map_shape": (model.dim, 1, 1, 1)}
    about = {"__module__": kind.__module__, "__doc__": doc, "name": model.name, "model": model}
    return type(model.name, (kind,), {**about, **shape, **said})
