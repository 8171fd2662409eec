"""What the processes that train one network bring together: gradients, and what batches leave behind in a network."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from extract.pipeline.settings import SettingsError
from features.running.ranks import Ranks


def clips_of_a_step(batch: int, ranks: Ranks) -> int:
    """The clips that one of them takes of a step; SettingsError where they cannot be dealt out evenly."""
    if batch % ranks.size or batch // ranks.size < 2:
        raise SettingsError(
            f"--batch {batch}: {ranks.size} processes cannot share it evenly with two clips or more each. "
            f"Take a multiple of {ranks.size}, at least {2 * ranks.size}"
        )
    return batch // ranks.size


def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """Replaces every gradient by its mean over the ranks; all must call it, with the same parameters in use."""
    if ranks.size == 1:
        return
    there = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = ranks.sum(torch.cat([gradient.flatten() for gradient in there])) / ranks.size
    for gradient, one in zip(there, mean.split([g.numel() for g in there]), strict=True):
        gradient.copy_(one.view_as(gradient))


def average_buffers(buffers: Iterable[Tensor], ranks: Ranks) -> None:
    """Of what batches left behind in a network, such as running means: each process saw others."""
    if ranks.size == 1:
        return
    for buffer in buffers:
        if buffer.is_floating_point():
            buffer.copy_(ranks.sum(buffer) / ranks.size)
