"""The TadTR head: sampling, regions and matching against brute force; padding, background, distillation, detections."""

import itertools
import math

import numpy as np
import pytest
import torch
from small_heads import targets

from detect.heads.base import Predictions, Targets
from detect.heads.tadtr.attention import DeformableAttention, read_at
from detect.heads.tadtr.head import TadTR, TadTRConfig
from detect.heads.tadtr.matching import iou, match, to_centre, to_ends
from detect.heads.tadtr.regions import region_weights
from detect.heads.tadtr.transformer import MaskedGroupNorm, logit

SMALL = TadTRConfig(width=16, heads=2, encoder=2, decoder=2, mlp_ratio=2, queries=5, length=24, bins=4)
NOTHING = Targets(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


def head(config: TadTRConfig = SMALL, num_classes: int = 3) -> TadTR:
    """In evaluation mode, every parameter random, so that a wrong wire shows."""
    torch.manual_seed(0)
    model = TadTR(8, num_classes, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def said(model: TadTR, lengths: tuple[int, ...] = (24, 13), fill: float = 0.0, padded: int = 24) -> Predictions:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(padded) < torch.tensor(lengths)[:, None]
    features = torch.full((len(lengths), 8, padded), fill)
    for row, length in zip(features, lengths, strict=True):
        row[:, :length] = torch.randn(8, length, generator=generator)
    return model(features, mask)


# ---- reading at places


def one_by_one(values: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    batch, steps, heads, width = values.shape
    out = np.zeros((batch, places.shape[1], heads, width))
    for b, q, h, p in np.ndindex(*places.shape):
        for step in range(steps):
            hat = max(0.0, 1.0 - abs(places[b, q, h, p] - step))
            out[b, q, h] += weights[b, q, h, p] * hat * values[b, step, h]
    return out.reshape(batch, places.shape[1], -1)


def test_a_sequence_is_read_between_its_steps_and_is_zero_beyond_its_ends() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(2, 6, 3, 4)), rng.normal(size=(2, 5, 3, 2))
    places = rng.uniform(-3, 8, size=(2, 5, 3, 2))
    places[0, 0] = [[0.0, 5.0], [-1.0, 6.0], [-0.25, 5.75]]  # at the ends, and a part of a step beyond
    found = read_at(*(torch.from_numpy(x) for x in (values, places, weights)))
    np.testing.assert_allclose(found.numpy(), one_by_one(values, places, weights), atol=1e-12)


def test_the_gradient_of_reading_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    values, weights = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((1, 4, 2, 3), (1, 3, 2, 2)))
    places = (torch.rand(1, 3, 2, 2, dtype=torch.float64) * 5 - 1).requires_grad_()
    assert torch.autograd.gradcheck(read_at, (values.requires_grad_(), places, weights))


def test_heads_look_after_at_before_and_at_their_reference_to_begin_with() -> None:
    attention = DeformableAttention(16, heads=4, points=3)
    assert torch.allclose(
        attention.offsets.bias.view(4, 3), torch.tensor([[1.0, 2, 3], [-1, -2, -3], [1, 2, 3], [-1, -2, -3]]), atol=1e-6
    )
    eight = DeformableAttention(16, heads=8, points=1).offsets.bias
    assert torch.allclose(eight, torch.tensor([1.0, 0, -1, 0, 1, 0, -1, 0]), atol=1e-6)


# ---- regions


def test_a_region_becomes_bins_as_the_published_operator_has_it() -> None:
    x = torch.arange(10.0)[None, :, None]
    whole = region_weights(torch.tensor([[[-0.5, 9.5]]]), torch.tensor([10]), 10, 10)
    assert torch.allclose((whole[0, 0] @ x[0])[:, 0], torch.arange(10.0), atol=1e-5)
    empty = region_weights(torch.tensor([[[2.0, 2.0]]]), torch.tensor([10]), 4, 10)
    assert (empty[0, 0] @ x[0])[:, 0].tolist() == pytest.approx([2.125, 2.375, 2.625, 2.875])


def test_regions_are_what_their_points_read_one_by_one() -> None:
    rng = np.random.default_rng(0)
    steps, bins, length = np.array([20, 7]), 3, 20
    ends = np.sort(rng.uniform(-1.5, 1.0, (2, 30, 2)) * 1.0 + rng.uniform(0, 1, (2, 30, 1)) * steps[:, None, None], 2)
    ends[0, :3] = [[0, 20], [19.5, 20], [-1.5, 18.0]]
    found = region_weights(torch.from_numpy(ends), torch.from_numpy(steps), bins, length).numpy()
    for b, q in np.ndindex(2, 30):
        size = max(ends[b, q, 1] - ends[b, q, 0], 1.0) / bins
        points = math.ceil(size)
        for k in range(bins):
            expected = np.zeros(length)
            for p in range(points):
                at = ends[b, q, 0] + (k + (p + 0.5) / points) * size
                if -1 <= at <= steps[b]:
                    at = min(max(at, 0.0), steps[b] - 1.0)
                    for step in range(length):
                        expected[step] += max(0.0, 1.0 - abs(at - step)) / points
            np.testing.assert_allclose(found[b, q, k], expected, atol=1e-5)


# ---- matching


def test_a_matching_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    cost = torch.from_numpy(rng.normal(size=(20, 5, 4)))
    counts = rng.integers(0, 5, 20).tolist()
    pairs = match(cost, counts)
    for row, count in enumerate(counts):
        chosen = pairs.row == row
        assert sorted(pairs.second[chosen].tolist()) == list(range(count))
        paid = cost[row, pairs.first[chosen], pairs.second[chosen]].sum().item()
        options = (cost[row, list(o), range(count)].sum().item() for o in itertools.permutations(range(5), count))
        assert paid == pytest.approx(min(options))


def test_more_actions_than_queries_and_costs_that_are_no_numbers_are_matched_as_well_as_can_be() -> None:
    assert len(match(torch.randn(1, 2, 5), [5]).first) == 2
    assert len(match(torch.full((1, 3, 2), math.nan), [2]).first) == 2


def test_segments_turn_into_centre_and_width_and_back() -> None:
    ends = torch.tensor([[2.0, 5.0], [-1.0, 1.0]])
    assert to_centre(ends).tolist() == [[3.5, 3.0], [0.0, 2.0]]
    assert torch.equal(to_ends(to_centre(ends)), ends)
    assert iou(to_centre(ends), to_centre(torch.tensor([[3.0, 7.0], [1.0, 2.0]]))).tolist() == pytest.approx([0.4, 0.0])


def test_an_action_of_two_labels_is_said_by_two_queries() -> None:
    model = head()
    predictions = said(model)
    assignment = model.assign(predictions, [targets((3.0, 9.0, 0), (3.0, 9.0, 2)), NOTHING])
    positive = assignment["positive"]
    assert positive.sum(2).tolist() == [[2, 2], [0, 0]]
    assert assignment["classes"].sum((0, 1, 2)).tolist() == [2, 0, 2]
    assert torch.allclose(assignment["segments"][positive], torch.tensor([6.0 / 24, 6.0 / 24]))


# ---- predictions


@pytest.mark.parametrize("length", [1, 2, 13, 24])
def test_what_padding_holds_and_how_much_there_is_of_it_changes_nothing(length: int) -> None:
    model = head()
    alone = said(model, (length,), padded=length)
    for fill, padded in ((0.0, 24), (1e3, 24), (-5.0, 40)):
        for name, value in said(model, (length,), fill, padded).items():
            assert torch.allclose(value, alone[name], atol=1e-5), name


def test_a_sample_of_any_length_passes_gradients_that_are_numbers_and_none_from_under_the_mask() -> None:
    model = head().train()
    mask = torch.arange(24) < torch.tensor([[24], [1], [9]])
    features = torch.randn(3, 8, 24, requires_grad=True)
    predictions = model(features, mask)
    assignment = model.assign(predictions, [targets((3.0, 9.0, 0)), targets((-0.5, 0.5, 1)), NOTHING])
    sum(model.loss(predictions, assignment, 2.0).values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert features.grad is not None and torch.isfinite(features.grad).all()
    assert (features.grad.abs().sum(1)[~mask] == 0).all() and (features.grad.abs().sum(1)[0] > 0).all()


def test_the_norm_before_the_encoder_is_over_real_steps() -> None:
    torch.manual_seed(0)
    norm, x = MaskedGroupNorm(4, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True] * 5 + [False] * 3])
    expected = torch.nn.GroupNorm(4, 8)(x.transpose(1, 2)).transpose(1, 2)
    found = norm(torch.cat([x, torch.full((1, 3, 8), 9.0)], 1), mask)
    assert torch.allclose(found[:, :5], expected, atol=1e-5) and (found[:, 5:] == 0).all()


