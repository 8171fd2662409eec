"""The AFSD head gives the published implementation's numbers: predictions, losses, boundary consistency.

The numbers in tests/data/afsd_parity.npz were made once by the published code, for weights and inputs that the rules
below give to both: networks, start and end losses and ActivityNet's losses by OpenTAD's feature version
(github.com/sming256/OpenTAD), THUMOS'14's losses and the triplet loss by the authors' (github.com/TencentYoutuResearch/
ActionDetection-AFSD). It saw each sample alone and unpadded, because its GroupNorm counts padded steps
(docs/papers.md); here they are in one batch, padded with nonsense. Nothing of that code is needed to run this test.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detect.heads.afsd.config import AFSDConfig
from detect.heads.afsd.head import AFSD
from detect.heads.base import Predictions, Targets

FROZEN = Path(__file__).parents[1] / "data" / "afsd_parity.npz"
CHANNELS, CLASSES = 24, 3
CASES: dict[str, dict[str, Any]] = {
    # seed: of inputs whose proposals' regions end far from where rounding would turn them (`regions_around`).
    "thumos": {"seed": 43, "lengths": (64, 32), "config": {"levels": 6}},
    "activitynet": {
        "seed": 55,
        "lengths": (32, 16),
        "config": {
            "levels": 4,
            "frames": 8,
            "unit": 0.5,
            "unit_doubles": True,
            "ranges": ((0.0, 3.75), (1.875, 7.5), (3.75, 15.0), (7.5, 96.0)),
            "min_iou": 0.6,
            "refine_best": True,
            "smooth": True,
            "offset_weight": 1.0,
        },
    },
}
# A cut action: first part, second part, inserted background; in frames of a sample of 64 steps.
CUT = ((20.3, 61.0), (77.0, 110.2), (62.0, 76.0))


def head(case: str) -> AFSD:
    settings = CASES[case]
    config = AFSDConfig(width=64, length=settings["lengths"][0], consistency_weight=1.0, **settings["config"])
    model = AFSD(CHANNELS, CLASSES, config)
    model.load_state_dict(weights(dict(model.state_dict()), farther=0.5 if config.unit_doubles else 2.5))
    return model.eval()


def weights(like: dict[str, torch.Tensor], farther: float) -> dict[str, torch.Tensor]:
    """Deterministic values for every parameter, by its name alone; proposals are e^`farther` units long and more."""
    values = {}
    for name, tensor in like.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if name.endswith(("norm.weight", "scales")):
            noise = 1 + 0.2 * noise
        elif tensor.ndim > 1:
            noise = noise / np.sqrt(tensor[0].numel()) * (0.3 if name.startswith("distances") else 1)
        else:
            noise = 0.3 * noise + farther * (name == "distances.convolution.bias")
        values[name] = torch.tensor(noise, dtype=torch.float32)
    return values


def inputs(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features (B, 24, T) with nonsense under the mask, and the mask."""
    rng, lengths = np.random.RandomState(CASES[case]["seed"]), CASES[case]["lengths"]
    features = torch.full((len(lengths), CHANNELS, max(lengths)), 1e3)
    for i, length in enumerate(lengths):
        features[i, :, :length] = torch.tensor(rng.standard_normal((CHANNELS, length)), dtype=torch.float32)
    return features, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def actions(length: int) -> Targets:
    """Of a sample: some that overlap, one within another, one at the sample's end; in cells."""
    shares = [(0.1, 0.3, 0), (0.22, 0.55, 1), (0.3, 0.36, 2), (0.7, 1.0, 0), (0.0, 0.9, 1)]
    segments = torch.tensor([(start * length, end * length) for start, end, _ in shares])
    return Targets(segments, torch.tensor([label for _, _, label in shares]))


def only(predictions: Predictions, row: int) -> Predictions:
    return {name: value[row : row + 1] for name, value in predictions.items()}


def background_first(logits: torch.Tensor) -> torch.Tensor:
    return torch.cat([logits[..., -1:], logits[..., :-1]], dim=-1)


def as_published(predictions: Predictions, row: int, length: int, frames: int) -> dict[str, torch.Tensor]:
    """Predictions about the real steps of one sample by their published names, distances in frames."""
    one = {name: value[row] for name, value in predictions.items()}
    valid = one["valid"]
    steps = dict(
        zip(("start_loc", "end_loc", "start_conf", "end_conf"), one["step_boundaries"][:length].T, strict=True)
    )
    return {
        "loc": one["distances"][valid] * frames,
        "conf": background_first(one["logits"])[valid],
        "prop_loc": one["refined_offsets"][valid],
        "prop_conf": background_first(one["refined_logits"])[valid],
        "center": one["quality"][valid],
        "start": one["boundaries"][: length * frames, 0],
        "end": one["boundaries"][: length * frames, 1],
        **steps,
    }


@pytest.mark.parametrize("case", CASES)
def test_predictions_are_those_of_the_published_code(case: str) -> None:
    model, lengths = head(case), CASES[case]["lengths"]
    with torch.no_grad():
        predictions = model(*inputs(case))
    frozen = np.load(FROZEN)
    for row, length in enumerate(lengths):
        for name, value in as_published(predictions, row, length, model.config.frames).items():
            published = frozen[f"{case}/{row}/{name}"]
            assert published.std() > 0.01, "numbers that vary"
            np.testing.assert_allclose(value.numpy(), published, rtol=1e-4, atol=1e-4 * published.std(), err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_the_published_code(case: str) -> None:
    """Published labels lie in cells, ours in steps, half a step less; they normalise by a sample's positives."""
    model, lengths = head(case), CASES[case]["lengths"]
    with torch.no_grad():
        predictions = model(*inputs(case))
    frozen = np.load(FROZEN)
    for row, length in enumerate(lengths):
        known = actions(length)
        one = only(predictions, row)
        assignment = model.assign(one, [Targets(known.segments - 0.5, known.labels)])
        assert int(assignment["refined"].sum()) > 0
        losses = model.loss(one, assignment, float(model.num_positives(assignment)))
        for name, value in losses.items():
            assert value.item() == pytest.approx(float(frozen[f"{case}/{row}/loss/{name}"]), rel=1e-4), name


def test_boundary_consistency_is_the_published_triplet_loss() -> None:
    model = head("thumos")
    features, mask = inputs("thumos")
    with torch.no_grad():
        losses = model.rearranged_loss(features[:1], mask[:1], torch.tensor([CUT]) / model.config.frames)
    assert losses["consistency"].item() == pytest.approx(float(np.load(FROZEN)["thumos/triplet"]), rel=1e-4)
    assert losses["consistency"].item() > 0.5, "within the margin"
