"""Distances between features: values worked out on paper."""

import math

import pytest
import torch

from train.methods.distill import atomic_contrast, boundary_saliency, changes, contextual_relation, correlations

FULL = torch.ones(1, 4, dtype=torch.bool)


def test_steps_told_apart_with_certainty_cost_nothing_and_steps_all_alike_cost_log_n() -> None:
    axes = torch.eye(4)[None]  # (1, D, T): every step has a direction of its own
    assert atomic_contrast(axes, axes, FULL, 0.01).item() == pytest.approx(0.0, abs=1e-6)
    assert atomic_contrast(torch.ones(1, 4, 4), axes, FULL, 0.1).item() == pytest.approx(math.log(4))


def test_a_contrast_of_two_steps_is_the_cross_entropy_of_their_cosines() -> None:
    student = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    teacher = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    cosine = math.sqrt(0.5)  # of both steps of the student to the teacher's second
    first = -math.log(math.exp(1) / (math.exp(1) + math.exp(cosine)))
    second = -math.log(math.exp(cosine) / (math.exp(0) + math.exp(cosine)))
    loss = atomic_contrast(student, teacher, torch.ones(1, 2, dtype=torch.bool), 1.0)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_correlations_are_those_of_the_textbook_and_do_not_depend_on_scale() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 20)
    mask = torch.ones(1, 20, dtype=torch.bool)
    assert torch.allclose(correlations(x, mask)[0], torch.corrcoef(x[0]), atol=1e-5)
    assert contextual_relation(x, 7 * x + 2, mask).item() == pytest.approx(0.0, abs=1e-10)
    assert contextual_relation(x, x * torch.tensor([1.0, 1.0, -1.0])[:, None], mask).item() > 0


def test_change_is_shared_out_among_the_steps_where_it_happens() -> None:
    x = torch.tensor([[[0.0, 0.0, 3.0, 4.0]]])
    assert changes(x, FULL).tolist() == [[0.0, 0.75, 0.25]]


def test_a_boundary_at_another_step_costs_all_there_is_and_the_same_boundary_nothing() -> None:
    early, late = torch.tensor([[[0.0, 1.0, 1.0, 1.0]]]), torch.tensor([[[0.0, 0.0, 0.0, 5.0]]])
    assert boundary_saliency(early, late, FULL).item() == pytest.approx(1.0)
    assert boundary_saliency(late, 3 * late, FULL).item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(
    "loss", [lambda s, t, m: atomic_contrast(s, t, m, 0.1), contextual_relation, boundary_saliency]
)
def test_padding_counts_for_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 1, 5, 8).unbind(0)
    mask = torch.arange(8)[None] < 6
    here = loss(student[:, :, :6], teacher[:, :, :6], mask[:, :6])
    garbage = [torch.where(mask[:, None], x, 1e4) for x in (student, teacher)]
    assert loss(*garbage, mask).item() == pytest.approx(here.item(), rel=1e-5)
