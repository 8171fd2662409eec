"""Checkpoints: files of weights, loaded strictly and without running any code that they might hold."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from command.errors import FlowlessError
from command.writing import write_whole
from extract.backbones.libraries import LibraryError, import_library

OF_RGB = 3  # input channels
COUNTER = "num_batches_tracked"
WRAPPERS = ("state_dict", "model_state", "model")  # what published files call the tensors among other things
PREFIXES = ("module.", "backbone._model.", "_model.")


class WeightsError(FlowlessError):
    """A file of weights that does not fit the network."""


class LayoutError(WeightsError):
    """Tensors that are not those of the network; the file is not named yet."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without wrappers. Executes nothing that the file might contain.

    Files of torch.save, and .safetensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if program := kind_of_program(path):
        raise WeightsError(f"{path}: is a {program}, a whole network and no state_dict: name it with --backbone")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file. Give the path of a checkpoint with --weights") from None
    except IsADirectoryError:
        raise WeightsError(f"{path}: is a folder. Give the file of weights in it with --weights") from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a checkpoint of tensors: {_reason(error)}") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: holds no state_dict. Expected names with tensors")
    return {_unwrapped(name): tensor for name, tensor in content.items()}


def _reason(error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return (
            f"it holds {code[1]}, which only running code could read, so it was left unread. Where you trust the file, "
            "save its tensors alone: torch.save(model.state_dict(), 'weights.pt')"
        )
    if isinstance(error, UnpicklingError):
        return "torch.save did not write it. Expected a state_dict saved by torch.save"
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{first}. Expected a state_dict saved by torch.save; the file may be half downloaded"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        reading = import_library("safetensors.torch")
    except LibraryError as error:
        raise WeightsError(f"{path}: {error}") from None
    try:
        return {_unwrapped(name): tensor for name, tensor in reading.load_file(path).items()}
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file. Give the path of a checkpoint with --weights") from None
    except Exception as error:  # the library has an exception of its own, and raises others
        raise WeightsError(
            f"{path}: not a file of safetensors: {error}. The file may be half downloaded: fetch it again"
        ) from error


def read_record(path: Path) -> dict[str, Any]:
    """How the weights of a checkpoint were made, as `write_state` was told; empty where the file does not say."""
    if path.suffix == ".safetensors" or kind_of_program(path):
        return {}
    read_state(path)  # refuses what is no checkpoint, with a word on why
    content = torch.load(path, map_location="cpu", weights_only=True)
    record = json.loads(content["record"]) if isinstance(content.get("record"), str) else {}
    return record if isinstance(record, dict) else {}


def kind_of_program(path: Path) -> str:
    """Whether a file is a "TorchScript program" or a "torch.export program", told without running it; else ""."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return ""
    if "constants.pkl" in names:
        return "TorchScript program"
    return "torch.export program" if any(name.startswith("models/") for name in names) else ""


def _unwrapped(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name[len(prefix) :]
    return name


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], path: Path, within: str = "") -> None:
    """Loads the tensors of a checkpoint; WeightsError names all that is missing, left over or of another shape.

    within: what our names begin with and the publisher's do not, left out where names are told.
    `num_batches_tracked`, which files of PyTorch 0.3 lack, is neither needed nor used.
    """
    given = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
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
        problems = [problem.replace(within, "") if within else problem for problem in problems]
        raise WeightsError(
            f"{path}: does not fit {type(network).__name__}: {'; '.join(problems)}. Expected weights of this backbone "
            "and this cue (RGB and gradients have 3 input channels, flow 2; "
            "--first-layer mean begins with those of RGB)"
        )
    counters = {name: tensor for name, tensor in network.state_dict().items() if name not in wanted}
    network.load_state_dict({**given, **counters}, strict=True)


def mean_of_channels(state: Mapping[str, Tensor], layers: Collection[str], channels: int) -> dict[str, Tensor]:
    """Weights of RGB for another cue: every input channel of the first layers has the mean of those of R, G and B.

    Source: Wang et al., ECCV 2016, arXiv:1608.00859 (TSN), cross-modality initialisation.
    """
    if not layers:
        raise LayoutError("--first-layer mean: the network has no convolution whose weights could be averaged")
    made = dict(state)
    for name in (f"{layer}.weight" for layer in layers if f"{layer}.weight" in state):
        if state[name].shape[1] != OF_RGB:
            raise LayoutError(
                f"--first-layer mean: {name} has {state[name].shape[1]} input channels and is not of RGB, which has "
                f"{OF_RGB}: leave the option out"
            )
        mean = state[name].float().mean(1, keepdim=True).to(state[name].dtype)
        made[name] = mean.repeat_interleave(channels, 1)
    return made


FIRST_LAYER: dict[str, Callable[[Mapping[str, Tensor], Collection[str], int], dict[str, Tensor]]] = {
    "mean": mean_of_channels
}


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"{len(names)} {what} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"]


def write_state(path: Path, state: Mapping[str, Tensor], record: str, half: bool = False) -> None:
    """Writes a checkpoint as `read_state` takes it, whole or not at all; the same content gives the same bytes.

    record: JSON text on how the weights were made, kept beside them. half: store floats in 16 bits.
    """
    stored = {name: t.half() if half and t.is_floating_point() else t.cpu() for name, t in state.items()}
    content = io.BytesIO()  # a file's name would end up inside it
    torch.save({"state_dict": stored, "record": record}, content)
    write_whole(path, content.getvalue())
