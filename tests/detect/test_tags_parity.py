"""The TAGS head gives the published implementation's numbers, where that is right.

The numbers in tests/data/tags_parity.npz were made once by the published code (github.com/sauradip/TAGS, for
ActivityNet-1.3), for weights and inputs that the rules below give to both; its layers were made smaller, its forward
pass, losses and data loader left as they are. Nothing of that code is needed to run this test. Where ours differs is
tested in test_tags.py and test_tags_runs.py.
"""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.heads.base import Targets
from detect.heads.tags import losses
from detect.heads.tags.head import TAGS, TAGSConfig
from detect.heads.tags.targets import assign_steps

FROZEN = Path(__file__).parents[1] / "data" / "tags_parity.npz"
WIDTH, STEPS, CLASSES, TOWER = 24, 32, 3, (20, 16, 12)
LOSS_STEPS, LOSS_CLASSES = 20, 200  # its ranking loss takes 120 classes, whatever there are
VIDEOS = {  # actions as shares of the video, with class: no two overlap, of one class each
    "two": [(0.13, 0.37, 1), (0.52, 0.98, 1)],
    "whole": [(0.0, 1.0, 0)],
    "one": [(0.401, 0.699, 2)],
}


def published() -> TAGSConfig:
    """What the published code is: no positions, masks in places of the sample, attention heads as wide as features."""
    return TAGSConfig(
        width=WIDTH, length=STEPS, heads=2, head_width=WIDTH, tower=TOWER, positions=False, relative=False
    )


def weights(like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Deterministic values for every parameter, by its name alone."""
    values = {}
    for name, tensor in like.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        scaled = 1.5 * noise / np.sqrt(tensor[0].numel()) if tensor.ndim > 1 else 0.3 * noise
        values[name] = torch.tensor(scaled + name.endswith("norm.weight"), dtype=torch.float32)
    return values


def features() -> torch.Tensor:
    return torch.tensor(np.random.RandomState(3).standard_normal((2, WIDTH, STEPS)), dtype=torch.float32)


def loss_inputs() -> dict[str, torch.Tensor]:
    """Logits (2, T, C + 1), mask logits (2, T, T), and the classes of 2 samples of two actions each, in our layout."""
    rng = np.random.RandomState(5)
    step_class = np.full((2, LOSS_STEPS), LOSS_CLASSES)
    masks = np.zeros((2, LOSS_STEPS, LOSS_STEPS))
    for row, first, last, label in ((0, 2, 7, 4), (0, 11, 18, 90), (1, 0, 5, 199), (1, 9, 10, 4)):
        step_class[row, first:last] = label
        masks[row, first:last, first:last] = 1
    values = {
        "logits": rng.standard_normal((2, LOSS_STEPS, LOSS_CLASSES + 1)),
        "drawn": 2 * rng.standard_normal((2, LOSS_STEPS, LOSS_STEPS)),
        "classes": np.eye(LOSS_CLASSES + 1)[step_class],
        "masks": masks,
    }
    return {name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}


def test_classes_and_masks_are_those_of_the_published_code() -> None:
    head = TAGS(WIDTH, CLASSES, published()).eval()
    head.load_state_dict(weights(dict(head.state_dict())))
    with torch.no_grad():
        predictions = head(features(), torch.ones(2, STEPS, dtype=torch.bool))
    frozen = np.load(FROZEN)
    assert frozen["logits"].std() > 0.3 and frozen["masks"].std() > 0.1, "numbers that vary"
    ours = {"logits": predictions["logits"], "masks": predictions["masks"].sigmoid()}
    for name, value in ours.items():  # (B, channels, T) there: of masks, the position before the step
        np.testing.assert_allclose(value.transpose(1, 2).numpy(), frozen[name], rtol=1e-4, atol=1e-5)


def test_the_published_size_has_the_published_codes_parameters() -> None:
    with torch.device("meta"):
        settings = TAGSConfig(
            width=2048, length=100, head_width=2048, tower=(1024, 512, 256), positions=False, relative=False
        )
        assert sum(p.numel() for p in TAGS(2048, 200, settings).parameters()) == 75_811_785


@pytest.mark.parametrize("name", VIDEOS)
def test_targets_are_those_of_the_published_code_where_its_actions_do_not_meet(name: str) -> None:
    rows = VIDEOS[name]
    segments = torch.tensor([[start * STEPS - 0.5, end * STEPS - 0.5] for start, end, _ in rows])
    targets = Targets(segments, torch.tensor([label for *_, label in rows]))
    said = assign_steps(torch.ones(1, STEPS, dtype=torch.bool), [targets], CLASSES, shrink=1)
    frozen = np.load(FROZEN)
    assert np.array_equal(said["likely"][0].argmax(1).numpy(), frozen[f"targets/{name}/steps"])
    assert set(said["likely"].unique().tolist()) == {0.0, 1.0}
    assert np.array_equal(said["masks"][0].numpy(), frozen[f"targets/{name}/masks"])
    assert np.array_equal(said["classes"][0].T.numpy(), frozen[f"targets/{name}/classes"])


def test_terms_of_the_loss_are_those_of_the_published_code() -> None:
    x, frozen = loss_inputs(), np.load(FROZEN)
    valid = torch.ones(2, LOSS_STEPS, dtype=torch.bool)
    drawn, foreground = x["drawn"].sigmoid(), x["masks"].amax(2) > 0
    balanced = losses.balanced_cross_entropy(x["drawn"], x["masks"], torch.ones_like(drawn))
    ours = {
        "ranking": losses.label_ranking(x["logits"], x["classes"], valid, hard=120),
        "mask": 0.4 * balanced + 0.6 * losses.squared_dice(drawn, x["masks"]),
        "redundancy": losses.foreground_error(drawn, x["masks"], foreground, valid),
    }
    for name, value in ours.items():
        assert value.item() == pytest.approx(float(frozen[f"loss/{name}"]), rel=1e-4), name
