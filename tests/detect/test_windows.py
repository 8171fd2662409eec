"""Videos cut into the samples that a head needs, and what is found there joined: against brute force, and by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detect.naming import named
from detect.windows import Found, SampleRule, Window, grouped, in_batches, join
from features.storage.grid import ClipGrid


def found(*rows: tuple[float, float, float, int]) -> Found:
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Found(table[:, :2], table[:, 2], table[:, 3].astype(np.int64))


# ---- cutting


@pytest.mark.parametrize("rule", [SampleRule(), SampleRule(multiple=32), SampleRule(resize=192)])
def test_a_head_of_any_length_sees_a_video_whole(rule: SampleRule) -> None:
    assert rule.windows(5000) == [Window(0, 5000)]


def test_a_video_no_longer_than_a_window_is_one_sample() -> None:
    rule = SampleRule(length=64)
    assert rule.windows(1) == [Window(0, 1)]
    assert rule.windows(63) == [Window(0, 63)]
    assert rule.windows(64) == [Window(0, 64)]
    assert rule.windows(65) == [Window(0, 64), Window(1, 65)]


@given(num_steps=st.integers(1, 400), length=st.integers(1, 80), overlap=st.sampled_from([0.0, 0.25, 0.5, 0.875]))
def test_windows_cover_every_step_overlap_as_they_should_and_end_with_the_video(
    num_steps: int, length: int, overlap: float
) -> None:
    windows = SampleRule(length=length, overlap=overlap).windows(num_steps)
    assert {step for start, stop in windows for step in range(start, stop)} == set(range(num_steps))
    assert windows[0].start == 0 and windows[-1].stop == num_steps and len(set(windows)) == len(windows)
    if len(windows) > 1:
        assert all(stop - start == length for start, stop in windows)
        shared = [one.stop - other.start for one, other in itertools.pairwise(windows)]
        assert all(n >= min(int(overlap * length), length - 1) for n in shared)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 99])
def test_steps_that_are_left_out_leave_the_others_where_they_are(num_steps: int) -> None:
    rule, grid = SampleRule(every=3, length=64), ClipGrid.regular(num_steps, fps=30, window=16, stride=4)
    x = np.arange(num_steps, dtype=np.float32)[:, None]
    taken = rule.sequence(x)
    assert taken[:, 0].tolist() == list(range(0, num_steps, 3)) and len(taken) == rule.num_steps(num_steps)
    assert rule.grid(grid).t_center.tolist() == grid.t_center[::3].tolist()
    assert rule.grid(grid).to_seconds(1.5) == pytest.approx(grid.to_seconds(4.5))
    assert rule.grid(grid).to_seconds(-0.5) == pytest.approx(grid.to_seconds(-1.5))


def test_an_action_as_long_as_the_overlap_lies_whole_in_a_window() -> None:
    windows = SampleRule(length=64, overlap=0.5).windows(1000)
    for start in range(1000 - 32):
        assert any(window.start <= start and start + 32 <= window.stop for window in windows)


@pytest.mark.parametrize(
    "rule",
    [
        {"length": 0},
        {"length": 2.5},
        {"resize": "x"},
        {"multiple": None},
        {"overlap": 1.0},
        {"resize": True},
        {"every": 0},
        {"every": None},
        {"resize": 64, "every": 3},
    ],
)
def test_a_rule_that_no_sample_meets_is_refused(rule: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(rule))):
        SampleRule(**rule)


def test_a_batch_is_as_long_as_its_head_needs_it() -> None:
    assert SampleRule().padded(45) == 45
    assert SampleRule(multiple=32).padded(45) == 64
    assert [SampleRule(length=100).padded(n) for n in (1, 45, 100)] == [100, 100, 100]


def test_windows_become_batches_of_their_steps_with_zeros_after_the_end_of_a_short_video() -> None:
    rule = SampleRule(length=4, overlap=0.0)
    x = {"rgb": np.arange(1, 11, dtype=np.float16)[:, None], "flow": np.ones((10, 2))}
    batches = list(in_batches([(x, window) for window in rule.windows(10)], rule, size=2, steps=100))
    assert [mask.shape for _, mask in batches] == [(2, 4), (1, 4)]
    rows = torch.cat([cues["rgb"] for cues, _ in batches])[:, 0].tolist()
    assert rows == [[1, 2, 3, 4], [5, 6, 7, 8], [7, 8, 9, 10]]
    [(cues, mask)] = in_batches([({"rgb": x["rgb"][:3]}, Window(0, 3))], rule, size=2, steps=100)
    assert cues["rgb"].tolist() == [[[1, 2, 3, 0]]] and mask.tolist() == [[True, True, True, False]]


def test_what_is_seen_together_has_so_many_windows_and_steps_at_most() -> None:
    videos = {"a": [100], "b": [90], "c": [30, 30], "d": [30], "e": [300], "f": [1]}

    def windows(video: str) -> list[Window]:
        return [Window(0, steps) for steps in videos[video]]

    assert grouped(videos, windows, size=3, steps=200) == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    assert grouped(videos, windows, size=1, steps=1000) == [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]
    assert grouped(videos, windows, size=9, steps=9999) == [list(videos)]
    assert grouped([], windows, size=9, steps=9999) == []


def test_a_resized_sequence_and_its_grid_are_cut_like_any_other() -> None:
    rule = SampleRule(resize=10, length=4)
    assert rule.num_steps(33) == 10 and rule.sequence(np.zeros((33, 2))).shape == (10, 2)
    assert len(rule.grid(ClipGrid.regular(33, 30, 16, 4))) == 10
    assert rule.windows(rule.num_steps(33))[-1] == Window(6, 10)
    assert SampleRule().num_steps(33) == 33


# ---- joining


def test_what_is_found_in_a_window_is_counted_from_the_start_of_the_video() -> None:
    parts = [found((1, 5, 0.9, 0)), found((1, 5, 0.8, 1)), found()]
    all_of_it = join(parts, [Window(0, 8), Window(4, 12), Window(8, 16)], once=None)
    assert all_of_it.segments.tolist() == [[1, 5], [5, 9]]
    assert all_of_it.labels is not None and all_of_it.labels.tolist() == [0, 1]


def test_an_action_that_two_windows_see_is_found_once() -> None:
    windows = [Window(0, 8), Window(4, 12)]
    parts = [found((5, 8, 0.6, 0), (1, 3, 0.5, 0)), found((1, 4, 0.9, 0), (1, 4, 0.8, 1))]
    once = join(parts, windows, once=0.5)
    assert once.segments.tolist() == [[1, 3], [5, 8], [5, 8]]
    assert once.scores.tolist() == [0.5, 0.9, 0.8], "the better of the two, and the other class"


def test_candidates_of_one_window_are_left_to_their_head() -> None:
    twice = found((1, 4, 0.9, 0), (1, 4, 0.8, 0))
    assert len(join([twice], [Window(0, 8)], once=0.5).scores) == 2
    assert len(join([twice, found()], [Window(0, 8), Window(4, 12)], once=0.5).scores) == 2


def one_by_one(parts: list[Found], windows: list[Window], iou: float) -> list[tuple]:
    """Best first, each kept unless a kept one of its class and of another window overlaps it by `iou`."""
    rows = [
        (-score, n, start + window.start, end + window.start, label, which)
        for which, (part, window) in enumerate(zip(parts, windows, strict=True))
        for n, ((start, end), score, label) in enumerate(zip(part.segments, part.scores, part.labels, strict=True))
    ]
    kept: list[tuple] = []
    for row in sorted(rows, key=lambda r: (r[0], r[5], r[1])):
        for other in kept:
            shared = max(min(row[3], other[3]) - max(row[2], other[2]), 0)
            overlap = shared / (row[3] - row[2] + other[3] - other[2] - shared)
            if row[4] == other[4] and row[5] != other[5] and shared > 0 and overlap >= iou:
                break
        else:
            kept.append(row)
    return sorted((r[2], r[3], -r[0], r[4]) for r in kept)


@pytest.mark.parametrize("seed", range(8))
def test_joining_drops_what_brute_force_drops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = SampleRule(length=16).windows(60)
    parts = []
    for _ in windows:
        start = rng.integers(0, 12, 9)
        segments = np.stack([start, start + rng.integers(1, 8, 9)], 1).astype(float)
        parts.append(Found(segments, rng.integers(1, 9, 9) / 10, rng.integers(0, 2, 9)))  # with many equals
    joined = join(parts, windows, once=0.4)
    assert joined.labels is not None
    rows = zip(joined.segments.tolist(), joined.scores.tolist(), joined.labels.tolist(), strict=True)
    assert sorted((*segment, score, label) for segment, score, label in rows) == one_by_one(parts, windows, 0.4)
    assert len(joined.scores) < 9 * len(windows)


# ---- classes from elsewhere


def test_candidates_without_a_class_become_those_of_the_likeliest_classes_of_the_video() -> None:
    nameless = Found(np.array([[1.0, 3.0], [5.0, 9.0]]), np.array([0.25, 0.64]), None)
    with_names = named(nameless, np.array([0.0, 0.36, 1.0, 0.01]))
    assert with_names.segments.tolist() == [[1, 3], [1, 3], [5, 9], [5, 9]]
    assert with_names.labels is not None and with_names.labels.tolist() == [2, 1, 2, 1]
    assert with_names.scores.tolist() == pytest.approx([0.5, 0.3, 0.8, 0.48])
    assert len(named(nameless, np.array([0.5])).scores) == 2, "a data set of one class"


@pytest.mark.parametrize(
    ("num_steps", "overlap", "count"),
    [(1, 0.0, 1), (64, 0.75, 1), (65, 0.0, 2), (128, 0.0, 2), (129, 0.0, 3), (128, 0.75, 5), (1000, 0.25, 21)],
)
def test_an_epoch_can_have_as_many_samples_of_a_video_as_windows_would_cover_it(
    num_steps: int, overlap: float, count: int
) -> None:
    assert SampleRule(length=64, overlap=0.5, training_overlap=overlap).training_samples(num_steps) == count
    for rule in (SampleRule(length=64), SampleRule(multiple=32, training_overlap=overlap)):
        assert rule.training_samples(num_steps) == 1, "a head that doesn't say, and one that sees most of any video"
