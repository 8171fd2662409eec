"""Backbones of one's own, by package.module:NAME: a subclass of Backbone, or any torch.nn.Module and its factory.

    @takes(short_side=128, crop=112, window=16, mean=(0.43, 0.39, 0.38), std=(0.23, 0.22, 0.22))
    def net() -> nn.Module:
        ...

A network that is not written for us says what clips it takes by `Clips`, and gives (B, D) features, or a map
(B, C, time, height, width). A file of TorchScript or torch.export says it inside: extract.backbones.program.
"""

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from extract.backbones.base import Backbone, BackboneError
from extract.backbones.scales import per_channel
from extract.cues.cue import CUES, FLOW, FLOW_BOUND, RGB, Scale
from flow.decode.geometry import LINEAR, Geometry

OWN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:NAME
DECLARED = ("geometry", "dim", "map_shape")
WITHIN = "network."  # before the names of its tensors in ours
PROBE_SEED = 0
Factory = TypeVar("Factory", bound=Callable[..., Any])


@dataclass(frozen=True)
class Clips:
    """What clips a network takes. Nothing that changes values has a default: a wrong guess would not be seen.

    Values reach the network as (unit - mean) / std, channel by channel; the unit is x / 255 of RGB (0..1) and of
    gradients (-1..1), and pixels / 20 of flow (-1..1).
    """

    short_side: int  # pixels, after resizing; aspect kept
    crop: int  # pixels, the centre square
    window: int  # frames from the first to the last that a clip covers
    mean: tuple[float, ...]  # by channel
    std: tuple[float, ...]
    stride: int = 4  # frames, the default of the commands
    steps: int | None = None  # of a window that are read, at equal distances; None: all
    width: int = 0  # pixels; 0: by aspect. Else frames become short_side high and this wide
    rule: str = LINEAR  # of the resize: one of flow.decode.geometry.RULES
    frames_first: bool = False  # (B, frames, channels, H, W) as transformers has it, not (B, channels, frames, H, W)
    cues: tuple[str, ...] = (RGB.name,)  # it may watch

    def __post_init__(self) -> None:
        for name in ("mean", "std", "cues"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if unknown := set(self.cues) - set(CUES):
            raise BackboneError(f"cues: {', '.join(sorted(unknown))} unknown: expected {', '.join(CUES)}")
        channels = {CUES[cue].channels for cue in self.cues}
        if {len(self.mean), len(self.std)} != channels or not all(self.std):
            raise BackboneError(f"mean and std: expected {channels} numbers each, std above 0")
        if self.window < max(2, self.steps or 0) or self.stride < 1 or (self.steps is not None and self.steps < 1):
            raise BackboneError(f"window {self.window}, stride {self.stride}, steps {self.steps}: cannot be")
        _ = self.geometry

    @property
    def geometry(self) -> Geometry:
        try:
            return Geometry(self.short_side, self.crop, self.width, self.rule)
        except ValueError as error:
            raise BackboneError(str(error)) from None

    @property
    def scales(self) -> Mapping[str, Scale]:
        return {cue: self._scale(FLOW_BOUND if cue == FLOW.name else 255.0) for cue in self.cues}

    def _scale(self, unit: float) -> Scale:
        return lambda x: (x / unit - per_channel(self.mean, x)) / per_channel(self.std, x)

    def to_json(self) -> str:
        """For the file clips.json inside an exported program."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Clips":
        """BackboneError where something is missing, unknown or impossible."""
        try:
            values = json.loads(text)
            return cls(**values)
        except (ValueError, TypeError) as error:
            needed = ", ".join(field.name for field in fields(cls) if field.default is MISSING)
            raise BackboneError(f"clips.json: {error}. Expected JSON with {needed}, and perhaps more") from None


def takes(**clips: Any) -> Callable[[Factory], Factory]:
    """Says of a factory, or of a class of nn.Module, what clips its network takes: the fields of Clips."""

    def decorate(factory: Factory) -> Factory:
        factory.clips = Clips(**clips)  # type: ignore[attr-defined]
        return factory

    return decorate


class Wrapped(Backbone):
    """A network that knows nothing of us, behind the clips that it takes."""

    clips: ClassVar[Clips]
    build: ClassVar[Callable[[str], nn.Module]]  # from the cue
    within = WITHIN

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.network = type(self).build(cue)

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The network's own names, or ours as a student's training writes them."""
        return {name if name.startswith(WITHIN) else WITHIN + name: tensor for name, tensor in state.items()}

    def run(self, x: Tensor) -> Tensor:
        """What the network gives, of (B, channels, steps, H, W)."""
        return self.network(x.transpose(1, 2) if self.clips.frames_first else x)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x).flatten(1)


