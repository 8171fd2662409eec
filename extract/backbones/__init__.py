"""Published and small video backbones: one file each, one dictionary; one's own by package.module:NAME or a file."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from extract.backbones.base import DEFAULT, Backbone, BackboneError
from extract.backbones.checkpoints import WeightsError
from extract.backbones.i3d import I3D, I3DOfVideoFeatures
from extract.backbones.layers.packed import pack
from extract.backbones.nano import Nano
from extract.backbones.own import OWN, find_own
from extract.backbones.papers import PAPERS
from extract.backbones.program import find_program, is_program
from extract.backbones.torchvision import TORCHVISION
from extract.backbones.videomae import VIDEOMAE
from extract.cues.cue import CUES, RGB

SHIPPED: tuple[type[Backbone], ...] = (I3D, I3DOfVideoFeatures, Nano, *PAPERS, *TORCHVISION, *VIDEOMAE)
BACKBONES: dict[str, type[Backbone]] = {backbone.name: backbone for backbone in SHIPPED}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FILES_IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")  # as transformers saves
RANDOM_SEED = 0  # of the weights of a backbone that was given none


def find_backbone(name: str) -> type[Backbone]:
    """The class of this name: one of BACKBONES, package.module:NAME, or a file. BackboneError says what is missing."""
    if name in BACKBONES:
        return BACKBONES[name]
    if is_program(name):
        return find_program(Path(name))
    if OWN.fullmatch(name) is None:
        raise BackboneError(
            f"{name}: expected {', '.join(BACKBONES)}, or one of your own: package.module:Class or a file .pt2 or .pt"
        )
    return find_own(name, BACKBONES)


def identity_of(name: str) -> str:
    """What a store calls it: a file by its name, wherever it lies; all others as they are named."""
    return Path(name).name if is_program(name) else name


def tells_backbone(identity: str) -> bool:
    """Whether `identity_of` a backbone may have given this."""
    return identity in BACKBONES or OWN.fullmatch(identity) is not None or is_program(identity)


def build_backbone(
    name: str,
    cue: str,
    weights: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    quiet: bool = False,
    first_layer: str = "",
    packed: bool = False,
) -> Backbone:
    """A backbone ready to embed clips; without weights those that ship with it, else random ones, said loudly.

    first_layer: of FIRST_LAYER, where the weights given are of RGB and the cue is another. packed: it will do nothing
    but embed, so that on the CPU it may be changed for that (`extract.backbones.layers.packed`).
    """
    made = find_backbone(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        backbone = made(cue) if name in BACKBONES else _own(made, name, cue)
    weights = find_weights(name, weights, cue, first_layer) or backbone.shipped_weights(cue)
    if weights is not None:
        backbone.load(weights, first_layer)
    elif made.brings_weights and not quiet:
        print(f"note: {name} has the weights that it is made with: no --weights were given", file=sys.stderr)
    elif not quiet:
        print(
            f"WARNING: {name} has no weights for {cue}: its features are those of a RANDOM network, good for trying "
            "commands out and for nothing else. Give a checkpoint with --weights.",
            file=sys.stderr,
        )
    backbone.eval().requires_grad_(False)
    if packed and made.packs and torch.device(device).type == "cpu":
        pack(backbone, PRECISIONS[precision])
    backbone.to(device=device, dtype=PRECISIONS[precision])
    backbone.to_memory_format()
    return backbone


def _own(made: type[Backbone], name: str, cue: str) -> Backbone:
    try:
        return made(cue)
    except Exception as error:  # a stranger's class may raise anything
        raise BackboneError(f"{name}: cannot be built for {cue}: {type(error).__name__}: {error}") from error


def find_weights(name: str, weights: Path | None, cue: str, first_layer: str = "") -> Path | None:
    """The file that --weights means: DEFAULT is what a library publishes, a folder stands for the file in it.

    WeightsError where there is none.
    """
    if weights is None:
        return None
    if str(weights) == DEFAULT:
        if cue != RGB.name and not first_layer:
            raise WeightsError(
                f"--weights {DEFAULT}: published weights are of {RGB.name}, and not of {cue}. Give a file, or begin "
                "with those of RGB: --first-layer mean"
            )
        return find_backbone(name).published_weights(cue)
    if weights.is_dir():
        there = [weights / file for file in FILES_IN_A_FOLDER if (weights / file).is_file()]
        if not there:
            raise WeightsError(f"{weights}: holds no {' or '.join(FILES_IN_A_FOLDER)}. Give the file of weights itself")
        return there[0]
    return weights


def try_backbone(backbone: Backbone, window: int) -> None:
    """Embeds an empty clip of this window; BackboneError if that fails, before any video is read."""
    side, cue = backbone.geometry.crop, CUES[backbone.cue]
    reads = backbone.reads(window)
    if not reads or not all(0 <= step < window for step in reads):
        raise BackboneError(f"{backbone.name}: reads steps {list(reads)} of a window of {window}")
    clip = np.zeros((1, len(reads), side, side, cue.channels), cue.dtype)
    try:
        backbone.embed(clip)
    except BackboneError:
        raise
    except Exception as error:  # a stranger's network may raise anything
        raise BackboneError(
            f"{backbone.name}: fails on a clip {clip.shape} of {backbone.cue}: {type(error).__name__}: {error}"
        ) from error


def weights_sha256(backbone: Backbone, weights: Path | None) -> str:
    """What identifies the weights in use: the hash of their file, or of the tensors where there is none."""
    weights = weights or backbone.shipped_weights(backbone.cue)
    if weights is not None:
        return file_sha256(weights)
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return f"{'own' if backbone.brings_weights else 'random'}-{digest.hexdigest()}"


def file_sha256(weights: Path) -> str:
    """The hash of a file of weights; WeightsError if it cannot be read."""
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{weights}: {error.strerror or error}. Give the path of a checkpoint with --weights"
        ) from None
