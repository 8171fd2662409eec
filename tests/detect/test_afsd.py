"""AFSD from predictions to detections: padding, levels, losses, the teacher's proposals, decoding."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_heads import targets
from torch import Tensor, nn

from detect.heads.afsd import losses
from detect.heads.afsd.config import AFSDConfig
from detect.heads.afsd.head import AFSD
from detect.heads.afsd.layers import Layer, axis_of
from detect.heads.base import Predictions, Targets
from detect.inference import detect
from detect.model.detector import Detector, DetectorConfig
from detect.windows import SampleRule
from features.storage.grid import ClipGrid
from train.settings import from_dict

SMALL = AFSDConfig(width=16, length=32, levels=4, groups=4, unit=0.5, unit_doubles=True)
CLASSES = 3
OF_MAPS = ("boundaries", "step_boundaries")


def head(config: AFSDConfig = SMALL, seed: int = 0) -> AFSD:
    """A head in evaluation mode whose every parameter matters."""
    torch.manual_seed(seed)
    model = AFSD(8, CLASSES, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif name.startswith(("distances", "classifier", "refined", "quality")):
                parameter.normal_(std=0.3)
    return model


def sample(lengths: tuple[int, ...], padded: int = 32, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(padded) < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), 8, padded, generator=generator), mask


# ---- predictions


def test_the_published_size_is_that_of_the_published_code() -> None:
    for channels, expected in ((2048, 14_239_797), (1024, 13_715_509)):
        with torch.device("meta"):
            model = AFSD(channels, 20, AFSDConfig())
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_normalisation_of_a_whole_level_is_groupnorm() -> None:
    torch.manual_seed(0)
    layer = Layer(6, 8, 3, groups=2)
    mask = torch.ones(2, 12, dtype=torch.bool)
    axis = axis_of(mask, 3, torch.float32)
    x = torch.randn(2, len(axis.level), 6) * axis.keep
    y = layer(x, axis, axis.keep)
    for level, steps in enumerate((12, 6, 3)):
        [here] = [part for part, number in zip(x.split([13, 7, 4], dim=1), range(3), strict=True) if number == level]
        convolved = layer.convolution(here[:, :steps].transpose(1, 2))
        expected = nn.functional.group_norm(convolved, 2, layer.norm.weight, layer.norm.bias).relu()
        assert torch.allclose(y[:, axis.level == level][:, :steps].transpose(1, 2), expected, atol=1e-5)


@pytest.mark.parametrize("lengths", [(32, 32), (32, 21), (9, 1), (8, 3)])
@pytest.mark.parametrize("beyond", [0.0, 1e4])
def test_neither_padding_nor_what_lies_under_the_mask_changes_what_is_real(
    lengths: tuple[int, int], beyond: float
) -> None:
    model, (features, mask) = head(), sample(lengths)
    shown = features.masked_fill(~mask[:, None], beyond)
    with torch.no_grad():
        both = model(shown, mask)
        for row, length in enumerate(lengths):
            shortest = -(-length // 8) * 8
            alone = model(features[row : row + 1, :, :shortest] * mask[row, :shortest], mask[row : row + 1, :shortest])
            for name in ("logits", "distances", "refined_logits", "refined_offsets", "quality"):
                here, there = both[name][row, both["valid"][row]], alone[name][0, alone["valid"][0]]
                assert torch.allclose(here, there, atol=1e-4), name
            for name, steps in zip(OF_MAPS, (length * SMALL.frames, length), strict=True):
                assert torch.allclose(both[name][row, :steps], alone[name][0, :steps], atol=1e-5), name


def test_a_batch_is_its_samples_one_by_one() -> None:
    model, (features, mask) = head(), sample((32, 20, 32))
    with torch.no_grad():
        together = model(features, mask)
        for row in range(3):
            alone = model(features[row : row + 1], mask[row : row + 1])
            valid = alone["valid"][0]
            assert torch.allclose(together["refined_logits"][row, valid], alone["refined_logits"][0, valid], atol=1e-5)


def test_a_proposal_may_be_of_any_length_and_stays_finite() -> None:
    model, (features, mask) = head(), sample((32, 1))
    nn.init.constant_(model.distances.convolution.bias, 1000.0)  # type: ignore[arg-type]
    predictions = model(features, mask)
    assert all(torch.isfinite(value).all() for name, value in predictions.items() if name != "valid")
    assigned = model.assign(predictions, [targets((3.0, 9.0, 0)), targets()])
    values = model.loss(predictions, assigned, 1.0)
    assert all(torch.isfinite(value) for value in values.values())


# ---- losses


def judged(model: AFSD, known: Targets, features: Tensor, mask: Tensor) -> tuple[Predictions, dict[str, Tensor]]:
    predictions = model(features, mask)
    assignment = model.assign(predictions, [known])
    return predictions, model.loss(predictions, assignment, float(max(model.num_positives(assignment), 1)))


def test_the_quality_moves_no_segment() -> None:
    """The published code lets gradients of the quality's loss pass through the IoU that the quality is to tell."""
    model, (features, mask) = head(), sample((32,))
    predictions, found = judged(model, targets((4.0, 14.0, 1)), features, mask)
    wanted = [predictions["distances"], predictions["refined_offsets"], predictions["quality"]]
    gradients = torch.autograd.grad(found["quality"], wanted, allow_unused=True)
    assert gradients[0] is None and gradients[1] is None
    assert gradients[2] is not None and gradients[2].abs().sum() > 0