Kind = TypeVar("Kind", bound=Wrapped)


def find_own(name: str, taken: Mapping[str, type[Backbone]]) -> type[Backbone]:
    """The class behind package.module:NAME; BackboneError says what is missing. taken: the backbones that ship."""
    module, _, wanted = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), wanted, None)
    except Exception as error:  # a stranger's module may raise anything
        raise BackboneError(
            f"{name}: module {module} cannot be imported: {type(error).__name__}: {error}. Run from the folder that "
            "holds it, put that folder into PYTHONPATH, or install it"
        ) from error
    if found is None:
        raise BackboneError(f"{name}: module {module} has no {wanted}")
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        return _wrapped(name, found)
    if found.name in taken:
        raise BackboneError(f"{name}: calls itself {found.name}, which is another backbone. Leave `name` out")
    if missing := [attribute for attribute in DECLARED if not hasattr(found, attribute)]:
        raise BackboneError(f"{name}: declares no {', '.join(missing)}")
    return found


@cache
def _wrapped(name: str, found: Any) -> type[Backbone]:
    if not callable(found):
        raise BackboneError(
            f"{name}: is no subclass of extract.backbones.base.Backbone, no torch.nn.Module and no function that "
            "returns one"
        )
    clips = getattr(found, "clips", None)
    if not isinstance(clips, Clips):
        raise BackboneError(
            f"{name}: does not say what clips its network takes: put @takes(short_side=..., crop=..., window=..., "
            "mean=..., std=...) of extract.backbones.own before it"
        )

    def build(cue: str) -> nn.Module:
        wants_cue = not isinstance(found, nn.Module) and "cue" in inspect.signature(found).parameters
        network = found if isinstance(found, nn.Module) else found(cue) if wants_cue else found()
        if not isinstance(network, nn.Module):
            raise BackboneError(f"{name}: gave a {type(network).__name__}, and no torch.nn.Module")
        return network

    return declare(Wrapped, name, clips, build, code_sha256=_sha256_of_source(found))


def declare(kind: type[Kind], name: str, clips: Clips, build: Callable[[str], nn.Module], **said: Any) -> type[Kind]:
    """The class of a network that was not written for us: its dim and map are found out by an empty clip.

    BackboneError where the network cannot be built, or takes no such clip, or gives no features.
    """
    values = {"__module__": __name__, "name": name, "clips": clips, "build": staticmethod(build), **said}
    values |= {"geometry": clips.geometry, "window": clips.window, "stride": clips.stride, "steps": clips.steps}
    values |= {"scales": clips.scales, "memory_format": torch.contiguous_format, "batch": {"cpu": 1, "cuda": 16}}
    made: type[Kind] = type(name.rpartition(":")[2], (kind,), {**values, "brings_weights": True})
    channels, side = CUES[clips.cues[0]].channels, clips.crop
    shape = (1, channels, len(made.reads(clips.window)), side, side)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(PROBE_SEED)
            gave = made(clips.cues[0]).eval().run(torch.zeros(shape))
    except BackboneError:
        raise
    except Exception as error:  # a stranger's network may raise anything
        said_first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise BackboneError(
            f"{name}: cannot be built for {clips.cues[0]} or fails on a clip {shape}: {type(error).__name__}: "
            f"{said_first}"
        ) from error
    if not isinstance(gave, Tensor) or gave.dim() not in (2, 4, 5) or len(gave) != 1:
        what = tuple(gave.shape) if isinstance(gave, Tensor) else f"a {type(gave).__name__}"
        raise BackboneError(
            f"{name}: gave {what} for one clip; expected features (1, D), or a map (1, C, time, height, width)"
        )
    made.map_shape = (*gave.shape[1:2], *[1] * (5 - gave.dim()), *gave.shape[2:])
    made.dim = gave[0].numel()
    return made


def _sha256_of_source(found: Any) -> str:
    """Of the file that holds it; "" where there is none."""
    try:
        path = inspect.getsourcefile(type(found) if isinstance(found, nn.Module) else found)
    except TypeError:
        path = None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path and Path(path).is_file() else ""
