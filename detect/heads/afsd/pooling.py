"""Boundary pooling: the largest of each channel near the start of a proposal, or near its end.

Half of the channels tell of starts, the other half of ends (AFSD, section 3.3).
"""

import torch
from torch import Tensor


def regions_around(start: Tensor, end: Tensor, length: Tensor) -> Tensor:
    """(..., 4) whole steps, first and last around the start, first and last around the end; all included.

    A tenth of the length beyond a boundary and a quarter within, at least one step either way. Without gradient.
    """
    inner, outer = (length.detach() / 4).clamp(min=1), (length.detach() / 10).clamp(min=1)
    start, end = start.detach(), end.detach()
    return torch.stack([start - outer, start + inner, end - inner, end + outer], dim=-1).round()


def pool_boundaries(x: Tensor, regions: Tensor, last: Tensor, first: Tensor | int = 0) -> Tensor:
    """x (B, T, D), regions (B, N, 4) -> (B, N, D): the first D / 2 channels at the start, the others at the end.

    first (N,) and last (B, N): regions count from `first`, and no step beyond `last`, counted likewise, is looked at.
    What lies beyond either is taken to be at it.
    """
    regions = torch.minimum(regions.clamp(min=0), last[:, :, None].to(regions.dtype)).long()
    regions = regions + (first if isinstance(first, int) else first[:, None])
    begins, ends = x.chunk(2, dim=2)
    return torch.cat([largest_within(begins, regions[..., :2]), largest_within(ends, regions[..., 2:])], dim=2)


def largest_within(x: Tensor, spans: Tensor) -> Tensor:
    """x (B, T, D), spans (B, N, 2) of first and last step, both included -> (B, N, D), the largest of each channel.

    Of a span that ends before it begins only the first step counts. The gradient goes to the largest, of equals to the
    first.
    """
    return x.gather(1, _where_largest(x.detach(), spans[..., 0], torch.maximum(spans[..., 0], spans[..., 1])))


def _where_largest(x: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Steps (B, N, D). The largest of 1, 2, 4, ... steps from each step on are found by doubling, as far as the longest
    span needs it; any span is covered by two of these, which may overlap."""
    doublings = _whole_log2(last - first + 1)
    rounds = int(doublings.max())
    values = x.new_empty(rounds + 1, *x.shape)
    steps = torch.empty(rounds + 1, *x.shape, dtype=torch.int32, device=x.device)
    values[0], steps[0] = x, torch.arange(x.shape[1], device=x.device)[:, None]
    for number in range(rounds):
        here, after = slice(x.shape[1] - 2 ** (number + 1) + 1), slice(2**number, x.shape[1] - 2**number + 1)
        later = values[number, :, after] > values[number, :, here]
        for table in (values, steps):
            torch.where(later, table[number, :, after], table[number, :, here], out=table[number + 1, :, here])
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    left, right = (doublings, rows, first), (doublings, rows, last + 1 - 2**doublings)
    return torch.where(values[right] > values[left], steps[right], steps[left]).long()


def _whole_log2(count: Tensor) -> Tensor:
    """The largest k with 2^k <= count, for count >= 1."""
    return torch.frexp(count.float()).exponent.long() - 1