def test_before_training_classes_are_unlikely_and_segments_narrow() -> None:
    torch.manual_seed(0)
    model = TadTR(8, 3, SMALL).eval()
    predictions = said(model)
    assert predictions["logits"].sigmoid().mean() < 0.05
    width = predictions["segments"][..., 1]
    assert torch.allclose(width, torch.tensor(-2.0).sigmoid(), atol=1e-4), "all layers leave it where the first put it"
    assert logit(torch.tensor([0.5, 0.0, 1.0])).tolist() == pytest.approx(
        [0, math.log(1e-5), -math.log(1e-5)], rel=1e-3
    )


# ---- losses


def test_a_sample_of_background_is_told_that_its_queries_overlap_nothing() -> None:
    model = head()
    predictions = said(model)
    assignment = model.assign(predictions, [NOTHING, NOTHING])
    losses = model.loss(predictions, assignment, 1.0)
    assert model.num_positives(assignment) == 0 and losses["offset"] == losses["iou"] == 0 and losses["class"] > 0
    assert losses["actionness"].item() == pytest.approx(4.0 * predictions["actionness"].mean().item(), rel=1e-5)


def test_queries_that_say_what_is_true_lose_nothing() -> None:
    model = head()
    predictions = said(model)
    truth = [targets((3.0, 9.0, 0), (12.0, 20.0, 2)), targets((1.0, 5.0, 1))]
    assignment = model.assign(predictions, truth)
    right = {
        **predictions,
        "logits": assignment["classes"] * 40 - 20,
        "segments": torch.where(assignment["positive"][..., None], assignment["segments"], predictions["segments"]),
    }
    again = model.assign(right, truth)
    losses = model.loss({**right, "actionness": again["iou"]}, again, 3.0)
    assert sum(losses.values()).item() == pytest.approx(0.0, abs=1e-5)  # type: ignore[union-attr]


