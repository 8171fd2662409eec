"""Losses of detection heads: values that can be worked out on paper."""

import math

import pytest
import torch

from detect.losses import diou_1d, iou_1d, masked_mse, sigmoid_focal, soft_cross_entropy


def test_focal_loss_of_an_undecided_point() -> None:
    """Logit 0: ln 2 · (1/2)² · 1/4 for a positive, three times that for a negative."""
    loss = sigmoid_focal(torch.zeros(2), torch.tensor([1.0, 0.0]))
    assert loss.tolist() == pytest.approx([math.log(2) / 16, 3 * math.log(2) / 16])


def test_focal_loss_forgives_what_is_already_right() -> None:
    """Probability .9 on a positive: -ln .9 · .01 · .25."""
    loss = sigmoid_focal(torch.tensor([math.log(9)]), torch.ones(1))
    assert loss.item() == pytest.approx(-math.log(0.9) * 0.01 * 0.25, rel=1e-5)


def test_focal_loss_survives_extreme_logits() -> None:
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    sigmoid_focal(logits, torch.tensor([1.0, 0.0])).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_overlap_of_segments_seen_from_one_point() -> None:
    """[-1, 1] and [-1, 3] share 2 of 4; the same twice is 1; nothing and something is 0."""
    given = torch.tensor([[1.0, 1.0], [2.0, 3.0], [0.0, 0.0]])
    target = torch.tensor([[1.0, 3.0], [2.0, 3.0], [1.0, 1.0]])
    assert iou_1d(given, target).tolist() == [0.5, 1.0, 0.0]


def test_distance_iou_adds_the_square_of_how_far_centres_are_apart() -> None:
    """[-1, 1] against [-1, 3]: 1 - 1/2 + (1 / 4)²."""
    assert diou_1d(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 3.0])).item() == pytest.approx(0.5 + 1 / 16)


def test_an_empty_prediction_still_has_a_gradient() -> None:
    offsets = torch.zeros(1, 2, requires_grad=True)
    diou_1d(offsets, torch.tensor([[1.0, 3.0]])).sum().backward()
    assert offsets.grad is not None and (offsets.grad < 0).any() and torch.isfinite(offsets.grad).all()


def test_soft_cross_entropy_is_zero_in_agreement_and_grows_with_disagreement() -> None:
    teacher = torch.tensor([-3.0, 0.0, 2.0])
    assert soft_cross_entropy(teacher, teacher).abs().max() < 1e-7
    losses = soft_cross_entropy(torch.tensor([0.0, 1.0, 3.0]), torch.zeros(3))
    assert losses[0] == 0 and losses[1] < losses[2]


def test_soft_cross_entropy_by_hand() -> None:
    """q = 3/4, p = 1/2: |q - p| = 1/4 times KL = 1/2 ln(2/3) + 1/2 ln 2."""
    loss = soft_cross_entropy(torch.tensor(math.log(3)), torch.tensor(0.0))
    assert loss.item() == pytest.approx(0.25 * 0.5 * (math.log(2 / 3) + math.log(2)), rel=1e-5)


def test_masked_mse_counts_real_steps_only() -> None:
    values, mask = torch.tensor([[[1.0, 2.0, 99.0]]]), torch.tensor([[True, True, False]])
    assert masked_mse(values, torch.zeros(1, 1, 3), mask).item() == pytest.approx(2.5)
    assert masked_mse(values, torch.zeros(1, 1, 3), torch.zeros(1, 3, dtype=torch.bool)).item() == 0
