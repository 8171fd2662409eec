"""Every setting of every head and of every method reaches what it names: another value, another result."""

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_methods import OPTIONS, STEPS, WIDTH, batch_of, with_joint_teacher

from detect.heads import HEADS
from detect.heads.base import Rearranging, Targets
from detect.model.detector import Detector, DetectorConfig
from detect.model.fusion import FusionConfig
from train.data.dataset import Batch, rearranged_view
from train.methods import METHODS

# Another value for every field of a head's Config. A new field must be entered here, or this test says so.
OF_HEADS: dict[str, dict[str, Any]] = {
    "actionformer": {
        "width": 32, "heads": 4, "window": [3, 5, 7], "levels": 2, "stem": 1, "mlp_ratio": 2, "drop_path": 0.5,
        "dropout": 0.5, "tower": 1, "prior": 0.3, "first_range": 2.0, "radius": 0.5, "label_smoothing": 0.1,
        "offset_weight": 2.0, "focal_alpha": 0.5, "focal_gamma": 1.0, "min_score": 0.6, "max_candidates": 3,
        "min_length": 9.0, "resize": 40, "normaliser": 3.0, "normaliser_momentum": 0.5,
        "positions": 40, "names_classes": False,
    },
    "afsd": {
        "width": 32, "length": 64, "every": 3, "overlap": 0.25, "training_overlap": 0.25,
        "resize": 40, "levels": 2, "frames": 2, "groups": 4,
        "tower": 1, "unit": 0.25, "unit_doubles": False, "ranges": [[0, 4], [4, 8], [8, 999]], "min_iou": 0.05,
        "refine_best": True, "smooth": True, "offset_weight": 1.0, "map_weight": 1.0, "consistency_weight": 0.1,
        "focal_alpha": 0.5, "focal_gamma": 1.0, "min_score": 0.6,
    },
    "gtad": {
        "width": 32, "length": 64, "durations": 8, "resize": 20, "training_overlap": 0.25,
        "groups": 2, "neighbours": 2, "bins": 8, "hidden": 8,
        "map_width": 16, "kernel": 1, "positive_overlap": 0.5, "class_weight": 2.0, "overlap_weight": 1.0,
        "boundary_weight": 2.0, "peaks": False, "min_score": 0.6, "max_candidates": 3,
    },
    "tadtr": {
        "width": 32, "heads": 4, "points": 2, "encoder": 2, "decoder": 1, "mlp_ratio": 2, "dropout": 0.5, "queries": 4,
        "length": 64, "overlap": 0.5, "training_overlap": 0.5, "resize": 40, "bins": 8, "enlarge": 3.0, "prior": 0.3,
        "class_cost": 60.0, "offset_cost": 500.0, "iou_cost": 200.0, "class_weight": 1.0, "offset_weight": 1.0,
        "iou_weight": 1.0, "actionness_weight": 1.0, "focal_alpha": 0.5, "focal_gamma": 1.0, "max_candidates": 3,
    },
    "tags": {
        "width": 32, "length": 64, "resize": 40, "overlap": 0.25, "training_overlap": 0.25, "heads": 4,
        "head_width": 16, "layers": 2,
        "positions": False, "relative": False, "tower": [16, 16], "dropout": 0.5, "attention_dropout": 0.5, "shrink": 0,
        "class_weight": 0.3, "mask_weight": 0.2, "hard_classes": 1.0, "min_score": 0.6, "max_candidates": 3,
        "min_run": 4, "mask_thresholds": [0.45], "class_thresholds": [0.4],
    },
}  # fmt: skip
OF_METHODS: dict[str, dict[str, Any]] = {
    "supervised": {"branch_weight": 3.0},
    "direct": {"feature_weight": 3.0, "prediction_weight": 3.0, "joint_weight": 3.0},
    "augmented_rgb": {
        "atomic_weight": 3.0, "relation_weight": 3.0, "boundary_weight": 3.0, "temperature": 1.0, "joint_weight": 3.0,
    },
    "decomposed": {
        "feature_weight": 3.0, "prediction_weight": 3.0, "appearance_weight": 3.0, "shared_head": False,
        "motion_ground_truth": True, "joint_weight": 3.0, "detach": True, "judged": 0.5,
    },
}  # fmt: skip
BESIDE: dict[tuple[str, str], dict[str, Any]] = {("afsd", "refine_best"): {"min_iou": 0.95}}  # no proposal is so good
EVERY_HEADS = [(head, name) for head, options in OF_HEADS.items() for name in options]
EVERY_METHODS = [(method, name) for method, options in OF_METHODS.items() for name in options]


