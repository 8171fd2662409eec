"""Where networks run: a device by its name, or one line that says what there is. Never another one than was asked for.

Extraction was made for CPUs and CUDA; training and detecting from features run on Apple's GPUs (mps) as well.
"""

import argparse
from collections.abc import Sequence

import torch

from command.errors import FlowlessError

EVERYWHERE = ("cpu", "cuda", "mps")
OF_EXTRACTION = ("cpu", "cuda")


class DeviceError(FlowlessError):
    """A device that is not there, or is none."""


def add_device(parser: argparse.ArgumentParser, kinds: Sequence[str], default: str | None = "auto") -> None:
    """The option --device; default None: the command has one of its own, which is auto."""
    parser.add_argument("--device", default=default, help=f"{_names(kinds)} (default: auto)")


def choose_device(name: str, kinds: Sequence[str] = EVERYWHERE) -> torch.device:
    """ "auto" is a CUDA device where there is one, else the CPU; others as torch names them: cpu, cuda, cuda:1, mps.

    DeviceError for a device that is not there, or is of none of `kinds`.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in kinds:
        raise DeviceError(f"--device {name}: no such device here. Take {_names(kinds)}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) < count:
            return device
        there = f"sees {count} of them, cuda:0 to cuda:{count - 1}" if count else "sees no CUDA device here"
        raise DeviceError(f"--device {name}: torch {there}. Take another, or --device cpu")
    if device.type == "mps":
        if torch.backends.mps.is_available():
            return device
        raise DeviceError(f"--device {name}: torch sees no Apple GPU here. Take --device cpu")
    return torch.device("cpu")


def _names(kinds: Sequence[str]) -> str:
    names = ["auto", *("cuda, one of several as cuda:1" if kind == "cuda" else kind for kind in kinds)]
    return f"{', '.join(names[:-1])}, or {names[-1]}"
