"""The small backbone: its size, what its features are, and that the weights that ship know motion."""

from pathlib import Path

import numpy as np
import pytest
import torch

import extract.weights
from extract.backbones.nano import Nano
from extract.cues.cue import CUES as ALL_CUES

CUES = ("rgb", "flow", "gradient")
WEIGHTS = Path(extract.weights.__file__).parent


def clips(cue: str, count: int = 2) -> np.ndarray:
    """Random clips as decoded: (B, 16, 64, 64, channels)."""
    rng = np.random.default_rng(0)
    shape = (count, 16, 64, 64, ALL_CUES[cue].channels)
    if cue == "flow":
        return rng.normal(0, 1, shape).astype(np.float32)
    if cue == "gradient":
        return rng.integers(-255, 256, shape, dtype=np.int16)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def nano(cue: str) -> Nano:
    torch.manual_seed(0)
    return Nano(cue).eval()


@pytest.mark.parametrize("cue", CUES)
def test_a_clip_becomes_1536_numbers_whatever_the_cue(cue: str) -> None:
    features = nano(cue).embed(clips(cue))
    assert features.shape == (2, 1536) == (2, Nano.dim)
    assert np.prod(Nano.map_shape) == Nano.dim
    assert np.isfinite(features).all() and features.std() > 0


def test_it_is_a_small_network() -> None:
    assert sum(parameter.numel() for parameter in Nano("rgb").parameters()) == pytest.approx(660_000, rel=0.02)


def test_features_are_averages_over_the_eight_cells_of_the_last_map() -> None:
    network = nano("rgb")
    with torch.no_grad():
        x = network.prepare(torch.from_numpy(clips("rgb")))
        last = network.body(x)
        features = network(x).reshape(2, *Nano.map_shape)
    assert last.shape == (2, 192, 4, 4, 4)
    torch.testing.assert_close(features[1, 7, 1, 0, 1], last[1, 7, 2:, :2, 2:].mean())
    torch.testing.assert_close(features.mean((2, 3, 4)), last.mean((2, 3, 4)))


def test_prepared_values_are_what_the_weights_were_trained_on() -> None:
    rgb = nano("rgb").prepare(torch.tensor([0, 128, 192], dtype=torch.uint8).expand(1, 1, 1, 1, 3))
    assert rgb.flatten().tolist() == [-2.0, 0.0, 1.0]
    flow = nano("flow").prepare(torch.tensor([2.0, -3.0]).expand(1, 1, 1, 1, 2))
    assert flow.flatten().tolist() == [1.0, -1.5]
    gradient = nano("gradient").prepare(torch.tensor([24, 0, -48], dtype=torch.int16).expand(1, 1, 1, 1, 3))
    assert gradient.flatten().tolist() == [1.0, 0.0, -2.0]


def test_a_clip_in_a_batch_has_the_features_it_has_alone() -> None:
    network = nano("flow")
    both = network.embed(clips("flow"))
    alone = network.embed(clips("flow")[1:])
    np.testing.assert_allclose(both[1:], alone, rtol=1e-4, atol=1e-6)


def test_what_happens_late_in_a_clip_shows_in_the_late_cells() -> None:
    network = nano("gradient")
    early = clips("gradient", 1)
    late = early.copy()
    late[:, 15] = -late[:, 15]
    difference = np.abs(network.embed(early) - network.embed(late)).reshape(Nano.map_shape)
    assert difference[:, 1].max() > 0
    assert difference[:, 0].max() == 0  # the first half of the map sees frames up to the 11th


@pytest.mark.parametrize("cue", CUES)
def test_shipped_weights_load_strictly_and_fit_the_package(cue: str) -> None:
    path = WEIGHTS / f"nano_{cue}.pt"
    assert path.stat().st_size <= 1.5e6
    state = torch.load(path, weights_only=True)
    assert {tensor.dtype for tensor in state.values()} <= {torch.float16, torch.int64}
    network = Nano(cue)
    network.load_state_dict(state, strict=True)
    features = network.eval().embed(clips(cue))
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 6e4  # features are stored in half precision
