"""Average precision: values from paper and pencil, laws that any scores obey, and a loop over the detections."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_by_one import area, one_by_one

from evaluate.files.annotations import AnnotationError, Annotations, VideoTruth
from evaluate.files.detections import make_detections
from evaluate.metrics.average_precision import average_precision, class_average_precision, mean_average_precision
from evaluate.metrics.matching import match
from evaluate.metrics.rules import RULES

TIOU = np.linspace(0.3, 0.7, 5)


def truth_of(rows: list[tuple[str, str, float, float]], videos: tuple[str, ...] = ()) -> Annotations:
    """Annotations from (video, label, start, end) rows; `videos` adds those without any."""
    classes = tuple(sorted({label for _, label, _, _ in rows}))
    out = {}
    for video in dict.fromkeys([*videos, *(row[0] for row in rows)]):
        mine = [row for row in rows if row[0] == video]
        segments = np.array([row[2:] for row in mine], dtype=np.float64).reshape(-1, 2)
        out[video] = VideoTruth("Test", 100.0, None, segments, np.array([classes.index(r[1]) for r in mine], np.int64))
    return Annotations(classes, out)


def average_of(truth: list, found: list, **options) -> float:
    return mean_average_precision(truth_of(truth), make_detections(found), TIOU, **options).average_mAP


FOUR = [("v", "a", 0, 10), ("v", "a", 20, 30), ("v", "a", 40, 50), ("w", "a", 0, 10)]
PERFECT = [(*row, 1.0 - i / 10) for i, row in enumerate(FOUR)]


def test_finding_everything_gives_one_and_nothing_gives_nought():
    assert average_of(FOUR, PERFECT) == 1
    assert average_of(FOUR, [("v", "a", 90, 95, 1.0)]) == 0
    assert average_of(FOUR, []) == 0


def test_one_missed_action_of_four_gives_recall_three_quarters():
    assert average_of(FOUR, PERFECT[:3]) == pytest.approx(0.75)


def test_a_false_detection_ranked_between_costs_what_paper_says():
    # hit, miss, hit of 2: recall 1/2 at precision 1, then recall 1 at precision 2/3
    found = [("v", "a", 0, 10, 0.9), ("v", "a", 60, 70, 0.8), ("v", "a", 20, 30, 0.7)]
    assert average_of(FOUR[:2], found) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([True, False, True], 2) == pytest.approx((1 + 2 / 3) / 2)


def test_precision_at_a_recall_is_the_best_at_it_or_beyond():
    # miss, hit, hit, hit of 3: precisions 1/2, 2/3, 3/4, and the last holds for all
    assert average_precision([False, True, True, True], 3) == pytest.approx(3 / 4)
    assert average_precision([False, True, True, True], 3, area="raw") == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)


def test_a_false_detection_ranked_last_costs_nothing():
    assert average_of(FOUR, [*PERFECT, ("v", "a", 60, 70, 0.0)]) == 1


def test_the_second_detection_of_an_action_is_false():
    found = [("v", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.8), ("v", "a", 20, 30, 0.7)]
    assert average_of(FOUR[:2], found) == pytest.approx((1 + 2 / 3) / 2)


def test_a_detection_takes_its_best_free_truth_and_not_one_that_is_taken():
    truth = [("v", "a", 0, 10), ("v", "a", 2, 12)]
    # Both detections overlap the second truth best; the later one falls back on the first.
    found = make_detections([("v", "a", 2, 12, 0.9), ("v", "a", 1.5, 11.5, 0.8)])
    matches = match(truth_of(truth), found, np.array([0.5]))
    assert matches.taken[:, 0].tolist() == [1, 0]


def test_the_right_time_in_another_video_or_under_another_name_is_false():
    truth = [("v", "a", 0, 10), ("w", "b", 20, 30)]
    found = [("w", "a", 0, 10, 0.9), ("v", "b", 20, 30, 0.9)]
    assert average_of(truth, found) == 0


def test_thresholds_include_what_lies_on_them_except_under_the_thumos_rule():
    truth, found = truth_of([("v", "a", 0, 10)]), make_detections([("v", "a", 0, 5, 0.9)])
    assert mean_average_precision(truth, found, [0.5]).average_mAP == 1
    assert mean_average_precision(truth, found, [0.5], RULES["thumos15"]).average_mAP == 0


def test_a_class_never_detected_counts_nought_and_a_class_without_truth_not_at_all():
    truth = truth_of([("v", "a", 0, 10), ("v", "b", 20, 30)])
    result = mean_average_precision(truth, make_detections([("v", "a", 0, 10, 1.0)]), TIOU)
    assert result.average_mAP == 0.5
    only_a = Annotations(("a", "c"), truth_of([("v", "a", 0, 10)]).videos)
    result = mean_average_precision(only_a, make_detections([("v", "a", 0, 10, 1.0), ("v", "c", 0, 5, 1.0)]), TIOU)
    assert list(result.per_class) == ["a"]
    assert result.average_mAP == 1
    assert result.num_truth == {"a": 1}


def test_detections_in_unknown_videos_are_false_or_ignored_as_asked():
    found = [("elsewhere", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.8)]
    assert average_of(FOUR[:1], found) == pytest.approx(0.5)
    assert average_of(FOUR[:1], found, unknown_videos="ignore") == 1


def test_annotations_without_any_segment_are_an_error_and_not_nan():
    with pytest.raises(AnnotationError, match="nothing to find"):
        mean_average_precision(truth_of([], ("v",)), make_detections([]), TIOU)


def test_repeated_truth_lowers_the_score_unless_it_is_deleted():
    truth = [("v", "a", 0, 10), ("v", "a", 0.0004, 10), ("v", "a", 5, 5.0001)]
    found = [("v", "a", 0, 10, 0.9)]
    assert average_of(truth, found) == pytest.approx(1 / 3)
    assert average_of(truth, found, rule=RULES["actionformer"]) == 1


def test_misses_on_ambiguous_intervals_are_forgiven_by_the_thumos_rule_alone():
    truth = truth_of([("v", "a", 0, 10)])
    unclear = Annotations(truth.classes, truth.videos, {"v": np.array([[50.0, 60.0]])})
    found = make_detections([("v", "a", 55, 80, 0.9), ("v", "a", 0, 10, 0.8)])
    assert mean_average_precision(unclear, found, TIOU).average_mAP == pytest.approx(0.5)
    assert mean_average_precision(unclear, found, TIOU, RULES["thumos15"]).average_mAP == 1
    assert mean_average_precision(truth, found, TIOU, RULES["thumos15"]).average_mAP == pytest.approx(0.5)


def test_a_video_that_weighs_two_is_a_video_that_is_there_twice():
    truth = [("v", "a", 0, 10), ("v", "a", 20, 30), ("w", "a", 0, 10), ("w", "b", 5, 9)]
    found = [("v", "a", 0, 9, 0.9), ("w", "a", 40, 50, 0.8), ("v", "a", 21, 33, 0.6), ("w", "b", 5, 8, 0.5)]
    copies = [("w2", *row[1:]) for row in truth if row[0] == "w"], [("w2", *row[1:]) for row in found if row[0] == "w"]
    twice = mean_average_precision(truth_of(truth + copies[0]), make_detections(found + copies[1]), TIOU)
    matches = match(truth_of(truth), make_detections(found), TIOU)
    weighted = class_average_precision(matches, np.array([[1.0, 2.0], [1.0, 1.0], [1.0, 0.0]]))
    assert weighted[0] == pytest.approx(np.stack(list(twice.per_class.values())))
    assert weighted[1] == pytest.approx(class_average_precision(matches)[0])
    assert np.isnan(weighted[2, 1]).all()


# Boundaries on a coarse grid make overlaps and scores tie often, which is where implementations part.
spans = st.tuples(st.integers(0, 12), st.integers(1, 8)).map(lambda t: (float(t[0]), float(t[0] + t[1])))
places = st.tuples(st.sampled_from(["v", "w", "x"]), st.sampled_from(["a", "b"]))
truths = st.lists(st.tuples(places, spans).map(lambda t: (*t[0], *t[1])), min_size=1, max_size=25)
scores = st.integers(0, 4).map(lambda n: n / 4)
findings = st.lists(st.tuples(places, spans, scores).map(lambda t: (*t[0], *t[1], t[2])), max_size=40)
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@given(truths, findings)
@relaxed
def test_a_walk_through_the_detections_gives_the_same(truth, found):
    annotations, detections = truth_of(truth), make_detections(found)
    expected = one_by_one(annotations, detections, TIOU)
    result = mean_average_precision(annotations, detections, TIOU)
    assert result.per_class.keys() == expected.keys()
    for label, ap in expected.items():
        assert result.per_class[label] == pytest.approx(ap, abs=1e-12)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_area_is_that_of_the_plain_loop(hits, missed):
    if sum(hits) + missed:
        assert average_precision(hits, sum(hits) + missed) == pytest.approx(area(hits, sum(hits) + missed))


distinct = st.lists(
    st.tuples(places, spans).map(lambda t: (*t[0], *t[1])), max_size=30
).map(lambda rows: [(*row, (len(rows) - i) / 64) for i, row in enumerate(rows)])  # fmt: skip


@given(truths, distinct, st.randoms(use_true_random=False))
@relaxed
def test_only_the_order_of_the_scores_counts_and_not_the_order_of_the_file(truth, found, random):
    before = average_of(truth, found)
    assert average_of(truth, [(*row[:4], 3 * row[4] ** 3 - 7) for row in found]) == pytest.approx(before)
    random.shuffle(found)
    assert average_of(truth, found) == pytest.approx(before)


@given(truths, distinct, st.data())
@relaxed
def test_saying_a_thing_twice_never_helps_where_there_is_one_thing_to_find(truth, found, data):
    # One truth for each video and class: a repetition then has nothing left to take.
    truth = list({row[:2]: row for row in truth}.values())
    if found:
        again = data.draw(st.sampled_from(found))
        assert average_of(truth, [*found, (*again[:4], again[4] - 1 / 128)]) <= average_of(truth, found) + 1e-12


@given(truths)
@relaxed
def test_perfect_detections_give_one(truth):
    # Identical truths tell no order apart, so each is found all the same.
    assert average_of(truth, [(*row, i / 8) for i, row in enumerate(truth)]) == pytest.approx(1)


@given(truths, findings, st.integers(-50, 50), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
@relaxed
def test_neither_the_origin_nor_the_unit_of_time_counts(truth, found, shift, scale):
    moved = [(v, c, a * scale + shift, b * scale + shift) for v, c, a, b in truth]
    seen = [(v, c, a * scale + shift, b * scale + shift, s) for v, c, a, b, s in found]
    assert average_of(moved, seen) == pytest.approx(average_of(truth, found))


def test_many_detections_are_matched_in_pieces_of_bounded_size(monkeypatch):
    generator = np.random.default_rng(0)
    truth = [("v", "a", s, s + 5) for s in generator.uniform(0, 90, 20)]
    found = [("v", "a", s, s + 5, p) for s, p in generator.uniform(0, 90, (200, 2))]
    whole = mean_average_precision(truth_of(truth), make_detections(found), TIOU)
    monkeypatch.setattr("evaluate.metrics.matching.PAIRS_AT_ONCE", 64)
    pieces = mean_average_precision(truth_of(truth), make_detections(found), TIOU)
    assert np.array_equal(whole.mAP, pieces.mAP)