def detector_with(head: str, branches: tuple[str, ...], options: dict[str, Any]) -> Detector:
    torch.manual_seed(0)
    return Detector(
        DetectorConfig(
            classes=("left", "right"),
            feature_dims={"rgb": 6, "rgb_motion": 4, "flow": 5},
            branches=branches,
            width=WIDTH,
            fusion=FusionConfig(),
            head=head,
            head_config={**OPTIONS[head], **options},
            normalise=False,
        )
    )


def two_actions(head: Any) -> Batch:
    """Overlapping actions of three lengths; for a head that asks for it, the first row in another order as well."""
    batch = batch_of()
    several = Targets(torch.tensor([[2.0, 9.0], [4.0, 12.0], [14.0, 30.0]]), torch.tensor([0, 1, 1]))
    batch = replace(batch, targets=[several, batch.targets[1]], teachers={})
    if isinstance(head, Rearranging) and head.rearranges:
        sample = head.rearrange(several, STEPS, np.random.default_rng(0))
        batch = replace(batch, rearranged=rearranged_view([sample, None], STEPS))
    return batch


def results(head: str, options: dict[str, Any]) -> list[Any]:
    """What a head of these options wants, is, learns from and finds; of samples of another length, the first alone."""
    detector = detector_with(head, ("rgb",), options)
    rule = detector.head.sample
    normaliser = detector.head.new_normaliser()
    found = [rule, [normaliser.update(n) for n in (2, 5)], [tuple(p.shape) for p in detector.parameters()]]
    if rule != detector_with(head, ("rgb",), {}).head.sample:
        return found  # it wants samples of another length
    batch = two_actions(detector.head)
    torch.manual_seed(1)
    method = METHODS["supervised"](detector, METHODS["supervised"].Options()).train()
    found += [value.item() for value in method(batch).values()]
    detector.eval()
    with torch.no_grad():
        said = detector(batch.cues, batch.mask)
        surer = {name: 8 * value if value.is_floating_point() else value for name, value in said.items()}
        for one in [*detector.head.decode(said), *detector.head.decode(surer)]:  # as a trained head
            found += [one.segments.tolist(), one.scores.tolist()]
    return found


def test_every_setting_of_every_head_and_method_is_accounted_for() -> None:
    assert {name: set(options) for name, options in OF_HEADS.items()} == {
        name: {field.name for field in dataclasses.fields(kind.Config)} for name, kind in HEADS.items()
    }
    assert {name: set(options) for name, options in OF_METHODS.items()} == {
        name: {field.name for field in dataclasses.fields(kind.Options)} for name, kind in METHODS.items()
    }


@pytest.mark.parametrize(("head", "name"), EVERY_HEADS)
def test_every_setting_of_a_head_changes_what_it_wants_is_learns_or_finds(head: str, name: str) -> None:
    beside = BESIDE.get((head, name), {})
    usual = results(head, beside)
    assert results(head, {**beside, name: OF_HEADS[head][name]}) != usual
    assert results(head, beside) == usual, "and nothing but the setting does"


def gradients(method: str, options: dict[str, Any]) -> list[Any]:
    torch.manual_seed(0)
    kind = METHODS[method]
    branches = ("rgb", "rgb_motion") if method == "supervised" else kind.branches(("rgb",))
    student = detector_with("actionformer", branches, {})
    made = kind(student, kind.Options(**options)).train()
    losses = made(with_joint_teacher(batch_of()))
    torch.stack(list(losses.values())).sum().backward()
    return [list(losses), *(None if p.grad is None else p.grad.norm().item() for p in made.parameters())]


@pytest.mark.parametrize(("method", "name"), EVERY_METHODS)
def test_every_setting_of_a_method_changes_what_is_learnt(method: str, name: str) -> None:
    assert gradients(method, {name: OF_METHODS[method][name]}) != gradients(method, {})
    assert gradients(method, {}) == gradients(method, {}), "and nothing but the setting does"
