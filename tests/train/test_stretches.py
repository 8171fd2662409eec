"""Branches that are judged on a stretch of every sample: what the head is asked there, and what it adds up to."""

from dataclasses import replace

import pytest
import torch
from small_methods import STEPS, batch_of, detector, make

from detect.heads.base import Targets
from train.config import TrainingError
from train.data.dataset import Batch, TeacherView
from train.methods.stretches import Stretches, draw_stretches


def test_stretches_are_the_share_asked_for_and_lie_on_real_steps() -> None:
    mask = torch.arange(STEPS) < torch.tensor([[STEPS], [20]])
    drawn = [draw_stretches(mask, 0.5, 4) for _ in range(50)]
    assert {one.length for one in drawn} == {16}
    assert {one.starts[0] for one in drawn} == {0, 4, 8, 12, 16} and {one.starts[1] for one in drawn} == {0, 4}
    assert all(bool(one.of(mask).all()) for one in drawn)
    assert draw_stretches(mask, 1.0, 4) == Stretches((0, 0), STEPS)


def test_actions_and_teachers_are_seen_from_the_start_of_the_stretch() -> None:
    batch, head = batch_of(), make("decomposed").detector.head
    actions = Targets(torch.tensor([[4.0, 11.0], [17.0, 19.0], [12.0, 18.0]]), torch.tensor([0, 1, 1]))
    part = Stretches((8, 4), 8).batch(
        replace(batch, targets=[actions, batch.targets[1]]), head
    )  # steps 8 to 16, 4 to 12
    first, second = part.targets
    assert first is not None and first.segments.tolist() == [[4.0, 8.0]]  # of 12 to 18 two thirds lie inside
    assert second is not None and second.segments.tolist() == [[0.0, 5.0]]  # 2 to 9 from step 4 on
    whole, cut = (one.teachers["motion"].predictions["logits"] for one in (batch, part))
    assert torch.equal(cut[0, :8], whole[0, 8:16]) and torch.equal(cut[1, :8], whole[1, 4:12])  # the first level
    assert torch.equal(cut[0, 8:12], whole[0, STEPS + 4 : STEPS + 8])  # the second


def test_a_stretch_of_all_steps_gives_the_losses_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of()
    before = make("decomposed")(batch)
    learner = make("decomposed", judged=0.999)
    monkeypatch.setattr("train.methods.decomposed.draw_stretches", lambda mask, *_: Stretches((0, 0), STEPS))
    after = learner(batch)
    assert after.keys() == before.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


def long_batch() -> Batch:
    """One sample of 256 steps with an action in every 16."""
    torch.manual_seed(2)
    mask = torch.ones(1, 256, dtype=torch.bool)
    cues = {cue: torch.randn(1, width, 256) for cue, width in (("rgb", 6), ("flow", 5))}
    starts = torch.arange(4.0, 256.0, 16.0)
    actions = Targets(torch.stack([starts, starts + 7], dim=1), torch.arange(16) % 2)
    teacher = detector(("flow",)).eval()
    with torch.no_grad():
        [features] = teacher.branch_features(cues, mask)
        view = TeacherView(features, teacher.predict_from([features], mask))
    return Batch(("a",), cues, mask, [actions], torch.tensor([True]), {"motion": view})


def test_over_many_draws_the_losses_of_stretches_are_those_of_the_whole() -> None:
    batch = long_batch()
    whole = make("decomposed")(batch)
    drawn = []
    for _ in range(30):
        learner = make("decomposed", judged=0.5)  # whose normaliser has seen no step
        torch.manual_seed(len(drawn))
        drawn.append(learner(batch))
    for name, value in whole.items():
        assert sum(one[name].item() for one in drawn) / 30 == pytest.approx(value.item(), rel=0.06), name


def test_heads_that_take_whole_samples_alone_refuse_a_share() -> None:
    with pytest.raises(TrainingError, match="TadTR takes whole samples alone"):
        make("decomposed", head="tadtr", judged=0.5)
    with pytest.raises(TrainingError, match="expected a share of the steps"):
        make("decomposed", judged=0.0)
