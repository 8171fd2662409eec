"""Intervals over videos and the paired test: exact resampling, and verdicts that luck cannot fool."""

import numpy as np
import pytest

from evaluate.files.annotations import Annotations, VideoTruth, read_annotations
from evaluate.files.detections import make_detections, read_detections
from evaluate.metrics.average_precision import mean_average_precision
from evaluate.metrics.rules import RULES
from evaluate.metrics.scores import judge
from evaluate.metrics.significance import bootstrap, compare, draw_videos, gain_over_seeds, mean_of_classes, resampled

TIOU = np.array([0.3, 0.5, 0.7])


def world(num_videos: int = 40, classes: int = 3, seed: int = 0) -> Annotations:
    generator = np.random.default_rng(seed)
    videos = {}
    for number in range(num_videos):
        start = np.sort(generator.uniform(0, 90, 4))
        segments = np.stack([start, start + generator.uniform(2, 8, 4)], axis=1)
        videos[f"v{number}"] = VideoTruth("Test", 100.0, None, segments, generator.integers(classes, size=4))
    return Annotations(tuple("abc"[:classes]), videos)


def detector(truth: Annotations, noise: float, seed: int, hard: float = 0.0):
    """Jittered truth and as many false alarms; `hard` spoils a share of the videos altogether."""
    generator = np.random.default_rng(seed)
    spoiled = np.random.default_rng(99).random(len(truth.videos)) < hard
    rows = []
    for (video, one), lost in zip(truth.videos.items(), spoiled, strict=True):
        for (start, end), label in zip(one.segments, one.labels, strict=True):
            a, b = np.sort(np.array([start, end]) + generator.normal(0, noise * (end - start), 2) + 50 * lost)
            rows.append((video, truth.classes[label], float(a), float(b), float(generator.random() + 0.3)))
            rows.append((video, truth.classes[label], float(a + 20), float(b + 20), float(generator.random())))
    return make_detections(rows)


def copied(truth: Annotations, found, drawing):
    """The drawn test set written out: a video drawn twice is there twice, under two names."""
    videos, rows = {}, []
    for number, (name, one) in enumerate(truth.videos.items()):
        for copy in range(int(drawing[number])):
            videos[f"{name}-{copy}"] = one
            for row in np.flatnonzero(found.rehome([name]) == 0):
                label = found.labels[found.label[row]]
                rows.append((f"{name}-{copy}", label, *found.segments[row].tolist(), float(found.scores[row])))
    return Annotations(truth.classes, videos), make_detections(rows)


@pytest.mark.parametrize("rule", ["activitynet", "opentad"])
def test_a_resample_is_worth_exactly_what_the_drawn_test_set_would_score(rule):
    truth = world(12)
    found = detector(truth, 0.2, 1)
    score = judge(truth, found, tiou=TIOU, rule=RULES[rule])
    drawings = draw_videos(12, 8, 3)
    values = mean_of_classes(resampled(score.matches, drawings, "interpolated"))
    for drawing, value in zip(drawings, values, strict=True):
        again = mean_average_precision(*copied(truth, found, drawing), TIOU, RULES[rule])
        assert value == pytest.approx(again.average_mAP, abs=1e-12)


def test_every_drawing_is_a_test_set_of_the_same_size_and_a_seed_repeats_it():
    drawings = draw_videos(30, 50, 7)
    assert (drawings.sum(axis=1) == 30).all()
    assert np.array_equal(drawings, draw_videos(30, 50, 7))
    assert not np.array_equal(drawings, draw_videos(30, 50, 8))


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    # 60 test sets of 40 out of 800 videos: a 90 % interval should miss what such sets score on average about 6 times.
    population = world(800)
    found = detector(population, 0.25, 5)
    generator = np.random.default_rng(11)
    intervals = []
    for _ in range(60):
        sample = population.only([f"v{i}" for i in generator.choice(800, 40, replace=False)])
        intervals.append(bootstrap(judge(sample, found, tiou=TIOU, unknown_videos="ignore"), 200, level=0.9))
    target = np.mean([interval.estimate for interval in intervals])
    assert 48 <= sum(interval.low <= target <= interval.high for interval in intervals) <= 59


