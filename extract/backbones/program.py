"""Networks as files: programs of TorchScript or torch.export, which hold code, weights and what clips they take.

    --backbone nets/mine.pt2

Inside, beside the network, lies clips.json (extract.backbones.own.Clips), put there when the file is saved. The file's
name and its sha256 are in the id of what it makes: features of another file of that name never join them.
"""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from extract.backbones.base import Backbone, BackboneError
from extract.backbones.checkpoints import WeightsError, kind_of_program
from extract.backbones.own import Clips, Wrapped, declare
from extract.cues.cue import CUES

SUFFIXES = (".pt2", ".pt", ".pth", ".ts")
CLIPS = "clips.json"


class Program(Wrapped):
    """A network out of a file."""

    path: ClassVar[Path]
    alone: ClassVar[bool] = False  # it was exported for one clip at a time

    @classmethod
    def shipped_weights(cls, stream: str) -> Path | None:
        """The file itself."""
        return cls.path

    def load(self, path: Path, first_layer: str = "") -> None:
        if first_layer:
            raise WeightsError(f"{path}: is a program, whose first layer stays as it is: leave --first-layer out")
        if path != self.path:
            raise WeightsError(f"{path}: {self.path} holds its weights itself: leave --weights out")

    def run(self, x: Tensor) -> Tensor:
        if self.alone and len(x) > 1:
            return torch.cat([super(Program, self).run(clip) for clip in x.split(1)])
        return super().run(x)

    def train(self, mode: bool = True) -> "Program":
        """Nothing to do: a program is as it was when it was saved, and one of torch.export refuses the question."""
        return self


def is_program(name: str) -> bool:
    """Whether a backbone is named by a file."""
    return Path(name).suffix in SUFFIXES and ":" not in Path(name).name


def find_program(path: Path) -> type[Backbone]:
    """The backbone in a file; BackboneError says what is wrong with it."""
    try:
        there = path.absolute().stat()
    except OSError as error:
        raise BackboneError(
            f"{path}: {error.strerror}. Give the path of a TorchScript or torch.export program"
        ) from None
    return _found(path.absolute(), there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=8)
def _found(path: Path, size: int, mtime_ns: int) -> type[Backbone]:
    kind = kind_of_program(path)
    if not kind:
        raise BackboneError(
            f"{path}: is no TorchScript or torch.export program, or only a part of one. Weights alone go to --weights, "
            "and the network that they are for to --backbone"
        )
    network, clips = _read(path, kind)
    made: type[Program] = declare(Program, path.name, clips, lambda cue: _read(path, kind)[0], path=path)
    pair = torch.zeros(2, CUES[clips.cues[0]].channels, len(made.reads(clips.window)), clips.crop, clips.crop)
    try:
        with torch.no_grad():
            made.alone = len(network(pair.transpose(1, 2) if clips.frames_first else pair)) != 2
    except Exception:  # of whatever kind: it takes one clip, and not two
        made.alone = True
    return made


def _read(path: Path, kind: str) -> tuple[nn.Module, Clips]:
    inside = {CLIPS: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is old
            if kind.startswith("TorchScript"):
                network = torch.jit.load(str(path), map_location="cpu", _extra_files=inside)
            else:
                network = torch.export.load(path, extra_files=inside).module()
    except Exception as error:  # damaged, or of another version of PyTorch
        first = (str(error).strip().splitlines() or [""])[0]
        raise BackboneError(f"{path}: PyTorch {torch.__version__} cannot read this {kind}: {first}") from error
    if not inside[CLIPS]:
        raise BackboneError(
            f"{path}: does not say what clips it takes: save it with {CLIPS} inside, as docs/backbones.md shows"
        )
    try:
        return network, Clips.from_json(inside[CLIPS])
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from None
