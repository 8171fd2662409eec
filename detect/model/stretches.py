"""Networks that see a few steps around each, on very long sequences: a stretch at a time, in memory for one stretch.

What such a network makes of a whole sequence takes many times the memory of the sequence: three hours of features are
330 MB, and the attention of one block over them 2.5 GB. Training crops are short, so only inference comes here.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from features.computing.exporting import exporting

STRETCH = 8192  # steps of what is made at a time


def is_long(x: Tensor) -> bool:
    """Whether (B, T, ...) is made a stretch at a time: no gradient is wanted, and T is more than two stretches."""
    return not exporting() and not torch.is_grad_enabled() and x.shape[1] > 2 * STRETCH


def in_stretches(network: Callable[..., Tensor], inputs: tuple[Tensor, ...], reach: int, stride: int = 1) -> Tensor:
    """network(*inputs), (B, T, D_in) and masks of the same T -> (B, T / stride, D), a stretch at a time.

    reach: steps of the result on either side that a step of it may depend on, those beyond the ends counting as they do
    in the network. The same numbers as of the whole to rounding.
    """
    total = inputs[0].shape[1] // stride
    made: Tensor | None = None
    for start in range(0, total, STRETCH):
        stop = min(start + STRETCH, total)
        first, last = max(0, start - reach), min(total, stop + reach)
        part = network(*(x[:, first * stride : last * stride] for x in inputs))[:, start - first : stop - first]
        if made is None:
            made = part.new_empty(part.shape[0], total, *part.shape[2:])
        made[:, start:stop] = part
    assert made is not None, "there is a step at least"
    return made
