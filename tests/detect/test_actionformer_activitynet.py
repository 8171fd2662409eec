"""ActionFormer as for ActivityNet-1.3: it sees where a step stands, and finds actions that others name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_heads import SMALL, empty_predictions, head, targets

from detect.heads.actionformer.head import ActionFormer, ActionFormerConfig
from detect.model.architecture import Architecture
from detect.model.detector import Detector, DetectorConfig, DetectorError, settings_of
from detect.model.sealed import read_unsealed, write_sealed
from detect.naming import named
from detect.suppress import Suppression, suppress
from detect.windows import Found
from train.recipes import recipe_for
from train.recipes.recipe import fused_later

PLACED = dataclasses.replace(SMALL, positions=24)
NAMELESS = dataclasses.replace(SMALL, names_classes=False)

# ---- positions


def test_steps_that_look_alike_are_told_apart_by_where_they_stand() -> None:
    features, mask = torch.ones(1, 16, 64), torch.ones(1, 64, dtype=torch.bool)
    blind, seeing = (head(config)(features, mask)["logits"][0, 24:40] for config in (SMALL, PLACED))
    assert blind.std(0).max() < 1e-5 < 1e-2 < seeing.std(0).max()


@pytest.mark.parametrize("length", [1, 7, 24, 25, 61, 200])
def test_padding_changes_nothing_on_real_steps_of_a_sample_short_or_stretched(length: int) -> None:
    model = head(PLACED)
    features = torch.randn(1, 16, length)
    alone = model(features, torch.ones(1, length, dtype=torch.bool))
    for padding in (1, 8, 150):
        mask = torch.arange(length + padding)[None] < length
        both = model(torch.nn.functional.pad(features, (0, padding), value=50.0), mask)
        for name in ("logits", "offsets"):
            assert (both[name][both["valid"]] - alone[name][alone["valid"]]).abs().max() < 2e-5


@pytest.mark.parametrize(
    ("word", "value"),
    [("positions", 0), ("positions", True), ("positions", 1.5), ("names_classes", 0), ("names_classes", "no")],
)
def test_what_is_no_number_of_steps_or_no_choice_is_refused(word: str, value: object) -> None:
    with pytest.raises(DetectorError, match=f"ActionFormerConfig: {word} must be"):
        settings_of(Architecture(width=16), {word: value})


def test_a_detector_saved_before_there_were_positions_is_read_as_it_was(tmp_path: Path) -> None:
    config = DetectorConfig(
        classes=("a", "b"), feature_dims={"rgb": 8}, width=16, head_config={"levels": 3, "window": 5, "resize": 32}
    )
    torch.manual_seed(0)
    model = Detector(config).eval()
    model.save(tmp_path / "detector.pt")
    assert not {"positions", "names_classes"} & set(json.loads(read_unsealed(tmp_path / "detector.pt")["config"]))
    again = Detector.load(tmp_path / "detector.pt")
    assert again.head.config.positions is None and again.head.names_classes
    cues, mask = {"rgb": torch.randn(1, 8, 32)}, torch.ones(1, 32, dtype=torch.bool)
    assert torch.equal(model(cues, mask)["logits"], again(cues, mask)["logits"])


def test_positions_are_no_weights_so_that_a_file_holds_the_same_with_them(tmp_path: Path) -> None:
    options = {"levels": 3, "window": 5}
    configs = [
        DetectorConfig(classes=("a",), feature_dims={"rgb": 8}, width=16, head_config={**options, **more})
        for more in ({}, {"positions": 16})
    ]
    without, placed = (set(Detector(config).state_dict()) for config in configs)
    assert without == placed
    Detector(configs[1]).save(tmp_path / "detector.pt")
    assert Detector.load(tmp_path / "detector.pt").head.config.positions == 16


def test_a_file_whose_head_names_no_classes_is_not_read_as_one_that_does(tmp_path: Path) -> None:
    config = DetectorConfig(
        classes=("a", "b"), feature_dims={"rgb": 8}, width=16, head_config={"levels": 3, "names_classes": False}
    )
    Detector(config).save(tmp_path / "detector.pt")
    saved = dict(read_unsealed(tmp_path / "detector.pt"))
    saved.pop("digest", None)
    write_sealed(
        tmp_path / "other.pt", {**saved, "config": dataclasses.replace(config, head_config={"levels": 3}).to_json()}
    )
    with pytest.raises(DetectorError, match="made by another version of flowless, or damaged"):
        Detector.load(tmp_path / "other.pt")


# ---- actions that have no class yet


def test_candidates_have_no_labels_and_an_action_of_two_classes_is_one() -> None:
    model = head(NAMELESS)
    predictions = empty_predictions(model, 16)
    assert predictions["logits"].shape[2] == 1 and not model.names_classes
    assigned = model.assign(predictions, [targets((2, 5, 2), (2, 5, 0))])
    assert assigned["classes"].shape[2] == 1 and assigned["classes"].max() == 1
    assert torch.equal(assigned["classes"][0, :, 0] > 0, assigned["positive"][0])
    predictions["logits"][0, 3] = 2.0
    predictions["offsets"][0, 3] = 1.0
    [found] = model.decode(predictions)
    assert found.labels is None and found.segments.tolist() == [[2.0, 4.0]]


def test_smoothed_labels_are_those_of_one_class() -> None:
    """0.1 / (1 + 1) off the action, 0.9 + that on it."""
    model = head(dataclasses.replace(NAMELESS, label_smoothing=0.1, focal_gamma=0.0, focal_alpha=0.5))
    predictions = empty_predictions(model, 16)
    predictions["logits"].zero_()
    [loss] = [model.loss(predictions, model.assign(predictions, [targets()]), 1.0)["class"].item()]
    expected = 0.5 * np.log(2) * predictions["logits"].numel()
    assert loss == pytest.approx(expected, rel=1e-5), "at probability ½ whatever the label"
    predictions["logits"] += np.log(3)  # probability ¾
    loss = model.loss(predictions, model.assign(predictions, [targets()]), 1.0)["class"].item()
    expected = 0.5 * (0.05 * np.log(4 / 3) + 0.95 * np.log(4)) * predictions["logits"].numel()
    assert loss == pytest.approx(expected, rel=1e-5)


# ---- the recipe


def test_the_recipe_of_activitynet_is_the_published_one() -> None:
    recipe = recipe_for("actionformer", "activitynet13")
    config = ActionFormerConfig(**{"width": recipe.model.width, **recipe.head})
    assert (config.resize, config.positions, config.names_classes, config.width) == (192, 192, False, 256)
    assert config.windows == (7, 7, 7, 7, 7, 13), "6 steps are left at the last level: all of them"
    assert (config.label_smoothing, config.offset_weight, config.normaliser, config.min_length) == (0.1, 2, 200, 0.001)
    optimiser = recipe.optimiser_of(ActionFormer)
    assert (optimiser.epochs, optimiser.warmup_epochs, optimiser.learning_rate) == (15, 5, 1e-3)
    assert recipe.sampling.batch_size == 16 and recipe.sampling.max_length == 192
    detector = Detector(
        DetectorConfig(classes=("a", "b"), feature_dims={"rgb": 8}, width=256, head_config=dict(recipe.head))
    )
    assert not detector.head.names_classes and detector.head.sample.num_steps(1000) == 192


def test_suppressing_named_candidates_does_what_published_suppression_does_before_they_are_named() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 80, 300)
    segments = np.stack([start, start + rng.uniform(2, 30, 300)], axis=1)
    scores, classes = rng.uniform(0.05, 1, 300), np.array([0.01, 0.8, 0.02, 0.6])
    published = suppress(segments, scores, np.zeros(300, np.int64), Suppression(sigma=0.75, max_per_video=100))
    first = named(Found(published.segments, published.scores, None), classes)
    later = named(Found(segments, scores, None), classes)
    settings = fused_later(sigma=0.75, max_per_video=100)
    assert later.labels is not None and first.labels is not None
    ours = suppress(later.segments, later.scores, later.labels, settings)
    assert settings.max_per_video == 200 and len(ours.scores) == 200
    for label in (1, 3):
        expected = first.segments[first.labels == label], first.scores[first.labels == label]
        kept = ours.segments[ours.labels == label], ours.scores[ours.labels == label]
        count = min(len(expected[1]), len(kept[1]))
        assert count > 80
        np.testing.assert_allclose(kept[0][:count], expected[0][:count])
        np.testing.assert_allclose(kept[1][:count], expected[1][:count], rtol=1e-4)
