"""Masks to segments: runs of steps above a threshold.

An action from a to b is taught as steps floor(a + 1/2) + shrink to floor(b + 1/2) - shrink - 1 (`targets.steps_of`).
`segments_of` takes back what is left out, so that a perfect mask gives the action back without bias.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Runs(NamedTuple):
    """Steps [first, last] of n runs, (n,) each, int64."""

    first: Tensor
    last: Tensor
    which: Tensor  # row of the sequences


def runs_through(masks: Tensor, threshold: float) -> Runs:
    """Of every row t of masks (T, T), whose columns are positions, the connected run above the threshold through t.

    Rows whose mask is not above it at their own step have none.
    """
    steps = torch.arange(len(masks), device=masks.device)
    off = masks <= threshold
    before = torch.where(off, steps, -1).cummax(1).values.diagonal()  # the last position off at or before t
    after = torch.where(off, steps, len(masks)).flip(1).cummin(1).values.flip(1).diagonal()
    which = (~off).diagonal().nonzero()[:, 0]
    return Runs(before[which] + 1, after[which] - 1, which)


def runs_of(sequences: Tensor, threshold: float) -> Runs:
    """All runs above the threshold of sequences (N, T)."""
    on = F.pad((sequences > threshold).int(), (1, 1)).diff(dim=1)  # (N, T + 1)
    which, first = (on == 1).nonzero().unbind(1)
    last = (on == -1).nonzero()[:, 1] - 1  # both in the order of rows, then of time
    return Runs(first, last, which)


def segments_of(runs: Runs, shrink: int) -> Tensor:
    """(n, 2) in steps, from the steps that the ends of an action are taught to be, whose rounding is 0 on average."""
    return torch.stack([runs.first - shrink, runs.last + 1 + shrink], dim=1).float()


def means(values: Tensor, runs: Runs) -> Tensor:
    """The mean of values (N, T) over each run, in the run's own row: (n,)."""
    within = inside(runs, values)
    return (values[runs.which] * within).sum(1) / within.sum(1)


def means_of_blocks(values: Tensor, runs: Runs) -> Tensor:
    """The mean of values (T, T) over the square of each run: (n,)."""
    within = inside(runs, values)
    return (within @ values * within).sum(1) / within.sum(1) ** 2


def inside(runs: Runs, like: Tensor) -> Tensor:
    """(n, T): 1 on the steps of each run, T that of `like` (..., T)."""
    steps = torch.arange(like.shape[-1], device=like.device)
    return ((steps >= runs.first[:, None]) & (steps <= runs.last[:, None])).to(like.dtype)
