"""What labelled segments want of AFSD's points, proposals and maps: against oracles that go step by step."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_heads import targets

from detect.heads.afsd.targets import assign_points, assign_proposals, at_first_frames, boundary_maps, points_of
from detect.heads.base import Targets

ANYWHERE = ((-1.0, math.inf),) * 3
CLASSES = 4


def valid_of(*lengths: int, steps: int = 16, levels: int = 3) -> torch.Tensor:
    return torch.cat([torch.arange(steps >> n) < -(-torch.tensor(lengths)[:, None] >> n) for n in range(levels)], dim=1)


def oracle(known: Targets, valid: torch.Tensor, ranges: tuple[tuple[float, float], ...]) -> list[tuple]:
    """Point by point: nothing, or the labels and distances of the shortest segment around it."""
    found, number = [], 0
    for level, size in enumerate((16, 8, 4)):
        for place in range(size):
            at, (low, high) = (place + 0.5) * 2**level - 0.5, ranges[level]
            inside = [
                (float(end) - float(start), at - float(start), float(end) - at)
                for start, end in known.segments
                if start <= at <= end and low < max(at - float(start), float(end) - at) <= high
            ]
            if not valid[0, number] or not inside:
                found.append(())
            else:
                best = min(inside)[0]
                left, right = next(rest[1:] for rest in [*inside] if rest[0] == best)
                labels = [
                    int(label)
                    for (start, end), label in zip(known.segments, known.labels, strict=True)
                    if abs(at - float(start) - left) < 1e-3 and abs(float(end) - at - right) < 1e-3
                ]
                found.append((labels, left, right))
            number += 1
    return found


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-4, 34), st.integers(1, 30), st.integers(0, CLASSES - 1)), max_size=6),
    twice=st.booleans(),
    length=st.integers(1, 16),
    bounded=st.booleans(),
)
def test_a_point_tells_of_the_shortest_segment_around_it(
    rows: list[tuple[int, int, int]], twice: bool, length: int, bounded: bool
) -> None:
    segments = [(a / 2 + 0.125, (a + b) / 2 + 0.125, label) for a, b, label in rows]  # exact: equal lengths tie
    if twice and segments:  # one action, two labels
        start, end, label = segments[0]
        segments.append((start, end, (label + 1) % CLASSES))
    known, valid = targets(*segments), valid_of(length)
    ranges = ((0.0, 4.0), (2.0, 8.0), (4.0, 99.0)) if bounded else ANYWHERE
    made = assign_points(points_of(16, ranges, torch.device("cpu")), valid, [known], CLASSES)
    for number, expected in enumerate(oracle(known, valid, ranges)):
        shares = made["classes"][0, number]
        assert bool(made["positive"][0, number]) is bool(expected) and shares.sum() == pytest.approx(1.0)
        if expected:
            labels, left, right = expected
            assert made["distances"][0, number].tolist() == [
                pytest.approx(left, abs=1e-4),
                pytest.approx(right, abs=1e-4),
            ]
            for label in range(CLASSES):
                assert shares[label] == pytest.approx(labels.count(label) / len(labels))
        else:
            assert shares[-1] == 1.0 and made["distances"][0, number].abs().sum() == 0


def test_a_segment_that_ends_at_a_point_holds_it() -> None:
    made = assign_points(points_of(16, ANYWHERE, torch.device("cpu")), valid_of(16), [targets((3.0, 5.0, 1))], CLASSES)
    assert made["positive"][0, :16].nonzero().flatten().tolist() == [3, 4, 5]
    assert made["positive"][0, 16:24].nonzero().flatten().tolist() == [2], "at 4.5, not at 2.5 or 6.5"


def test_rows_of_a_batch_do_not_hear_of_one_anothers_actions_and_padding_is_no_action() -> None:
    known = [targets((3.0, 5.0, 1)), targets(), targets((0.0, 0.5, 2), (8.0, 12.0, 3))]
    made = assign_points(points_of(16, ANYWHERE, torch.device("cpu")), valid_of(16, 16, 16), known, CLASSES)
    assert made["positive"][1].sum() == 0 and made["classes"][1, :, -1].eq(1).all()
    assert set(made["classes"][0].argmax(1).tolist()) == {1, CLASSES}
    assert set(made["classes"][2].argmax(1).tolist()) == {2, 3, CLASSES}


def coarse(*distances: tuple[float, float]) -> dict[str, torch.Tensor]:
    wanted = torch.tensor(distances)[None]
    classes = torch.tensor([0.0, 1.0, 0.0]).expand(1, len(distances), 3)
    return {"positive": torch.ones(1, len(distances), dtype=torch.bool), "classes": classes, "distances": wanted}


def test_proposals_that_overlap_enough_are_refined_in_half_lengths() -> None:
    wanted = coarse((2.0, 4.0), (2.0, 4.0), (2.0, 4.0))
    wanted["positive"][0, 2] = False
    made = assign_proposals(wanted, torch.tensor([[[2.0, 2.0], [1.0, 1.0], [2.0, 4.0]]]), 0.5, best=False)
    assert made["refined"].tolist() == [[True, False, False]], "IoU 2/3, 1/3, and a point of background"
    assert made["refined_offsets"][0, 0].tolist() == [0.0, 1.0], "(4 - 2) / (4 / 2)"
    assert made["refined_classes"][0].tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]


def test_where_no_proposal_overlaps_enough_the_best_of_the_sample_may_be_refined() -> None:
    wanted, predicted = coarse((2.0, 4.0), (2.0, 4.0)), torch.tensor([[[1.0, 1.0], [1.0, 1.5]]])
    assert assign_proposals(wanted, predicted, 0.6, best=False)["refined"].tolist() == [[False, False]]
    assert assign_proposals(wanted, predicted, 0.6, best=True)["refined"].tolist() == [[False, True]]
    nothing = {**wanted, "positive": torch.zeros(1, 2, dtype=torch.bool)}
    assert assign_proposals(nothing, predicted, 0.6, best=True)["refined"].tolist() == [[False, False]]


def drawn(known: Targets, length: int, steps: int, frames: int) -> np.ndarray:
    """The published rule, segment by segment."""
    maps = np.zeros((steps * frames, 2), np.float32)
    for start, end in (known.segments.double().numpy() + 0.5) * frames:
        reach = max((end - start) / 10, 2.0) / 2
        for side, at in ((0, start), (1, end)):
            low, high = (int(np.clip(round(at + r), 0, length * frames - 1)) for r in (-reach, reach))
            maps[low : high + 1, side] = 1
    return maps


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(-2, 16), st.floats(0.3, 14)), max_size=4),
    length=st.integers(1, 16),
    frames=st.sampled_from([1, 4]),
)
def test_frames_near_a_boundary_are_marked(rows: list[tuple[float, float]], length: int, frames: int) -> None:
    grid = [(round(a * 16) / 16 + 1 / 64, round((a + b) * 16) / 16 + 1 / 32, 0) for a, b in rows]  # off half frames
    known = targets(*grid)
    mask = torch.arange(16)[None] < length
    made = boundary_maps([known], mask, frames)[0]
    assert np.array_equal(made.numpy(), drawn(known, length, 16, frames))
    assert torch.equal(at_first_frames(made[None], frames)[0], made[::frames])
