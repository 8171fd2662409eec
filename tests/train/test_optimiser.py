"""How weights change: closed forms that can be checked on paper."""

import math
from typing import ClassVar

import pytest
import torch
from step_head import StepHead, StepHeadConfig
from torch import nn

from detect.heads import HEADS
from detect.heads.normaliser import RunningNormaliser
from detect.model.branches import Projection
from train.config import Optimiser
from train.optimiser import Average, learning_rate, parameter_groups


def test_the_learning_rate_is_the_closed_form_at_each_of_3500_steps() -> None:
    for n in range(3500):  # ActionFormer on THUMOS'14: 500 steps of warm-up, 3000 of cosine
        if n < 500:
            expected = 1e-4 * n / 499
        else:
            expected = 1e-8 + 0.5 * (1e-4 - 1e-8) * (1 + math.cos(math.pi * (n - 500) / 3000))
        assert learning_rate(n, 3500, 500, 1e-4, 1e-8) == pytest.approx(expected, rel=1e-12)


def test_the_learning_rate_starts_at_zero_peaks_after_the_warm_up_and_ends_near_the_floor() -> None:
    assert learning_rate(0, 3500, 500, 1e-4, 1e-8) == 0.0
    assert learning_rate(499, 3500, 500, 1e-4, 1e-8) == learning_rate(500, 3500, 500, 1e-4, 1e-8) == pytest.approx(1e-4)
    assert learning_rate(2000, 3500, 500, 1e-4, 0.0) == pytest.approx(0.5e-4)
    assert learning_rate(3499, 3500, 500, 1e-4, 1e-8) < 4e-8


def test_without_a_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(0, 10, 0, 1e-3, 0.0) == pytest.approx(1e-3)


def test_the_full_model_has_as_many_decaying_weights_as_the_published_one() -> None:
    head = HEADS["actionformer"]
    model = nn.ModuleList([Projection(2048, 512, 2), head(512, 20, head.Config())])
    decaying, others = parameter_groups(model, 0.05)
    assert decaying["weight_decay"] == 0.05 and others["weight_decay"] == 0.0
    assert sum(p.numel() for p in decaying["params"]) == 29_164_032
    assert sum(p.numel() for p in others["params"]) == 87_580


def test_every_trainable_weight_is_in_one_group_and_embeddings_do_not_decay() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(4, 3), "map": nn.Linear(3, 2), "norm": nn.LayerNorm(2)})
    model["map"].bias.requires_grad_(False)
    decaying, others = parameter_groups(model, 0.1)
    assert [p.shape for p in decaying["params"]] == [(2, 3)]
    assert sorted(p.numel() for p in others["params"]) == [2, 2, 12]


def test_what_a_head_wants_to_learn_slowly_has_groups_of_its_own() -> None:
    class Slow(StepHead):
        learning_rates: ClassVar = {"output": 0.1}

    slow, other = Slow(4, 2, StepHeadConfig()), StepHead(4, 2, StepHeadConfig())
    groups = parameter_groups(nn.ModuleList([slow, other]), 0.1)
    said = [(g["share"], g["weight_decay"], [id(p) for p in g["params"]]) for g in groups]
    ours, theirs = slow.output, other.output
    assert said == [
        (1.0, 0.1, [id(theirs.weight)]),
        (1.0, 0.0, [id(theirs.bias)]),
        (0.1, 0.1, [id(ours.weight)]),
        (0.1, 0.0, [id(ours.bias)]),
    ]


def test_the_average_follows_its_recurrence() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.0)
    average = Average(layer, decay=0.9, warmup=False)
    nn.init.constant_(layer.weight, 1.0)
    for step in (1, 2, 3):
        average.update(layer, step)
    assert average.state["weight"].item() == pytest.approx(1 - 0.9**3)


def test_a_warmed_up_average_forgets_the_first_weights_sooner() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.0)
    average = Average(layer, decay=0.99, warmup=True)
    nn.init.constant_(layer.weight, 1.0)
    average.update(layer, 1)  # decay 2/11
    assert average.state["weight"].item() == pytest.approx(9 / 11)
    average.update(layer, 2)  # decay 3/12
    assert average.state["weight"].item() == pytest.approx(1 - 2 / 11 * 3 / 12)


def test_the_normaliser_is_a_running_mean_that_is_saved() -> None:
    normaliser = RunningNormaliser(100.0, 0.9)
    assert normaliser.update(50) == pytest.approx(95.0)
    assert normaliser.update(0) == pytest.approx(0.9 * 95 + 0.1)  # no positives count as one
    restored = RunningNormaliser(100.0, 0.9)
    restored.load_state_dict(normaliser.state_dict())
    assert torch.equal(restored.mean, normaliser.mean)


@pytest.mark.parametrize(
    ("min_steps", "per_epoch", "expected"),
    [
        (0, 2, (40, 4)),
        (80, 2, (40, 4)),  # just what the epochs hold
        (81, 2, (41, 4)),
        (500, 2, (250, 25)),
        (500, 3, (167, 17)),  # 501 steps: no epoch is left half done
    ],
)
def test_where_the_epochs_hold_too_few_steps_there_are_more_of_them(
    min_steps: int, per_epoch: int, expected: tuple[int, int]
) -> None:
    assert Optimiser(epochs=40, warmup_epochs=4, min_steps=min_steps).lengths(per_epoch) == expected