def test_background_alone_teaches_classes_and_boundaries_and_nothing_else() -> None:
    model, (features, mask) = head(), sample((32,))
    _, found = judged(model, targets(), features, mask)
    assert found["class"] > 0 and found["refined_class"] > 0 and found["start"] > 0 and found["end"] > 0
    assert found["offset"] == found["refined_offset"] == found["quality"] == 0


def test_perfect_predictions_cost_nothing() -> None:
    model, known = head(), targets((3.5, 11.5, 2))
    predictions, mask = model(*sample((32,))), sample((32,))[1]
    assignment = model.assign(predictions, [known])
    positive, classes = assignment["positive"], assignment["classes"]
    distances = torch.where(positive[:, :, None], assignment["distances"], 1.0)
    perfect = {
        **predictions,
        "logits": 40 * classes,
        "refined_logits": 40 * classes,
        "distances": distances,
        "refined_offsets": torch.zeros_like(distances),
        "quality": torch.full(positive.shape, 30.0),
        "boundaries": assignment["boundaries"],
        "step_boundaries": assignment["boundaries"][:, :: SMALL.frames].repeat(1, 1, 2),
    }
    again = model.assign(perfect, [known])
    assert again["refined"].equal(positive) and again["refined_offsets"].abs().max() == 0
    assert max(model.loss(perfect, again, 1.0).values()) < 1e-5
    assert mask.all()


def test_focal_loss_of_an_action_with_two_labels_is_the_mean_of_both() -> None:
    logits = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(0))
    both, one, other = (torch.tensor(row)[None, None] for row in ([0.5, 0.5, 0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0]))
    mean = 0.5 * (losses.softmax_focal(logits, one, SMALL) + losses.softmax_focal(logits, other, SMALL))
    assert torch.allclose(losses.softmax_focal(logits, both, SMALL), mean)


# ---- distillation


def test_a_student_equal_to_its_teacher_has_nothing_to_learn_and_any_other_has() -> None:
    model, (features, mask) = head(), sample((32, 20))
    teacher = {name: value.detach() for name, value in model(features, mask).items()}
    assert max(value.item() for value in model.distill(model(features, mask), teacher).values()) < 1e-5
    student = model(features + 0.5 * sample((32, 20), seed=9)[0], mask)
    found = model.distill(student, teacher)
    assert set(found) == {"class", "offset", "refined_class", "refined_offset", "quality", "maps"}
    assert all(value > 0 for value in found.values())


