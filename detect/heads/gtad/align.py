"""SGAlign: what lies inside and around every segment of a sample, in a fixed number of bins.

Segment (d, s) covers the steps s to s + d. It is widened by half its length L = d + 1 at either end, cut into R bins,
and every bin is the mean of features interpolated at evenly spread places. So a bin is a weighted sum over steps, with
weights that depend on d and s alone: a constant sparse matrix. The first layer of the head on all bins of a segment is
linear too, and the two are exchanged here:

    published:  sample (D·T, R·channels), then W · that        8192 channels for every one of 16,384 segments
    here:       W_bin · features (T·R, hidden), then sample    512 channels, one sparse product

Same numbers, a fraction of the memory.

Source: G-TAD, whose Align1D is RoIAlign along one axis. A place more than a step before the first or behind the last
step counts as zero, one nearer takes the value there. A segment that ends behind the last step is read at [0, 1].
Ours: the last step is the sample's, not the batch's, so that a padded sample says what it would say unpadded.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Edge:
    """What has to be taken off again behind the end of a sample of n steps.

    Its features are continued by one copy of the last step, so that places up to n take that. Places from n to n + 1
    take a part of the copy too, and should take nothing: part `weight` in bin `bin`, of segments that start `before`
    steps before n and last d.
    """

    d: Tensor  # (m,) int64, each
    before: Tensor
    bin: Tensor
    weight: Tensor  # (m,)


class Alignment:
    """The constant operator of samples of so many steps."""

    def __init__(self, steps: int, durations: int, bins: int, device: torch.device) -> None:
        self.steps, self.durations, self.bins = steps, durations, bins
        parts = [_segments_of(d, steps, bins) for d in range(durations)]
        index, weights = torch.cat([p[0] for p in parts], dim=1), torch.cat([p[1] for p in parts])
        size = (durations * steps, (steps + 1) * bins)
        matrix = torch.sparse_coo_tensor(index, weights.float(), size, check_invariants=False).coalesce()
        self.matrix, self.transposed = matrix.to(device), matrix.t().coalesce().to(device)
        edges = [_edge_of(d, bins) for d in range(durations)]
        self.edge = Edge(*(torch.cat(column).to(device) for column in zip(*edges, strict=True)))
        self.second = ((torch.arange(bins) + 0.5) / bins).to(device)  # share of step 1 in the bins of [0, 1]

    def __call__(self, x: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """x (steps, bins · channels), zero from `length` on, which is at least 1.

        Returns the sum over the bins of every segment, (durations · steps, channels), which for segments that end
        behind the sample means nothing, and in their place that of [0, 1], (channels,).
        """
        last = x[length - 1]
        continued = torch.cat([x[:length], last[None], x[length:]]).view(self.steps + 1, self.bins, -1)
        sums: Tensor = _Product.apply(continued.flatten(0, 1), self)
        start = length - self.edge.before
        inside = start >= 0
        rows = (self.edge.d * self.steps + start)[inside]
        copies = last.view(self.bins, -1)[self.edge.bin[inside]] * self.edge.weight[inside, None].to(x.dtype)
        share = self.second.to(x.dtype)[:, None]
        return sums.index_add(0, rows, copies, alpha=-1), ((1 - share) * continued[0] + share * continued[1]).sum(0)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Alignment) -> Tensor:
        ctx.operator = operator
        return torch.sparse.mm(operator.matrix, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.sparse.mm(ctx.operator.transposed, gradient.contiguous()), None


@functools.lru_cache(maxsize=4)  # 45 MB each at 256 steps and 64 durations
def alignment(steps: int, durations: int, bins: int, device: torch.device) -> Alignment:
    """The operator, made once for detecting and for training: not of tensors that only one of these may use."""
    with torch.inference_mode(False), torch.no_grad():
        return Alignment(steps, durations, bins, device)


def places_of(d: int, bins: int) -> tuple[Tensor, Tensor, float]:
    """Where segments of duration d are sampled, in steps from their start (P,), the bin of each place (P,), and the
    share of each in its bin: as many places in a bin as it has steps, rounded up."""
    length = d + 1
    whole = max(d + length, 1)  # the published end is s + d + L / 2: a step less than twice the length
    count = -(-whole // bins)
    place = torch.arange(bins * count)
    at = (place + 0.5).double() * whole / (bins * count) - length / 2
    return at, place // count, 1 / count


def _segments_of(d: int, steps: int, bins: int) -> tuple[Tensor, Tensor]:
    """Entries of the operator for all segments of duration d: rows and columns (2, m), weights (m,)."""
    at, bin_of, share = places_of(d, bins)
    s = torch.arange(max(steps - d, 0))
    place = s[:, None] + at  # (S, P)
    known = ((place >= -1) & (place < steps + 1)).double() * share
    place = place.clamp(min=0)
    below = place.floor()
    part = place - below
    index, weights = [], []
    for step, weight in ((below.long(), (1 - part) * known), (below.long() + 1, part * known)):
        there = (weight > 0) & (step <= steps)
        row, column = torch.broadcast_tensors((d * steps + s)[:, None], step * bins + bin_of)
        index.append(torch.stack([row[there], column[there]]))
        weights.append(weight[there])
    return torch.cat(index, dim=1), torch.cat(weights)


def _edge_of(d: int, bins: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The entries of `Edge` for segments of duration d."""
    at, bin_of, share = places_of(d, bins)
    before = torch.arange(1, 2 * d + 3)[:, None]
    beyond = at - before  # from n; the start of the segment is n - before
    there = (beyond > 0) & (beyond < 1)
    weight = ((1 - beyond) * share)[there].float()
    before, bin_of = (x[there] for x in torch.broadcast_tensors(before, bin_of))
    return torch.full_like(before, d), before, bin_of, weight
