"""The graph over the steps of a sample: nearest neighbours in feature space, and the block that mixes them.

Source: G-TAD (Xu et al., CVPR 2020, arXiv:1911.11462): GCNeXt. Departure: padded steps are nobody's neighbours and no
convolution reads them; in the published code their zeros join the graph and change the steps that are real.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detect.precision import exactly


class Neighbours(NamedTuple):
    """The steps nearest to every step, itself among them."""

    steps: Tensor  # (B, T, k) int64
    real: Tensor  # (B, T, k) bool; False where a sample has fewer than k steps

    def of(self, x: Tensor) -> Tensor:
        """The rows of x (B, T, D) at the neighbours: (B, T, k, D)."""
        samples = torch.arange(len(x), device=x.device)[:, None, None]
        return x[samples, self.steps]

    def mean(self, x: Tensor) -> Tensor:
        """The mean of x (B, T, D) over the neighbours of every step: (B, T, D)."""
        keep = self.real[..., None].to(x.dtype)
        return (self.of(x) * keep).sum(2) / keep.sum(2).clamp(min=1)


@torch.no_grad()
def nearest(x: Tensor, mask: Tensor, k: int) -> Neighbours:
    """The k steps of x (B, T, D) with the smallest distance |x_i − x_j|² among those of mask (B, T)."""
    squares = (x * x).sum(2)
    closeness = exactly(torch.matmul, 2 * x, x.transpose(1, 2)) - squares[:, :, None] - squares[:, None]
    found = closeness.masked_fill(~mask[:, None], -math.inf).topk(min(k, x.shape[1]), dim=2)
    return Neighbours(found.indices, found.values > -math.inf)


class GraphBlock(nn.Module):
    """y = relu( x + along time(x) + across the graph(x) ), both paths with grouped convolutions in the middle.

    Along time: D -> M, three steps wide in groups, -> D. Across the graph: [x_j ; x_i] of every neighbour j -> M, in
    groups, -> D, the maximum over j. M = 4 · groups.

    The first map of [x_j ; x_i] is linear, so it is applied to every step before neighbours are gathered.
    """

    compiles = True

    def __init__(self, width: int, groups: int, neighbours: int) -> None:
        super().__init__()
        inner = 4 * groups
        self.groups, self.neighbours = groups, neighbours
        self.time_in = nn.Linear(width, inner)
        self.time = nn.Conv1d(inner, inner, 3, padding=1, groups=groups)
        self.time_out = nn.Linear(inner, width)
        self.graph_in = nn.Linear(2 * width, inner)
        self.graph = nn.Conv1d(inner, inner, 1, groups=groups)
        self.graph_out = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), zero under mask (B, T). Returns the same."""
        keep = mask[:, :, None].to(x.dtype)
        return F.relu(x + self.along_time(x, keep) + self.across_graph(x, mask)) * keep

    def along_time(self, x: Tensor, keep: Tensor) -> Tensor:
        inner = F.relu(self.time_in(x)) * keep
        return self.time_out(F.relu(self.time(inner.transpose(1, 2))).transpose(1, 2))

    def across_graph(self, x: Tensor, mask: Tensor) -> Tensor:
        neighbours = nearest(x, mask, self.neighbours)
        of_neighbour, of_step = self.graph_in.weight.chunk(2, dim=1)  # (M, D) each
        pairs = neighbours.of(F.linear(x, of_neighbour)) + F.linear(x, of_step, self.graph_in.bias)[:, :, None]
        inner = F.relu(pairs).flatten(1, 2)  # (B, T·k, M)
        inner = F.relu(self.graph(inner.transpose(1, 2)).transpose(1, 2))
        out = self.graph_out(inner).unflatten(1, pairs.shape[1:3])  # (B, T, k, D)
        return out.masked_fill(~neighbours.real[..., None], -math.inf).amax(2).masked_fill(~mask[:, :, None], 0.0)
