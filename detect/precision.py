"""Networks whose large products may be computed in bfloat16; what goes in and what comes out is float32.

Weights stay float32, and so do losses, which are none of a network's business. Inside, torch.autocast chooses by
operation: convolutions, linear maps and attention in bfloat16, sums within norms in float32. What times, places and
scores are read from is computed `exactly`. In float32 a network runs as if this page were not there.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Network(nn.Module):
    """A module that computes in `precision`, "float32" or "bfloat16", which `set_precision` sets."""

    precision: str = "float32"

    def __call__(self, *inputs: Tensor) -> Any:
        if self.precision == "float32":
            return super().__call__(*inputs)
        with torch.autocast(inputs[0].device.type, getattr(torch, self.precision)):
            return in_float32(super().__call__(*inputs))


def set_precision(module: nn.Module, precision: str) -> None:
    """Of all networks in a module."""
    for part in module.modules():
        if isinstance(part, Network):
            part.precision = precision


def exactly(function: Callable[..., T], *inputs: Any) -> T:
    """function(*inputs) in float32, also within a network that computes otherwise."""
    device = next(x.device.type for x in inputs if isinstance(x, Tensor))
    if not torch.is_autocast_enabled(device):
        return function(*inputs)
    with torch.autocast(device, enabled=False):
        return function(*map(in_float32, inputs))


def in_float32(value: Any) -> Any:
    """Tensors of lower precision, also those in a dictionary, as float32; all else as it is."""
    if isinstance(value, dict):
        return {name: in_float32(one) for name, one in value.items()}
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
