"""Masks to segments: runs of steps above a threshold.

Where a run begins is interpolated between the step below the threshold and the first above it. That is half a step
before the first step of a hard mask; targets (`targets.steps_of`) begin, on average, half a step and `shrink` steps
after the action does. Both are undone here, so that a perfect mask gives the action back without bias.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Runs(NamedTuple):
    """Steps [first, last] of n runs, and where they begin and end between the steps."""

    first: Tensor  # (n,) int64
    last: Tensor  # (n,) int64
    segments: Tensor  # (n, 2) steps
    which: Tensor  # (n,) row of the sequences


def runs_through(masks: Tensor, threshold: float, shrink: int) -> Runs:
    """Of every row t of masks (T, T), whose columns are positions, the connected run above the threshold through t.

    Rows whose mask is not above it at their own step have none.
    """
    steps = torch.arange(len(masks), device=masks.device)
    off = masks <= threshold
    before = torch.where(off, steps, -1).cummax(1).values.diagonal()  # the last position off at or before t
    after = torch.where(off, steps, len(masks)).flip(1).cummin(1).values.flip(1).diagonal()
    which = (~off).diagonal().nonzero()[:, 0]
    return _placed(masks, which, before[which] + 1, after[which] - 1, threshold, shrink)


def runs_of(sequences: Tensor, threshold: float, shrink: int) -> Runs:
    """All runs above the threshold of sequences (N, T)."""
    on = F.pad((sequences > threshold).int(), (1, 1)).diff(dim=1)  # (N, T + 1)
    which, first = (on == 1).nonzero().unbind(1)
    last = (on == -1).nonzero()[:, 1] - 1  # both in the order of rows, then of time
    return _placed(sequences, which, first, last, threshold, shrink)


def _placed(values: Tensor, which: Tensor, first: Tensor, last: Tensor, threshold: float, shrink: int) -> Runs:
    padded = F.pad(values, (1, 1))[which]  # (n, T + 2): step k at k + 1, nothing before and after

    def crossing(inner: Tensor, outer: Tensor) -> Tensor:
        """How far from the inner step, towards the outer one, the threshold is passed: in (0, 1]."""
        above, below = (padded.gather(1, at[:, None] + 1)[:, 0] for at in (inner, outer))
        return (above - threshold) / (above - below)

    start = first - crossing(first, first - 1) - shrink + 0.5
    end = last + crossing(last, last + 1) + shrink + 0.5
    return Runs(first, last, torch.stack([start, end], dim=1), which)


def means(values: Tensor, runs: Runs) -> Tensor:
    """The mean of values (N, T) over each run, in the run's own row: (n,)."""
    sums = F.pad(values.double().cumsum(1), (1, 0))[runs.which]
    total = sums.gather(1, runs.last[:, None] + 1) - sums.gather(1, runs.first[:, None])
    return (total[:, 0] / (runs.last - runs.first + 1)).to(values.dtype)


def means_of_all(values: Tensor, runs: Runs) -> Tensor:
    """The mean of every row of values (N, T) over each run: (n, N)."""
    sums = F.pad(values.double().cumsum(1), (1, 0)).T  # (T + 1, N)
    return ((sums[runs.last + 1] - sums[runs.first]) / (runs.last - runs.first + 1)[:, None]).to(values.dtype)


def means_of_blocks(values: Tensor, runs: Runs) -> Tensor:
    """The mean of values (T, T) over the square of each run: (n,)."""
    sums = F.pad(values.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    a, b = runs.first, runs.last + 1
    return ((sums[b, b] - sums[a, b] - sums[b, a] + sums[a, a]) / (b - a) ** 2).to(values.dtype)
