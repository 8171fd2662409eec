"""Checkpoints: files of weights, loaded strictly and without running any code that they might hold."""

import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from command.errors import FlowlessError
from command.writing import write_whole

COUNTER = "num_batches_tracked"
PREFIXES = ("module.", "backbone._model.", "_model.")


class WeightsError(FlowlessError):
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


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads the tensors of a checkpoint; WeightsError names all that is missing, left over or of another shape.

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
        raise WeightsError(
            f"{path}: does not fit {type(network).__name__}: {'; '.join(problems)}. Expected weights of this backbone "
            "and this cue (RGB and gradients have 3 input channels, flow 2)"
        )
    counters = {name: tensor for name, tensor in network.state_dict().items() if name not in wanted}
    network.load_state_dict({**given, **counters}, strict=True)


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
