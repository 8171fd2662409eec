"""Methods: who is taught by whom. Gradients are the witnesses."""

import copy
from dataclasses import replace

import pytest
import torch
from small_methods import batch_of, make, reached, sums
from torch import nn

from train.config import TrainingError
from train.data.dataset import TeacherView
from train.methods import METHODS
from train.methods.base import assign


@pytest.mark.parametrize(
    ("name", "cues", "expected"),
    [
        ("supervised", ("flow",), ["joint"]),
        ("supervised", ("rgb", "flow"), ["appearance", "joint", "motion"]),
        ("direct", ("rgb",), ["distill", "joint"]),
        ("decomposed", ("rgb",), ["appearance", "distill", "joint"]),
        ("augmented_rgb", ("rgb",), ["distill", "joint"]),
    ],
)
def test_loss_names_are_paths(name: str, cues: tuple[str, ...], expected: list[str]) -> None:
    losses = make(name, cues).losses(batch_of())
    assert sorted({path.split("/")[0] for path in losses}) == expected
    terms = {path.split("/")[1] for path in losses}
    more = {"supervised": set(), "augmented_rgb": {"atomic", "relation", "boundary"}}.get(name, {"feature"})
    assert terms == {"class", "offset"} | more
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())


def test_ground_truth_never_reaches_the_motion_branch_through_the_branch_head() -> None:
    method = make("decomposed")
    appearance, motion = method.detector.projections
    losses = method.losses(batch_of())
    assert reached(sums(losses, "appearance"), appearance)
    assert not reached(sums(losses, "appearance"), motion)


def test_the_teacher_teaches_the_motion_branch_alone() -> None:
    method = make("decomposed")
    appearance, motion = method.detector.projections
    losses = method.losses(batch_of())
    for name in ("distill/feature", "distill/class", "distill/offset"):
        assert reached(losses[name], motion)
        assert not reached(losses[name], appearance)
        assert not reached(losses[name], method.detector.head)


def test_the_joint_loss_reaches_both_branches_unless_it_is_detached() -> None:
    for detach in (False, True):
        method = make("decomposed", detach=detach)
        appearance, motion = method.detector.projections
        joint = sums(method.losses(batch_of()), "joint")
        assert reached(joint, appearance)
        assert reached(joint, motion) is not detach


def test_both_branches_are_judged_by_one_head_unless_told_otherwise() -> None:
    batch = batch_of()
    shared, apart = make("decomposed"), make("decomposed", shared_head=False)
    assert reached(sums(shared.losses(batch), "appearance"), shared.branch_head)
    assert reached(shared.losses(batch)["distill/class"], shared.branch_head)
    losses = apart.losses(batch)
    assert reached(losses["distill/class"], apart.motion_head)
    assert not reached(losses["distill/class"], apart.branch_head)
    assert not reached(sums(losses, "appearance"), apart.motion_head)


def test_motion_ground_truth_is_an_option() -> None:
    losses = make("decomposed", motion_ground_truth=True).losses(batch_of())
    assert {"motion/class", "motion/offset"} <= set(losses)
    assert not any(name.startswith("motion") for name in make("decomposed").losses(batch_of()))


def test_direct_distillation_holds_the_one_branch_and_the_deployed_head_to_the_teacher() -> None:
    method = make("direct")
    losses = method.losses(batch_of())
    assert reached(losses["distill/feature"], method.detector.projections)
    assert not reached(losses["distill/feature"], method.detector.head)
    assert reached(losses["distill/class"], method.detector.head)


@pytest.mark.parametrize("name", ["direct", "decomposed"])
def test_weights_scale_their_terms(name: str) -> None:
    batch = batch_of()
    once = make(name, feature_weight=1.0, prediction_weight=1.0).losses(batch)
    more = make(name, feature_weight=5.0, prediction_weight=3.0).losses(batch)
    assert more["distill/feature"].item() == pytest.approx(5 * once["distill/feature"].item(), rel=1e-5)
    assert more["distill/class"].item() == pytest.approx(3 * once["distill/class"].item(), rel=1e-5)
    assert more["joint/class"].item() == pytest.approx(once["joint/class"].item(), rel=1e-5)
    none = make(name, feature_weight=0.0, prediction_weight=0.0).losses(batch)
    assert not any(path.startswith("distill") for path in none)


