"""Published and small video backbones: one file each, one dictionary."""

import hashlib
import sys
from pathlib import Path

import torch

from extract.backbones.base import Backbone
from extract.backbones.i3d import I3D
from extract.backbones.nano import Nano
from extract.checkpoints import WeightsError

BACKBONES: dict[str, type[Backbone]] = {backbone.name: backbone for backbone in (I3D, Nano)}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RANDOM_SEED = 0  # of the weights of a backbone that was given none


def build_backbone(
    name: str,
    cue: str,
    weights: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    quiet: bool = False,
) -> Backbone:
    """A backbone ready to embed clips; without weights those that ship with it, else random ones, said loudly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        backbone = BACKBONES[name](cue)
    weights = weights or backbone.shipped_weights(cue)
    if weights is not None:
        backbone.load(weights)
    elif not quiet:
        print(
            f"WARNING: {name} has no weights for {cue}: its features are those of a RANDOM network, good for trying "
            "commands out and for nothing else. Give a checkpoint with --weights.",
            file=sys.stderr,
        )
    backbone.eval().requires_grad_(False)
    return backbone.to(device=device, dtype=PRECISIONS[precision], memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def weights_sha256(backbone: Backbone, weights: Path | None) -> str:
    """What identifies the weights in use: the hash of their file, or of the tensors where there is none."""
    weights = weights or backbone.shipped_weights(backbone.cue)
    if weights is not None:
        return file_sha256(weights)
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return f"random-{digest.hexdigest()}"


def file_sha256(weights: Path) -> str:
    """The hash of a file of weights; WeightsError if it cannot be read."""
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{weights}: {error.strerror or error}. Give the path of a checkpoint with --weights"
        ) from None