# ---- distillation


def test_a_student_of_the_same_queries_in_another_order_has_nothing_to_learn() -> None:
    model = head()
    with torch.no_grad():
        model.classifiers[-1].bias.fill_(2.0)  # a teacher that is sure
        teacher = said(model)
    order = torch.tensor([3, 0, 4, 2, 1])
    student = {name: value[:, :, order] if value.ndim == 4 else value for name, value in teacher.items()}
    student["actionness"] = teacher["actionness"][:, order]
    for value in model.distill(student, teacher).values():
        assert value.item() == pytest.approx(0.0, abs=1e-4)
    differing = {**student, "segments": student["segments"].flip(1)}
    assert model.distill(differing, teacher)["offset"] > 0.01


def test_where_the_teacher_is_not_sure_segments_are_not_mimicked_and_it_gets_no_gradient() -> None:
    model, other = head(), head()
    with torch.no_grad():
        for classifier in other.classifiers:
            classifier.bias.fill_(-20.0)
    teacher = {name: value.requires_grad_(name != "steps") for name, value in said(other).items()}
    student = said(model)
    losses = model.distill(student, teacher)
    assert losses["offset"] < 1e-3 and losses["iou"] < 1e-3 and losses["actionness"] < 1e-3 and losses["class"] > 0.1
    grads = torch.autograd.grad(sum(losses.values()), list(teacher.values())[:3], allow_unused=True)  # type: ignore[arg-type]
    assert all(g is None for g in grads)


# ---- detections


def test_a_query_that_is_sure_becomes_one_segment_in_steps() -> None:
    model = head(TadTRConfig(width=16, heads=2, encoder=1, decoder=2, queries=5, length=24, max_candidates=2))
    predictions = said(model)
    predictions = {name: value.detach().clone() for name, value in predictions.items()}
    predictions["logits"].fill_(-20.0)
    predictions["logits"][0, -1, 3, 1] = math.log(3)  # probability 3/4
    predictions["actionness"].fill_(0.8)
    predictions["segments"][0, -1, 3] = torch.tensor([0.5, 0.25])  # of 24 steps: 9 to 15
    first, second = model.decode(predictions)
    assert len(first.scores) == len(second.scores) == 2, "the best"
    assert first.segments[0].tolist() == [9.0, 15.0] and first.scores[0].item() == pytest.approx(0.6)
    assert first.labels is not None and first.labels[0] == 1


# ---- configuration


def test_impossible_settings_are_refused_at_birth() -> None:
    for settings, message in (
        ({"width": 12, "heads": 8}, "multiple of heads"),
        ({"queries": 0}, "queries must be at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"length": 0}, "length must be a number of steps"),
    ):
        with pytest.raises(ValueError, match=message):
            TadTRConfig(**settings)  # type: ignore[arg-type]
