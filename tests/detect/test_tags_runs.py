"""TAGS: from masks to segments."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from detect.heads.base import Candidates, Targets
from detect.heads.tags.head import TAGS, TAGSConfig
from detect.heads.tags.runs import means, means_of_blocks, runs_of, runs_through
from detect.suppress import Suppression, suppress

STEPS = 24
SMALL = {"width": 16, "length": STEPS, "heads": 2, "head_width": 8, "tower": (12, 12, 8)}


def head(**changes: object) -> TAGS:
    return TAGS(16, 3, TAGSConfig(**{**SMALL, **changes})).eval()  # type: ignore[arg-type]


def certain(*rows: tuple[float, float, int], length: int = STEPS) -> dict[str, Tensor]:
    """Predictions that say, with certainty, what these actions' targets are."""
    segments = torch.tensor([row[:2] for row in rows], dtype=torch.float64).reshape(-1, 2)
    valid = torch.arange(STEPS)[None] < length
    known = Targets(segments, torch.tensor([row[2] for row in rows]).long())
    said = head().assign({"valid": valid}, [known])
    return {"logits": 60 * said["likely"] - 30, "masks": 60 * said["masks"] - 30, "valid": valid}


def best(found: Candidates) -> list[tuple[float, float, int]]:
    """Suppressed, of the surest kind alone."""
    segments, scores, labels, _ = found
    assert labels is not None
    kept = suppress(segments.numpy(), scores.numpy(), labels.numpy(), Suppression(kind="hard", iou=0.5, min_score=0.4))
    return sorted((a, b, int(k)) for (a, b), k in zip(kept.segments.tolist(), kept.labels, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_runs_are_those_found_step_by_step(seed: int) -> None:
    torch.manual_seed(seed)
    values = torch.rand(9, 9)
    for threshold in (0.0, 0.3, 0.8):
        above = (values > threshold).tolist()
        expected = []
        for row in range(9):
            first = 0
            for on, group in itertools.groupby(above[row]):
                size = len(list(group))
                if on:
                    expected.append((row, first, first + size - 1))
                first += size
        every = runs_of(values, threshold)
        assert list(zip(every.which.tolist(), every.first.tolist(), every.last.tolist(), strict=True)) == expected
        own = runs_through(values, threshold)
        through = [(row, a, b) for row, a, b in expected if a <= row <= b]
        assert list(zip(own.which.tolist(), own.first.tolist(), own.last.tolist(), strict=True)) == through
        rows = [values[row, a : b + 1].mean().item() for row, a, b in expected]
        assert means(values, every).tolist() == pytest.approx(rows, rel=1e-5)
        for (_, a, b), block in zip(expected, means_of_blocks(values, every), strict=True):
            assert block.item() == pytest.approx(values[a : b + 1, a : b + 1].mean().item(), rel=1e-5)


def test_perfect_masks_give_actions_back_without_bias() -> None:
    """The published code decodes the first and the last step of the shrunken mask: 1.5 steps late and 2.5 early."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(400):
        start = rng.uniform(1, 10)
        end = start + rng.uniform(4, 12)
        [found] = head(mask_thresholds=(0.5,)).decode(certain((start, end, 1)))
        [(a, b, label)] = best(found)
        assert label == 1
        errors.append((a - start, b - end))
    assert np.abs(errors).max() < 0.501
    assert np.abs(np.mean(errors, axis=0)).max() < 3 * math.sqrt(1 / 12 / 400)


def test_neighbours_of_one_class_are_two_actions_and_holes_are_not_filled() -> None:
    """The published code fills what lies between the first and the last step above the threshold."""
    touching = certain((3, 9, 0), (9, 16, 0))
    one_mask = touching["masks"].amax(1, keepdim=True).expand(-1, STEPS, -1)  # every step draws both
    for masks in (touching["masks"], one_mask):
        [found] = head().decode({**touching, "masks": masks})
        assert best(found) == [(3, 9, 0), (9, 16, 0)]


def test_the_mask_of_a_step_is_read_and_not_what_others_say_of_it() -> None:
    """The published code reads across: what all steps say about one."""
    said = certain((4, 10, 1))
    said["masks"][0, 7] = -30
    said["masks"][0, 7, 6:12] = 30
    said["logits"][0, [5, 6, 8]] = torch.tensor([-30.0, -30, -30, 30])
    [found] = head().decode(said)
    assert best(found) == [(5, 13, 1)]


def test_a_step_of_two_classes_says_both() -> None:
    [found] = head().decode(certain((4, 10, 1), (4, 10, 2)))
    assert best(found) == [(4, 10, 1), (4, 10, 2)]


def test_an_action_within_another_is_found_beside_it() -> None:
    [found] = head().decode(certain((1, 22, 0), (9, 15, 1)))
    assert best(found) == [(1, 22, 0), (9, 15, 1)]


def test_runs_of_the_class_scores_are_candidates_where_they_are_asked_for() -> None:
    said = certain((3, 9, 0), (12, 20, 2))
    drawn = {**said, "masks": said["masks"].clamp(max=math.log(0.25 / 0.75))}  # no mask above a quarter
    [none], [some] = (head(**c).decode(drawn) for c in ({}, {"class_thresholds": (0.5,)}))
    assert len(none.scores) == 0 and some.labels is not None
    assert sorted(zip(*map(list, zip(*some.segments.tolist(), strict=True)), some.labels.tolist(), strict=True)) == [
        (3, 9, 0),
        (12, 20, 2),
    ]
    assert some.scores.tolist() == pytest.approx([0.25, 0.25], rel=1e-4)


def test_background_and_padding_have_no_candidates() -> None:
    for length in (STEPS, 5, 1):
        [found] = head().decode(certain(length=length))
        assert len(found.scores) == 0 and found.segments.shape == (0, 2) and found.labels is not None
    everywhere = {**certain(length=5), "logits": torch.zeros(1, STEPS, 4), "masks": torch.zeros(1, STEPS, STEPS)}
    [found] = head(mask_thresholds=(0.1,), class_thresholds=(0.1,)).decode(everywhere)
    assert len(found.scores) and found.segments[:, 1].max() < 5 + 1.5


def test_the_best_candidates_are_kept_and_short_masks_can_be_left_out() -> None:
    said = certain((2, 7, 0), (10, 20, 1))
    said["masks"] += 20 * torch.randn(1, STEPS, STEPS, generator=torch.Generator().manual_seed(0))
    [every], [few], [long] = (head(**c).decode(said) for c in ({}, {"max_candidates": 3}, {"min_run": 5}))
    assert len(every.scores) > 3 == len(few.scores) and few.scores.min() >= every.scores.sort().values[-3]
    assert long.labels is not None and set(long.labels.tolist()) == {1}


def test_suppression_never_raises_a_score_and_knows_how_much_segments_share() -> None:
    """The published one takes the IoU of (0, .5) and (.25, .75) for 2/3, and divides scores by .6."""
    segments, scores = np.array([[0, 0.5], [0.25, 0.75], [2, 3]]), np.array([0.9, 0.8, 0.1])
    kept = suppress(segments, scores, np.zeros(3, np.int64), Suppression(sigma=0.1))
    lowered = dict(zip(kept.rows.tolist(), kept.scores.tolist(), strict=True))
    assert lowered[1] == pytest.approx(0.8 * math.exp(-((1 / 3) ** 2) * 10), rel=1e-4)
    assert lowered[0] == pytest.approx(0.9) and lowered[2] == pytest.approx(0.1)
