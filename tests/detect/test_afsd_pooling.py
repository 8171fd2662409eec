"""Boundary pooling against brute force: what is largest near a start, near an end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detect.heads.afsd.pooling import largest_within, pool_boundaries, regions_around


def brute_force(x: Tensor, regions: Tensor, last: Tensor, first: Tensor) -> Tensor:
    """As the published operator: bounds cut to [0, last], read one by one, at least the first."""
    out = torch.zeros(*regions.shape[:2], x.shape[2])
    half = x.shape[2] // 2
    for row in range(regions.shape[0]):
        for point in range(regions.shape[1]):
            for side, channels in ((0, slice(0, half)), (2, slice(half, None))):
                low, high = (int(v) for v in regions[row, point, side : side + 2].clamp(0, float(last[row, point])))
                steps = range(low, max(low, high) + 1)
                rows = [x[row, int(first[point]) + step, channels] for step in steps]
                out[row, point, channels] = torch.stack(rows).amax(0)
    return out


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_pooling_takes_the_largest_of_each_channel_wherever_a_region_lies(steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, steps + 7, 6, generator=generator)
    regions = torch.randint(
        -5, steps + 5, (2, 9, 4), generator=generator
    ).float()  # also such that end before they begin
    first = torch.randint(0, 8, (9,), generator=generator)
    last = torch.randint(0, steps, (2, 9), generator=generator)
    assert torch.equal(pool_boundaries(x, regions, last, first), brute_force(x, regions, last, first))


def test_each_half_of_the_channels_looks_at_its_own_boundary() -> None:
    x = torch.arange(10.0)[None, :, None] * torch.tensor([1.0, 1.0])
    regions = torch.tensor([[[2.0, 4.0, 6.0, 8.0], [-3.0, 1.0, 8.0, 30.0], [5.0, 3.0, 7.0, 2.0]]])
    pooled = pool_boundaries(x, regions, torch.full((1, 3), 9))
    assert pooled.tolist() == [[[4.0, 8.0], [1.0, 9.0], [5.0, 7.0]]]


def test_a_region_reaches_a_tenth_beyond_the_boundary_and_a_quarter_within() -> None:
    long = regions_around(torch.tensor(100.0), torch.tensor(140.0), torch.tensor(40.0))
    assert long.tolist() == [96.0, 110.0, 130.0, 144.0]
    short = regions_around(torch.tensor(10.0), torch.tensor(12.0), torch.tensor(2.0))
    assert short.tolist() == [9.0, 11.0, 11.0, 13.0], "at least one step either way"


def test_the_gradient_goes_to_the_largest_step_alone() -> None:
    x = torch.tensor([3.0, 1.0, 7.0, 5.0, 2.0, 6.0])[None, :, None].requires_grad_()
    [gradient] = torch.autograd.grad(largest_within(x, torch.tensor([[[0, 4], [3, 5], [4, 4]]])).sum(), x)
    assert gradient.flatten().tolist() == [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9])
def test_a_region_may_be_all_of_a_sequence(steps: int) -> None:
    x = torch.randn(1, steps, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(largest_within(x, torch.tensor([[[0, steps - 1]]]))[:, 0], x.amax(1))
