"""Sines of the position: as they are over samples that they suffice for, stretched over longer ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from detect.heads.positions import sinusoids, stretched


def lengths(*steps: int, padded: int) -> torch.Tensor:
    return torch.arange(padded) < torch.tensor(steps)[:, None]


@pytest.mark.parametrize("width", [6, 5])
def test_channels_are_sines_and_cosines_at_ever_lower_rates(width: int) -> None:
    table = sinusoids(torch.arange(9), width)
    for place in range(9):
        for channel in range(width):
            angle = place / 1e4 ** (2 * (channel // 2) / width)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert table[place, channel].item() == pytest.approx(expected, abs=1e-6)


def test_a_sample_that_the_rows_suffice_for_has_them_as_they_are() -> None:
    table = torch.randn(10, 4)
    assert torch.equal(stretched(table, lengths(7, 3, padded=8))[0], table[:8])
    both = stretched(table, lengths(10, 3, 20, padded=20))
    assert torch.equal(both[0, :10], table) and torch.equal(both[1, :3], table[:3]), "also beside a longer one"


@pytest.mark.parametrize("steps", [11, 16, 20, 37])
def test_over_a_longer_sample_they_are_stretched_by_its_own_length_however_it_is_padded(steps: int) -> None:
    table = torch.randn(10, 4)
    expected = F.interpolate(table.T[None], size=steps, mode="linear", align_corners=False)[0].T
    for padded in (steps, steps + 1, 64):
        assert torch.allclose(stretched(table, lengths(steps, 5, padded=padded))[0, :steps], expected, atol=1e-5)
