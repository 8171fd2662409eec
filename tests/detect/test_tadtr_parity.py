"""The TadTR head gives the published implementation's numbers.

The numbers in tests/data/tadtr_parity.npz were made once by the published code (github.com/xlliu7/TadTR), for weights
and inputs that the rules below give to both: `weights` by a generator seeded with each parameter's name, random input.
Each sequence went through that code alone and unpadded; here they share a batch, with nonsense under the mask. Its
compiled RoIAlign was replaced by its own loop in Python. Nothing of that code is needed to run this test.
"""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.heads.base import Predictions, Targets
from detect.heads.tadtr.head import TadTR, TadTRConfig

FROZEN = Path(__file__).parents[1] / "data" / "tadtr_parity.npz"
CONFIG = TadTRConfig(width=64, heads=4, encoder=2, decoder=3, mlp_ratio=2, queries=7, length=64, bins=5)
CHANNELS, CLASSES, LENGTHS = 24, 3, (64, 37, 9)


def head() -> TadTR:
    model = TadTR(CHANNELS, CLASSES, CONFIG)
    model.load_state_dict(weights(dict(model.state_dict())))
    return model.eval()


def weights(like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Deterministic values for every parameter, by its name alone."""
    values = {}
    for name, tensor in like.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if "norm" in name and name.endswith("weight"):
            noise = 1 + 0.2 * noise
        elif name.endswith("offsets.bias"):
            noise = 4 * noise  # steps: some places lie beyond the ends
        elif tensor.ndim > 1 and "queries" not in name:
            noise = noise / np.sqrt(tensor.shape[1])
        elif "queries" not in name:
            noise = 0.2 * noise
        values[name] = torch.tensor(noise, dtype=torch.float32)
    return values


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Random features (B, 24, 64) with nonsense under the mask, and the mask."""
    rng = np.random.RandomState(7)
    features = torch.full((len(LENGTHS), CHANNELS, CONFIG.length), 1e3)
    mask = torch.zeros(len(LENGTHS), CONFIG.length, dtype=torch.bool)
    for i, length in enumerate(LENGTHS):
        features[i, :, :length] = torch.tensor(rng.standard_normal((CHANNELS, length)), dtype=torch.float32)
        mask[i, :length] = True
    return features, mask


def truth() -> list[Targets]:
    """Of each sequence: actions that overlap, one labelled twice; one action; more actions than queries."""
    rows = [
        [(3.0, 21.5, 0), (20.0, 33.25, 2), (40.0, 52.0, 1), (40.0, 52.0, 2), (-1.0, 5.0, 1)],
        [(10.5, 30.0, 2)],
        [(i, i + 1.5 + 0.25 * i, i % 3) for i in range(8)],
    ]
    return [Targets(torch.tensor([r[:2] for r in sample]), torch.tensor([r[2] for r in sample])) for sample in rows]


def predictions() -> tuple[TadTR, Predictions]:
    model = head()
    with torch.no_grad():
        return model, model(*inputs())


@pytest.mark.parametrize("name", ["logits", "segments", "actionness"])
def test_every_layers_predictions_are_those_of_the_published_code(name: str) -> None:
    found, frozen = predictions()[1][name].numpy(), np.load(FROZEN)[name]
    assert frozen.shape == found.shape and frozen.reshape(len(LENGTHS), -1).std(1).min() > 0.01, "numbers that vary"
    np.testing.assert_allclose(found, frozen, rtol=1e-4, atol=1e-5)


def test_queries_are_matched_as_by_the_published_code() -> None:
    model, said = predictions()
    assignment, frozen = model.assign(said, truth()), np.load(FROZEN)
    for name in ("positive", "classes", "segments"):
        np.testing.assert_allclose(assignment[name].numpy(), frozen[f"matched/{name}"], atol=1e-6)
    assert assignment["positive"].sum((1, 2)).tolist() == [5 * 3, 1 * 3, 7 * 3], "no more than there are queries"
    assert model.num_positives(assignment) == 5 + 1 + 8


@pytest.mark.parametrize("name", ["class", "offset", "iou", "actionness"])
def test_losses_are_those_of_the_published_code(name: str) -> None:
    model, said = predictions()
    losses = model.loss(said, model.assign(said, truth()), normaliser=14.0)
    assert losses[name].item() == pytest.approx(float(np.load(FROZEN)[f"loss/{name}"]), rel=1e-4)


def test_actionness_learns_the_iou_with_actions_of_its_own_sample() -> None:
    """The published code takes the best action of the whole batch, whose videos have nothing to do with each other."""
    model, said = predictions()
    alone = model.assign(said, truth())["iou"]
    nothing = Targets(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    others = model.assign(said, [truth()[0], nothing, truth()[2]])["iou"]
    assert torch.equal(others[[0, 2]], alone[[0, 2]]) and (others[1] == 0).all() and (alone[1] > 0).any()
    whole_batch = np.load(FROZEN)["published/iou"]
    assert (alone.numpy() <= whole_batch + 1e-6).all() and (alone.numpy() < whole_batch - 1e-3).any()


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    for channels, count in ((2048, 8_661_594), (1024, 8_399_450)):
        assert sum(p.numel() for p in TadTR(channels, 20, TadTRConfig()).parameters()) == count