def test_more_videos_give_a_narrower_interval():
    few, many = (world(n) for n in (20, 320))
    widths = []
    for truth in (few, many):
        interval = bootstrap(judge(truth, detector(truth, 0.25, 1), tiou=TIOU), 300)
        assert interval.low < interval.estimate < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2


def test_a_better_detector_is_told_from_a_lucky_one():
    truth = world(60)
    first = judge(truth, detector(truth, 0.25, 1), tiou=TIOU)
    better = compare(first, judge(truth, detector(truth, 0.05, 2), tiou=TIOU), ("plain", "sharp"), 300)
    assert better.low > 0 and better.p < 0.01
    assert str(better).startswith("sharp is better than plain by")
    assert "more than luck in the choice of videos" in str(better)
    other_seed = compare(first, judge(truth, detector(truth, 0.25, 3), tiou=TIOU), resamples=300)
    assert other_seed.low < 0 < other_seed.high and other_seed.p > 0.05
    assert "may be luck" in str(other_seed)


def test_hard_videos_that_both_fail_on_cancel_in_the_comparison():
    truth = world(60)
    first, second = (judge(truth, detector(truth, noise, 1, hard=0.5), tiou=TIOU) for noise in (0.12, 0.06))
    paired = compare(first, second, resamples=400)
    alone = [bootstrap(score, 400) for score in (first, second)]
    assert paired.low > 0
    assert alone[0].high > alone[1].low  # the two intervals overlap: apart they would say nothing
    assert paired.high - paired.low < (alone[0].high - alone[0].low + alone[1].high - alone[1].low) / 2


def test_a_detector_is_no_better_than_itself():
    truth = world()
    score = judge(truth, detector(truth, 0.2, 1), tiou=TIOU)
    same = compare(score, score, resamples=50)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert "have the same average mAP" in str(same)


def test_swapping_the_two_swaps_the_answer():
    truth = world()
    scores = [judge(truth, detector(truth, noise, 1), tiou=TIOU) for noise in (0.1, 0.3)]
    forth, back = compare(*scores, resamples=200), compare(*scores[::-1], resamples=200)
    assert forth.difference == pytest.approx(-back.difference)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.p == back.p
    assert forth.per_class["a"][0] == pytest.approx(-back.per_class["a"][0])


def test_few_videos_are_said_to_be_few():
    truth = world(8)
    score = judge(truth, detector(truth, 0.2, 1), tiou=TIOU)
    assert "With fewer than 30 videos" in str(compare(score, score, resamples=20))


def test_scores_of_different_videos_or_thresholds_are_not_compared():
    truth = world(10)
    score = judge(truth, detector(truth, 0.2, 1), tiou=TIOU)
    with pytest.raises(ValueError, match="same tIoU"):
        compare(score, judge(truth, detector(truth, 0.2, 1), tiou="0.5"))
    with pytest.raises(ValueError, match="same videos"):
        compare(score, judge(world(9), detector(world(9), 0.2, 1), tiou=TIOU))


def test_scnn_gets_an_interval_in_seconds(shared_data):
    truth = read_annotations(shared_data / "thumos14.json", repair="keep")
    found = read_detections(shared_data / "eval_cases" / "r1_scnn_c3d" / "predictions.json")
    interval = bootstrap(judge(truth, found), 200)
    assert interval.low < interval.estimate < interval.high
    assert 0.01 < interval.high - interval.low < 0.08


def test_the_gain_over_seeds_is_the_mean_of_the_seeds_on_the_same_drawings() -> None:
    truth = world()
    noisy = [judge(truth, detector(truth, 0.5, seed), tiou=TIOU) for seed in (0, 1)]
    exact = [judge(truth, detector(truth, 0.05, seed), tiou=TIOU) for seed in (2, 3)]
    one = compare(noisy[0], exact[0], resamples=200)
    mean, low, high, p = gain_over_seeds([(noisy[0], exact[0])], resamples=200)
    assert (mean, low, high, p) == pytest.approx((one.difference, one.low, one.high, one.p))
    mean, low, high, p = gain_over_seeds(list(zip(noisy, exact, strict=True)), resamples=200)
    each = [b.result.average_mAP - a.result.average_mAP for a, b in zip(noisy, exact, strict=True)]
    assert mean == pytest.approx(np.mean(each)) and 0 < low < mean < high
    assert 0 < p < 0.05