def test_a_student_equal_to_its_teacher_has_nothing_left_to_learn_from_it() -> None:
    method = make("direct").eval()
    nn.init.constant_(method.detector.head.get_parameter("regressor.output.bias"), 2.0)  # no empty segments
    batch = batch_of()
    with torch.no_grad():
        [features] = method.detector.branch_features(batch.cues, batch.mask)
        same = TeacherView(features, method.detector.predict_from([features], batch.mask))
        losses = method.losses(replace(batch, teachers={"motion": same}))
    for name in ("distill/feature", "distill/class", "distill/offset"):
        assert losses[name].item() == pytest.approx(0.0, abs=1e-5)


def test_the_feature_loss_is_the_mean_square_over_real_steps() -> None:
    method = make("direct", feature_weight=1.0)
    batch = batch_of()
    [features] = method.detector.branch_features(batch.cues, batch.mask)
    garbage = torch.where(batch.mask[:, None], features.detach() + 3.0, torch.full_like(features, 1e6))
    view = TeacherView(garbage, batch.teachers["motion"].predictions)
    losses = method.losses(replace(batch, teachers={"motion": view}))
    assert losses["distill/feature"].item() == pytest.approx(9.0, rel=1e-5)


def test_the_normaliser_moves_once_per_step_by_the_positives_of_the_joint_head() -> None:
    for name, cues in (("supervised", ("rgb", "flow")), ("direct", ("rgb",)), ("decomposed", ("rgb",))):
        method, batch = make(name, cues), batch_of()
        with torch.no_grad():
            predictions = copy.deepcopy(method.detector)(batch.cues, batch.mask)
            _, _, positives = assign(method.detector.head, predictions, batch)
            method.losses(batch)
        assert positives > 1
        assert float(method.normaliser.mean) == pytest.approx(0.9 * 10 + 0.1 * positives)


@pytest.mark.parametrize("name", ["direct", "decomposed", "augmented_rgb"])
def test_a_distilling_method_reads_rgb_and_nothing_else(name: str) -> None:
    assert set(METHODS[name].branches(("rgb",))) == {"rgb"}
    assert set(METHODS[name].branches(("rgb_motion",))) == {"rgb_motion"}
    with pytest.raises(TrainingError, match="reads rgb alone"):
        METHODS[name].branches(("rgb", "flow"))


@pytest.mark.parametrize("name", ["direct", "augmented_rgb"])
def test_one_branch_reads_one_stream(name: str) -> None:
    with pytest.raises(TrainingError, match="reads at most 1 stream"):
        METHODS[name].branches(("rgb", "rgb_motion"))


def test_the_motion_branch_reads_a_motion_students_features_where_the_store_holds_them() -> None:
    kind = METHODS["decomposed"]
    assert kind.branches(("rgb", "rgb_motion")) == ("rgb", "rgb_motion")
    assert kind.usual_cues({"rgb", "rgb_motion", "flow"}) == ("rgb", "rgb_motion")
    assert kind.usual_cues({"rgb", "flow", "rgb_twin"}) == ("rgb",)
    assert kind.usual_cues({"rgb", "flow", "rgb_twin", "rgb_twin_motion"}) == ("rgb_twin", "rgb_twin_motion")
    assert METHODS["direct"].usual_cues({"rgb", "rgb_motion"}) == ("rgb",)


def test_a_motion_teacher_without_features_teaches_by_its_predictions() -> None:
    batch = batch_of()
    view = TeacherView(None, batch.teachers["motion"].predictions)
    for name in ("direct", "decomposed"):
        losses = make(name).losses(replace(batch, teachers={"motion": view}))
        assert {path for path in losses if path.startswith("distill")} == {"distill/class", "distill/offset"}


def test_augmented_rgb_is_held_to_the_teacher_by_its_features_and_not_by_its_head() -> None:
    method = make("augmented_rgb")
    losses = method.losses(batch_of())
    for name in ("distill/atomic", "distill/relation", "distill/boundary"):
        assert reached(losses[name], method.detector.projections)
        assert not reached(losses[name], method.detector.head)


def test_each_branch_of_a_two_stream_detector_is_taught_by_truth_through_its_own_cue() -> None:
    method = make("supervised", ("rgb", "flow"))
    first, second = method.detector.projections
    losses = method.losses(batch_of())
    assert reached(sums(losses, "appearance"), first) and not reached(sums(losses, "appearance"), second)
    assert reached(sums(losses, "motion"), second) and not reached(sums(losses, "motion"), first)
    assert set(make("supervised", ("rgb", "flow"), branch_weight=0.0).losses(batch_of())) == {
        "joint/class",
        "joint/offset",
    }