def test_student_and_teacher_are_compared_at_the_teachers_proposals() -> None:
    """A student whose own proposals are elsewhere, but whose maps are the teacher's, refines as the teacher does."""
    model, (features, mask) = head(), sample((32,))
    teacher = {name: value.detach() for name, value in model(features, mask).items()}
    astray = {**teacher, "distances": 3 * teacher["distances"] + 2}
    astray |= model.refine(astray, astray["distances"])
    assert not torch.allclose(astray["refined_logits"], teacher["refined_logits"], atol=1e-2), "pooled elsewhere"
    found = model.distill(astray, teacher)
    assert found["offset"] > 0.1
    assert max(found[name].item() for name in ("refined_class", "refined_offset", "quality")) < 1e-6


def test_what_a_teacher_keeps_for_its_student_is_enough_and_no_map() -> None:
    model, (features, mask) = head(), sample((32, 20))
    teacher = {name: value.detach() for name, value in head(seed=3)(features, mask).items()}
    kept = {name: torch.from_numpy(value.numpy().copy()) for name, value in model.for_student(teacher).items()}
    assert {name for name in teacher if name not in kept} == {"frame_map", "location_map", "class_map"}
    student = model(features, mask)
    from_all, from_kept = model.distill(student, teacher), model.distill(student, kept)
    assert all(torch.equal(from_all[name], from_kept[name]) for name in from_all)


def test_distilling_reaches_the_maps_by_refinement_and_the_teacher_gets_no_gradient() -> None:
    model, (features, mask) = head(), sample((32,))
    teacher = {n: v.requires_grad_(v.is_floating_point()) for n, v in head(seed=3)(features, mask).items()}
    student = model(features, mask)
    found = model.distill(student, teacher)
    gradients = torch.autograd.grad(
        found["refined_offset"], [student["frame_map"], student["location_map"], student["distances"]],
        retain_graph=True, allow_unused=True,
    )  # fmt: skip
    assert gradients[0].abs().sum() > 0 and gradients[1].abs().sum() > 0 and gradients[2] is None
    kept = [value for name, value in teacher.items() if name != "valid"]  # of which maps are not read at all
    total = torch.stack(list(found.values())).sum()
    assert all(g is None for g in torch.autograd.grad(total, kept, allow_unused=True))


def test_padded_steps_are_not_distilled() -> None:
    model, (features, mask) = head(), sample((20,))
    teacher = {name: value.detach() for name, value in head(seed=3)(features, mask).items()}
    student = model(features, mask)
    before = model.distill(student, teacher)
    off = ~teacher["valid"]
    for name in ("logits", "distances", "refined_logits", "refined_offsets", "quality"):
        teacher[name] = teacher[name].clone()
        teacher[name][off] += 5.0
    after = model.distill(student, teacher)
    assert all(torch.allclose(before[name], after[name]) for name in before)


# ---- detections


def said(model: AFSD, change: Callable[[Predictions], None]) -> Predictions:
    """Nothing but background on 32 real steps, then changed."""
    points = 32 + 16 + 8 + 4
    logits = torch.full((1, points, CLASSES + 1), -20.0)
    logits[..., -1] = 20.0
    predictions = {
        "logits": logits,
        "refined_logits": logits.clone(),
        "distances": torch.ones(1, points, 2),
        "refined_offsets": torch.zeros(1, points, 2),
        "quality": torch.full((1, points), 30.0),
        "valid": torch.ones(1, points, dtype=torch.bool),
    }
    change(predictions)
    return predictions


def test_a_point_is_decoded_in_the_middle_of_what_it_sees_and_refined_by_half_lengths() -> None:
    model = head()
    point = 32 + 3  # of level 1: steps 6 and 7

    def change(predictions: Predictions) -> None:
        predictions["logits"][0, point] = torch.tensor([-20.0, 20.0, -20.0, -20.0])
        predictions["distances"][0, point] = torch.tensor([2.0, 4.0])
        predictions["refined_offsets"][0, point] = torch.tensor([0.5, -0.25])
        predictions["quality"][0, point] = 0.0

    [found] = model.decode(said(model, change))
    assert found.labels is not None and found.labels.tolist() == [1]
    assert found.segments.tolist() == [[6.5 - (2 + 1.5), 6.5 + (4 - 0.75)]]
    assert found.scores.tolist() == [pytest.approx(0.5 * 1.0 * 0.5)], "coarse alone sees it, and doubts the segment"


