"""Published I3D checkpoints: three layouts of names in, ours out, strictly.

| layout | first convolution | batch norm | branches |
|---|---|---|---|
| piergiaj (`rgb_imagenet.pt`), also inside AFSD's as `_model.` | `Conv3d_1a_7x7` | `bn` | `b1a`, `b1b` |
| hassony2 (`model_rgb.pth`) | `conv3d_1a_7x7` | `batch3d` | `branch_1.0`, `branch_1.1` |
| video_features (`i3d_rgb.pt`) | as hassony2 | as hassony2 | as hassony2 |

Our names are the first layout's. Every tensor must find its place and have its shape; only the classifier is left out,
and `num_batches_tracked`, which old files lack, is neither needed nor used.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

PREFIXES = ("module.", "backbone._model.", "_model.")
CLASSIFIERS = ("logits.", "conv3d_0c_1x1.")
BRANCHES = {
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
}


class WeightsError(Exception):
    """A file of weights that does not fit the network."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without wrappers. Executes nothing that the file might contain."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file. Give the path of a checkpoint with --weights") from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: not a checkpoint of tensors: {reason}. Expected a state_dict saved by torch.save; "
            "the file may be half downloaded"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: holds no state_dict. Expected names with tensors")
    return {_unwrapped(name): tensor for name, tensor in content.items()}


def _unwrapped(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name[len(prefix) :]
    return name


def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an I3D in our layout, classifier and batch counters left out."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith(CLASSIFIERS) or name.endswith("num_batches_tracked"):
            continue
        renamed[_our_name(name)] = tensor
    return renamed


def _our_name(name: str) -> str:
    if name.startswith(("conv3d_", "mixed_")):  # hassony2, video_features
        name = name[0].upper() + name[1:]
        name = re.sub(r"branch_\d(\.\d)?", lambda match: BRANCHES.get(match[0], match[0]), name)
        name = name.replace(".batch3d.", ".bn.")
    return name


def load_i3d(network: nn.Module, path: Path) -> None:
    """Loads a published checkpoint; WeightsError names everything that is missing, left over or of another shape."""
    given = our_names(read_state(path))
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    problems = [
        *_listed("missing", sorted(wanted.keys() - given.keys())),
        *_listed("unexpected", sorted(given.keys() - wanted.keys())),
        *_listed(
            "of another shape",
            [
                f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
                for name in sorted(wanted.keys() & given.keys())
                if given[name].shape != wanted[name].shape
            ],
        ),
    ]
    if problems:
        raise WeightsError(
            f"{path}: does not fit this I3D: {'; '.join(problems)}. Expected the layout of piergiaj, hassony2 or "
            "video_features, and weights of this cue: RGB has 3 input channels, flow 2"
        )
    counters = {name: tensor for name, tensor in network.state_dict().items() if name not in wanted}
    network.load_state_dict({**given, **counters}, strict=True)


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"{len(names)} {what} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"]
