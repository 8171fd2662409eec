"""The G-TAD head gives the published implementation's numbers.

The numbers in tests/data/gtad_parity.npz were made once by the published code (github.com/frostinassiky/gtad) with
narrower layers, for weights and inputs that `small_gtad` gives to both, its compiled Align1D replaced by the same
formula. Nothing of that code is needed to run this test.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_gtad import head, sample, targets

from detect.heads.base import Predictions
from detect.heads.gtad.head import CLASS, OVERLAP
from detect.heads.gtad.losses import MARGIN, balanced_entropy, overlap_error, overlap_weights

FROZEN = np.load(Path(__file__).parents[1] / "data" / "gtad_parity.npz")
ACTIONS = [((3.0, 9.0), (11.4, 13.1)), ((-2.0, 4.5), (20.2, 26.0), (8.0, 8.7))]  # snippets from the window's start


@pytest.mark.parametrize(("case", "length"), [("full", 24), ("masked", 17)])
def test_maps_and_boundaries_are_those_of_the_published_code(case: str, length: int) -> None:
    """Of 17 steps in a sample of 24 we say what the published code says of 17 steps alone; padded to 24 it says
    something else, by up to .06: its k-NN takes the padding for neighbours."""
    with torch.no_grad():
        predictions = head()(*sample(length))
    valid = predictions["valid"][0]
    found = {
        "map": predictions["map"].sigmoid()[:, :, valid],
        "start": predictions["start"].sigmoid()[:, :length],
        "end": predictions["end"].sigmoid()[:, :length],
    }
    for name, values in found.items():
        frozen = FROZEN[f"{case}/{name}"]
        assert frozen.std() > 0.1, "numbers that vary"
        np.testing.assert_allclose(values.numpy(), frozen, rtol=1e-4, atol=1e-6)


def fixed() -> tuple[Predictions, dict[str, torch.Tensor]]:
    """Random predictions, and what they should have said by the published targets."""
    rng = np.random.RandomState(11)
    drawn = [rng.standard_normal(shape) for shape in ((2, 2, 8, 24), (2, 24), (2, 24))]
    segments, start, end = (torch.tensor(x, dtype=torch.float32) for x in drawn)
    predictions = {"map": segments, "start": start, "end": end, "valid": empty_map()}
    # the published segments are [s, s + d + 1] in snippets; ours begin half a step earlier, where their steps do
    assignment = head().assign(predictions, [targets(*((a - 0.5, b - 0.5) for a, b in row)) for row in ACTIONS])
    near = head().assign(predictions, [targets(*row) for row in ACTIONS])  # starts and ends lie where ours do
    return predictions, {**assignment, "start": near["start"], "end": near["end"]}


def empty_map() -> torch.Tensor:
    ends = torch.arange(24) + torch.arange(8)[:, None]
    return (ends < 24)[None].repeat(2, 1, 1)


def test_targets_are_those_of_the_published_code() -> None:
    _, assignment = fixed()
    np.testing.assert_allclose(assignment["overlap"].numpy(), FROZEN["targets/overlap"], atol=1e-6)
    assert (assignment["overlap"] > 0.9).any()
    for side in ("start", "end"):
        np.testing.assert_array_equal(assignment[side].numpy(), FROZEN[f"targets/{side}"] > 0.5)


def test_losses_are_those_of_the_published_code() -> None:
    predictions, assignment = fixed()
    losses = head().loss(predictions, assignment, normaliser=7.0)
    assert (losses["start"] + losses["end"]).item() == pytest.approx(float(FROZEN["losses/boundaries"]), rel=1e-5)
    is_action = assignment["overlap"] > 0.9
    classes = balanced_entropy(predictions["map"][:, CLASS], is_action, predictions["valid"], MARGIN)
    assert classes.item() == pytest.approx(float(FROZEN["losses/class"]), rel=1e-5)


def drawn_weights(overlaps: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """As drawn by the published code: of n segments of a kind, h above 0.7, those whose number exceeds 1 - h / n."""
    high = overlaps > 0.7
    weights = high.float()
    for kind, uniform in zip(((overlaps > 0.3) & ~high, (overlaps > 0) & (overlaps <= 0.3)), draws, strict=True):
        weights = weights + (kind * uniform > 1 - high.sum() / kind.sum())
    return weights


def test_the_regression_loss_is_the_published_one_for_the_weights_that_it_draws() -> None:
    predictions, assignment = fixed()
    weights = drawn_weights(assignment["overlap"], torch.from_numpy(FROZEN["losses/draws"]))
    error = overlap_error(predictions["map"][:, OVERLAP], assignment["overlap"], weights)
    assert error.item() == pytest.approx(float(FROZEN["losses/overlap"]), rel=1e-5)


def test_the_weights_of_the_regression_loss_are_the_mean_of_those_that_the_published_code_draws() -> None:
    """Departure: nothing is drawn, so that the loss is a function of its arguments."""
    overlaps = fixed()[1]["overlap"]
    draws = torch.rand(2000, 2, *overlaps.shape, generator=torch.Generator().manual_seed(0))
    mean = torch.stack([drawn_weights(overlaps, one) for one in draws]).mean(0)
    expected = overlap_weights(overlaps, empty_map())
    assert set(expected.unique().tolist()) >= {0.0, 1.0} and len(expected.unique()) > 2
    assert (mean - expected).abs().max() < 0.06  # five deviations of a mean of 2000
