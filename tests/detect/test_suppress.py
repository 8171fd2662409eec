"""Suppression: by hand, against the compiled operators' results, and against a loop over everything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.suppress import Suppression, suppress


def case(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    data = json.loads(path.read_text())
    given = data["input"]
    return (
        np.array(given["segments"], np.float32),
        np.array(given["scores"], np.float32),
        np.array(given["labels"]),
        data["outputs"],
    )


def test_a_second_detection_of_the_same_action_loses_its_score() -> None:
    """IoU of [0, 4] and [1, 5] is 3/5: the weaker keeps .8 · exp(-.36 / .5); another class keeps all."""
    segments = np.array([[0.0, 4.0], [1.0, 5.0], [1.0, 5.0], [10.0, 12.0]])
    kept = suppress(segments, np.array([0.9, 0.8, 0.7, 0.6]), np.array([0, 0, 1, 0]), Suppression())
    assert kept.rows.tolist() == [0, 2, 3, 1]
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.8 * np.exp(-0.72)], abs=1e-6)
    assert kept.labels.tolist() == [0, 1, 0, 0]
    assert kept.segments.tolist() == segments[kept.rows].tolist()


def test_hard_and_linear_suppression_begin_at_their_overlap() -> None:
    """IoU 3/5 against thresholds of .5 and .7."""
    segments, scores, labels = np.array([[0.0, 4.0], [1.0, 5.0]]), np.array([0.9, 0.8]), np.zeros(2, int)
    for kind, iou, expected in (
        ("hard", 0.5, [0.9]),
        ("hard", 0.7, [0.9, 0.8]),
        ("linear", 0.5, [0.9, 0.8 * 0.4]),
        ("linear", 0.7, [0.9, 0.8]),
        ("none", 0.5, [0.9, 0.8]),
    ):
        kept = suppress(segments, scores, labels, Suppression(kind=kind, iou=iou))
        assert kept.scores.tolist() == pytest.approx(expected, abs=1e-6), (kind, iou)


def test_nothing_in_nothing_out() -> None:
    kept = suppress(np.zeros((0, 2)), np.zeros(0), np.zeros(0, int), Suppression())
    assert kept.segments.shape == (0, 2) and len(kept.scores) == len(kept.labels) == 0


def test_of_equal_candidates_the_first_given_is_kept_first() -> None:
    segments, labels = np.array([[5.0, 6.0], [0.0, 1.0], [0.0, 1.0], [9.0, 9.5]]), np.zeros(4, int)
    kept = suppress(segments, np.full(4, 0.5), labels, Suppression(kind="hard", iou=0.5))
    assert kept.rows.tolist() == [0, 1, 3]


def test_candidates_of_score_zero_are_gone_whatever_the_bar() -> None:
    segments = np.array([[0.0, 4.0], [0.0, 4.0]])
    kept = suppress(segments, np.array([0.9, 0.8]), np.zeros(2, int), Suppression(kind="hard", min_score=0))
    assert kept.rows.tolist() == [0]


def test_voting_moves_a_segment_towards_those_it_suppressed() -> None:
    """[0, 4] at .9 (IoU 1 with itself) and [0, 5] at .6 (IoU .8): the end moves to (.9·4 + .48·5) / 1.38."""
    segments, scores = np.array([[0.0, 4.0], [0.0, 5.0], [0.0, 4.0]]), np.array([0.9, 0.6, 0.8])
    kept = suppress(segments, scores, np.array([0, 0, 1]), Suppression(kind="hard", iou=0.5, voting=0.7))
    assert kept.segments[0].tolist() == pytest.approx([0.0, (0.9 * 4 + 0.48 * 5) / 1.38])
    assert kept.segments[1].tolist() == [0.0, 4.0], "another class has no say"


@pytest.mark.parametrize("name", ["n50_3cls", "n300_20cls", "n2000_20cls"])
def test_detections_are_those_of_the_compiled_operators(shared_data: Path, name: str) -> None:
    segments, scores, labels, outputs = case(shared_data / "nms_cases" / f"{name}.json")
    for title, output in outputs.items():
        if "config" not in output:
            continue
        config = output["config"]
        per_class = config["multiclass"]
        settings = Suppression(
            kind="gaussian" if config["use_soft_nms"] else "hard",
            sigma=config["sigma"],
            iou=config["iou_threshold"],
            min_score=config["min_score"],
            max_per_video=config["max_seg_num"],
            voting=None if per_class else config["voting_thresh"] or None,  # the operators vote across classes only
        )
        kept = suppress(segments, scores, labels if per_class else np.zeros_like(labels), settings)
        np.testing.assert_array_equal(labels[kept.rows], output["labels"], err_msg=title)
        np.testing.assert_allclose(kept.segments, output["segments"], atol=2e-5, err_msg=title)
        np.testing.assert_allclose(kept.scores, output["scores"], atol=1e-6, err_msg=title)


@pytest.mark.parametrize("name", ["n50_3cls", "n300_20cls", "n2000_20cls"])
@pytest.mark.parametrize(
    ("title", "kind", "iou", "min_score"),
    [
        ("raw_softnms_vanilla_iou.3_sigma.5_min.05", "hard", 0.3, 0.05),
        ("raw_softnms_linear_iou.3_sigma.5_min.05", "linear", 0.3, 0.05),
        ("raw_softnms_gaussian_iou.3_sigma.5_min.05", "gaussian", 0.3, 0.05),
        ("raw_nms_iou.5", "hard", 0.5, 0.0),
    ],
)
def test_candidates_are_kept_in_the_order_of_the_compiled_operators(
    shared_data: Path, name: str, title: str, kind: str, iou: float, min_score: float
) -> None:
    segments, scores, labels, outputs = case(shared_data / "nms_cases" / f"{name}.json")
    settings = Suppression(kind=kind, iou=iou, min_score=min_score, max_per_video=len(scores))
    kept = suppress(segments, scores, np.zeros_like(labels), settings)
    np.testing.assert_array_equal(kept.rows, outputs[title]["inds"])
    if "dets" in outputs[title]:
        np.testing.assert_allclose(kept.scores, np.array(outputs[title]["dets"])[:, 2], atol=1e-6)


def suppress_slowly(
    segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, settings: Suppression
) -> tuple[list[int], list[float]]:
    """Greedy, one candidate at a time, to the very end; then the best."""
    segments, scores = segments.astype(np.float32), scores.astype(np.float32)
    left, taken = [i for i in range(len(scores)) if scores[i] >= settings.min_score], []
    while left:
        i = max(left, key=lambda j: (scores[j], -j))
        left.remove(i)
        taken.append((i, scores[i]))
        for j in list(left):
            if labels[j] != labels[i]:
                continue
            shared = max(0.0, min(segments[i, 1], segments[j, 1]) - max(segments[i, 0], segments[j, 0]))
            iou = shared / (np.ptp(segments[i]) + np.ptp(segments[j]) + 2e-6 - shared)
            if settings.kind == "gaussian":
                scores[j] *= np.exp(-(iou**2) / settings.sigma)
            elif iou >= settings.iou:
                scores[j] *= 0 if settings.kind == "hard" else 1 - iou
            if scores[j] < settings.min_score or scores[j] == 0:
                left.remove(j)
    best = sorted(taken, key=lambda pair: -pair[1])[: settings.max_per_video]
    return [i for i, _ in best], [float(score) for _, score in best]


@pytest.mark.parametrize("kind", ["gaussian", "linear", "hard"])
def test_stopping_early_loses_none_of_the_best(kind: str) -> None:
    rng = np.random.default_rng(0)
    for count, classes, limit in ((1, 1, 5), (60, 1, 7), (150, 4, 20), (200, 30, 25), (150, 3, 1000)):
        start = rng.uniform(0, 40, count)
        segments = np.stack([start, start + rng.uniform(0.5, 9, count)], 1)
        scores, labels = rng.uniform(0, 1, count) ** 2, rng.integers(0, classes, count) ** 2
        settings = Suppression(kind=kind, iou=0.3, max_per_video=limit)
        kept = suppress(segments, scores, labels, settings)
        rows, expected = suppress_slowly(segments, scores, labels, settings)
        assert kept.rows.tolist() == rows
        assert kept.scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_given_scores_are_left_alone() -> None:
    scores = np.array([0.9, 0.8], np.float32)
    suppress(np.array([[0, 4], [1, 5]], np.float32), scores, np.zeros(2, int), Suppression())
    assert scores.tolist() == pytest.approx([0.9, 0.8])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="gaussian, linear, hard, none"):
        Suppression(kind="soft")
    with pytest.raises(ValueError, match="positive"):
        Suppression(sigma=0)