def test_nothing_is_decoded_under_the_mask_nor_below_the_score_nor_of_no_length() -> None:
    model = head()

    def change(predictions: Predictions) -> None:
        for name in ("logits", "refined_logits"):
            predictions[name][0, :4] = torch.tensor([20.0, -20.0, -20.0, -20.0])
        predictions["valid"][0, 0] = False
        predictions["quality"][0, 1] = -6.0
        predictions["refined_offsets"][0, 2] = -1.0

    [found] = model.decode(said(model, change))
    assert found.segments.tolist() == [[2.0, 4.0]], "the fourth point"


def test_what_is_taught_is_what_is_decoded() -> None:
    model, known = head(), targets((4.0, 13.0, 1))
    predictions = model(*sample((32,)))
    assignment = model.assign(predictions, [known])
    distances = torch.where(assignment["positive"][:, :, None], assignment["distances"], 1.0)
    sure = {**predictions, "distances": distances, "refined_offsets": torch.zeros_like(distances)}
    sure |= {"logits": 40 * assignment["classes"], "refined_logits": 40 * assignment["classes"]}
    [found] = model.decode({**sure, "quality": torch.full(distances.shape[:2], 30.0)})
    assert len(found.scores) == int(assignment["positive"].sum()) > 0
    assert torch.allclose(found.segments, torch.tensor([4.0, 13.0]).expand_as(found.segments), atol=1e-5)
    assert found.labels is not None and set(found.labels.tolist()) == {1}


@pytest.mark.parametrize("num_steps", [1, 7, 32, 33, 100])
def test_a_video_of_any_length_is_detected_within_its_bounds(num_steps: int) -> None:
    config = DetectorConfig(
        classes=("left", "right"), feature_dims={"rgb": 6}, width=16, head="afsd",
        head_config={"length": 32, "levels": 4, "groups": 4, "min_score": 0.0},
    )  # fmt: skip
    torch.manual_seed(0)
    features = {"rgb": np.random.default_rng(0).normal(size=(num_steps, 6)).astype(np.float32)}
    grid = ClipGrid.regular(num_steps, fps=4, window=1, stride=4)  # a step a second, the first at 1/8 s
    found = detect(Detector(config).eval(), features, grid, float(num_steps))
    assert len(found.scores) > 0 and found.segments.min() >= 0 and found.segments.max() <= num_steps
    assert (found.segments[:, 1] > found.segments[:, 0]).all() and np.isfinite(found.scores).all()


# ---- settings


def test_settings_survive_json_and_say_what_a_sample_is() -> None:
    values = {"ranges": [[0, 4], [2, 99]], "levels": 2, "length": 24, "every": 3, "overlap": 0.25}
    config = from_dict(AFSDConfig, json.loads(json.dumps(values)), "head")
    assert config.ranges == ((0.0, 4.0), (2.0, 99.0))
    assert AFSD.sample_rule(config) == SampleRule(every=3, length=24, overlap=0.25)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"length": 48}, "length 48 must be a multiple of 32 for 6 levels"),
        ({"width": 48}, "width 48 must be a multiple of twice the groups 32"),
        ({"ranges": ((0.0, 1.0),)}, "ranges must be one for each of 6 levels"),
        ({"levels": 0}, "levels and frames must be at least 1"),
        ({"unit": 0.0}, "unit must be positive"),
        ({"every": 0}, "every must be a number of steps"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AFSDConfig(**wrong)


def test_a_sample_that_no_level_divides_is_refused() -> None:
    with pytest.raises(ValueError, match="30 steps: expected a multiple of 8"):
        head()(*sample((30,), padded=30))
