"""Where networks run: a device by its name, or one line that says what there is."""

import torch

from command.errors import FlowlessError


class DeviceError(FlowlessError):
    """A device that is not there, or is none."""


def choose_device(name: str) -> torch.device:
    """ "auto" is a CUDA device where there is one, else the CPU; others as torch names them: cpu, cuda, cuda:1, mps."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return torch.device("cpu")
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
    raise DeviceError(f"--device {name}: no such device. Take auto, cpu, cuda, one of several as cuda:1, or mps")
