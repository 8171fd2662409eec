"""The ActionFormer head gives the published implementation's numbers.

The numbers in tests/data/actionformer_parity.npz were made once by the published code (github.com/happyharrycn/
actionformer_release), for weights and inputs that the rules below give to both: `weights` by a generator seeded with
each parameter's name, drop-path scales 1, and masked random input. Nothing of that code is needed to run this test.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detect.model.detector import Detector, DetectorConfig

FROZEN = Path(__file__).parents[1] / "data" / "actionformer_parity.npz"
CASES: dict[str, dict[str, Any]] = {
    # Two sequences shorter than the published padding. Its LayerNorms' biases leak into the last real steps from
    # under the mask, ours do not (docs/papers.md): equal only while those biases are 0, as they are at the beginning.
    "masked": {"lengths": (61, 37), "padded": 64, "levels": 4, "window": 5, "biases": False},
    # One that fills the published padding, so that every parameter may be random; attention runs in several chunks.
    "full": {"lengths": (160,), "padded": 160, "levels": 3, "window": 9, "biases": True},
    # As for ActivityNet: sines of the position, of as many steps as a sequence may have in training. No class is named.
    "positions": {
        "lengths": (61, 37),
        "padded": 64,
        "levels": 4,
        "window": 5,
        "biases": False,
        "more": {"positions": 64, "names_classes": False},
    },
    # A sequence longer than that: the sines are stretched over it.
    "stretched": {
        "lengths": (160,),
        "padded": 160,
        "levels": 3,
        "window": (9, 9, 81),  # the last level sees all of itself
        "biases": True,
        "more": {"positions": 64, "names_classes": False},
    },
}


def detector(case: str) -> Detector:
    settings = CASES[case]
    levels, window, biases = (settings[name] for name in ("levels", "window", "biases"))
    config = DetectorConfig(
        classes=("a", "b", "c"),
        feature_dims={"rgb": 24},
        width=32,
        head_config={"levels": levels, "window": window, **settings.get("more", {})},
        normalise=False,
    )
    model = Detector(config)
    model.load_state_dict(weights(dict(model.state_dict()), biases))
    return model.eval()


def weights(like: dict[str, torch.Tensor], biases: bool) -> dict[str, torch.Tensor]:
    """Deterministic values for every parameter, by its name alone."""
    values = {}
    for name, tensor in like.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if name.endswith("_path.scale"):
            noise = np.ones_like(noise)
        elif name.endswith(("norm.weight", "norm_weight", "scales")) or (".norms." in name and name.endswith("weight")):
            noise = 1 + 0.2 * noise
        elif tensor.ndim > 1:
            fan_in = tensor[0].numel() if "qkv" not in name else tensor.shape[1] if "taps" in name else tensor.shape[2]
            noise = noise / np.sqrt(fan_in)
        else:
            is_norm = "norm" in name
            noise = 0.2 * noise * (biases or not is_norm) + ("regressor" in name and not is_norm)
        values[name] = torch.tensor(noise, dtype=torch.float32) if "_rgb" not in name else tensor
    return values


def inputs(lengths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features (B, 24, T) with nonsense under the mask, and the mask."""
    rng = np.random.RandomState(7)
    features = torch.full((len(lengths), 24, max(lengths)), 1e3)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
    for i, length in enumerate(lengths):
        features[i, :, :length] = torch.tensor(rng.standard_normal((24, length)), dtype=torch.float32)
        mask[i, :length] = True
    return features, mask


@pytest.mark.parametrize("case", CASES)
def test_logits_and_offsets_are_those_of_the_published_code(case: str) -> None:
    model = detector(case)
    features, mask = inputs(CASES[case]["lengths"])
    with torch.no_grad():
        predictions = model({"rgb": features}, mask)
    valid = predictions["valid"]
    frozen = np.load(FROZEN)
    classes = 3 if model.head.names_classes else 1
    assert frozen[f"{case}/logits"].shape == (int(valid.sum()), classes)
    assert frozen[f"{case}/logits"].std() > 0.3, "numbers that vary"
    assert (frozen[f"{case}/offsets"] > 0).mean() > 0.3, "offsets that survive the ReLU"
    np.testing.assert_allclose(predictions["logits"][valid].numpy(), frozen[f"{case}/logits"], atol=1e-4)
    np.testing.assert_allclose(predictions["offsets"][valid].numpy(), frozen[f"{case}/offsets"], atol=1e-4)
