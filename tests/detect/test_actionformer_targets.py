"""What the ActionFormer head learns from: targets, losses, distillation."""

import math

import numpy as np
import pytest
import torch
from small_heads import empty_predictions, head, targets

from detect.heads.actionformer.head import ActionFormer, ActionFormerConfig
from detect.heads.base import Targets

# ---- targets


def oracle(model: ActionFormer, steps: int, target: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Point by point and segment by segment, as the specification reads: classes (N, C), offsets (N, 2)."""
    at, strides, ranges = (values.tolist() for values in model.points(steps))
    classes, offsets = np.zeros((len(at), model.num_classes)), np.zeros((len(at), 2))
    for n, (t, stride, (low, high)) in enumerate(zip(at, strides, ranges, strict=True)):
        fitting = []
        for (a, b), label in zip(target.segments.tolist(), target.labels.tolist(), strict=True):
            middle = (a + b) / 2
            inside = max(a, middle - 1.5 * stride) < t < min(b, middle + 1.5 * stride)
            if inside and low <= max(t - a, b - t) <= high:
                fitting.append((b - a, a, b, label))
        if fitting:
            shortest = min(fit[0] for fit in fitting)
            _, a, b, _ = next(fit for fit in fitting if fit[0] == shortest)
            offsets[n] = (t - a) / stride, (b - t) / stride
            for length, _, _, label in fitting:
                if length <= shortest + 1e-3:
                    classes[n, label] = 1
    return classes, offsets


def random_targets(rng: np.random.Generator) -> Targets:
    """None to twelve segments, some in duplicate with another label, some beyond the ends; in eighths."""
    count = int(rng.integers(0, 12))
    start = np.round(rng.uniform(-20, 70, count) * 8) / 8
    length = np.round(rng.gamma(1.5, 8, count) * 8 + 1) / 8
    rows = [(s, s + n, int(rng.integers(3))) for s, n in zip(start, length, strict=True)]
    rows += [(*row[:2], int(rng.integers(3))) for row in rows if rng.random() < 0.3]
    return targets(*rows)


def test_targets_are_those_of_a_brute_force_search() -> None:
    model, rng = head(ActionFormerConfig(width=16, levels=5)), np.random.default_rng(0)
    positives = 0
    for _ in range(25):
        batch = [random_targets(rng) for _ in range(4)]  # 100 samples, four at a time
        predictions = {k: v.expand(4, *v.shape[1:]) for k, v in empty_predictions(model, 64).items()}
        assignment = model.assign(predictions, batch)
        for i, target in enumerate(batch):
            classes, offsets = oracle(model, 64, target)
            np.testing.assert_array_equal(assignment["classes"][i].numpy(), classes)
            np.testing.assert_array_equal(assignment["positive"][i].numpy(), classes.sum(1) > 0)
            np.testing.assert_allclose(assignment["offsets"][i].numpy(), offsets, atol=1e-6)
            positives += int(classes.any(1).sum())
        assert model.num_positives(assignment) == assignment["positive"].sum()
    assert positives > 1000


def test_two_labels_of_one_segment_are_both_learnt() -> None:
    model = head()
    assignment = model.assign(empty_predictions(model, 32), [targets((10, 13, 0), (10, 13, 2))])
    assert assignment["classes"][0, 11].tolist() == [1, 0, 1]
    assert assignment["offsets"][0, 11].tolist() == [1, 2]


def test_a_short_action_inside_a_long_one_wins() -> None:
    model = head(ActionFormerConfig(width=16, levels=1))
    assignment = model.assign(empty_predictions(model, 32), [targets((0, 24, 0), (10, 14, 1))])
    assert assignment["classes"][0, 12].tolist() == [0, 1, 0]


def test_steps_under_the_mask_are_never_positive() -> None:
    model = head()
    predictions = empty_predictions(model, 32)
    predictions["valid"][:, 11] = False
    assert not model.assign(predictions, [targets((10, 13, 0))])["positive"][0, 11]


# ---- losses


def test_losses_of_one_point_are_what_paper_and_pencil_give() -> None:
    """One positive with logit 0 on its class: .25 · .5² · ln 2. Offsets half of the target's: IoU 1/2, same centre."""
    model = head(num_classes=1)
    predictions = empty_predictions(model, 8)
    assignment = model.assign(predictions, [targets((1, 3, 0))])
    assert assignment["positive"][0].nonzero()[:, 0].tolist() == [2]
    predictions["logits"][0, 2] = 0
    predictions["offsets"][0, 2] = 0.5
    losses = model.loss(predictions, assignment, normaliser=2.0)
    assert losses["class"].item() == pytest.approx(0.25 * 0.25 * math.log(2) / 2, abs=1e-6)
    assert losses["offset"].item() == pytest.approx(0.5 / 2, abs=1e-6)


def test_a_video_of_background_still_teaches_where_nothing_is() -> None:
    model = head()
    features, mask = torch.randn(1, 16, 32), torch.ones(1, 32, dtype=torch.bool)
    predictions = model(features, mask)
    losses = model.loss(predictions, model.assign(predictions, [targets()]), normaliser=1.0)
    assert losses["class"] > 0 and losses["offset"] == 0
    sum(losses.values()).backward()
    assert model.classifier.output.weight.grad is not None


def test_losses_ignore_what_padded_points_say() -> None:
    model = head()
    predictions = empty_predictions(model, 32)
    assignment = model.assign(predictions, [targets((10, 13, 0))])
    before = model.loss(predictions, assignment, 1.0)
    predictions["valid"][:, 0] = False
    predictions["logits"][:, 0] = 9.0
    after = model.loss(predictions, assignment, 1.0)
    assert after["class"].item() == pytest.approx(before["class"].item(), abs=1e-5)


def test_label_smoothing_lowers_positives_and_raises_negatives() -> None:
    smooth = head(ActionFormerConfig(width=16, levels=4, window=5, label_smoothing=0.1))
    predictions = {**empty_predictions(smooth, 8), "logits": torch.zeros(1, 15, 3)}
    assignment = {
        "classes": torch.zeros(1, 15, 3),
        "offsets": torch.zeros(1, 15, 2),
        "positive": torch.zeros(1, 15).bool(),
    }
    target = 0.1 / 4
    expected = 45 * math.log(2) * 0.25 * (0.25 * target + 0.75 * (1 - target))
    assert smooth.loss(predictions, assignment, 1.0)["class"].item() == pytest.approx(expected, rel=1e-5)


# ---- distillation


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    model = head()
    predictions = model(torch.randn(2, 16, 40), torch.arange(40)[None] < torch.tensor([[40], [25]]))
    predictions["offsets"] = predictions["offsets"] + 0.1  # two empty segments have no IoU
    losses = model.distill(predictions, predictions)
    assert losses["class"] == 0 and losses["offset"].abs() < 1e-6


def test_distillation_listens_to_a_sure_teacher_only() -> None:
    """Offsets half as long as the teacher's: 1 - IoU = 1/2 wherever it is sure, next to nothing elsewhere."""
    model = head()
    teacher, student = empty_predictions(model, 8), empty_predictions(model, 8)
    teacher["offsets"] += 2.0
    student["offsets"] += 1.0
    assert model.distill(student, teacher)["offset"] < 1e-6
    teacher["logits"][0, 3, 1] = 20.0
    losses = model.distill(student, teacher)
    assert losses["offset"].item() == pytest.approx(0.5, abs=1e-4)
    assert losses["class"].item() == pytest.approx(20.0, abs=0.01)  # |0 - 1| · KL = -log σ(-20)


def test_distillation_skips_padded_points_and_reaches_only_the_student() -> None:
    model = head()
    teacher, student = empty_predictions(model, 8), empty_predictions(model, 8)
    teacher["logits"][0, 0] = 20.0
    teacher["valid"][0, 0] = False
    teacher["logits"].requires_grad_()
    student["logits"].requires_grad_()
    losses = model.distill(student, teacher)
    assert losses["class"].item() == pytest.approx(0, abs=1e-6)
    losses["class"].backward()
    assert teacher["logits"].grad is None and student["logits"].grad is not None
