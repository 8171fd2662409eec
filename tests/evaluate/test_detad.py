"""Diagnosis against DETAD's own numbers: frozen cases, and real detections with and without equal scores."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluate.errors import error_types
from evaluate.errors.characteristics import THUMOS14, buckets_for, by_characteristic
from evaluate.errors.error_types import error_profile
from evaluate.files.annotations import Annotations, VideoTruth, read_annotations
from evaluate.files.detections import Detections, read_detections
from evaluate.metrics.matching import Matches, match, truth_table
from evaluate.metrics.normalised import normalised_ap
from evaluate.metrics.segments import overlap_matrix

HALF = np.array([0.5])
DETAD_KINDS = {
    "True Positive": "true positive",
    "Double Detection Err": "double detection",
    "Wrong Label Err": "wrong label",
    "Localization Err": "localisation",
    "Confusion Err": "confusion",
    "Background Err": "background",
}


def detads_nearest_truth(matches: Matches, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DETAD's rule among equal overlaps, the first in the file, to be put in place of ours."""
    truth, overlap, right = matches.truth, np.zeros(len(segments)), np.zeros(len(segments), bool)
    for row, (video, label) in enumerate(zip(matches.video, matches.label, strict=True)):
        others = np.flatnonzero(truth.video == video)
        if len(others):
            tiou = overlap_matrix(segments[row : row + 1], truth.segments[others])[0]
            overlap[row], right[row] = tiou.max(), truth.label[others[tiou.argmax()]] == label
    return overlap, right


def numpys_quicksort(values: np.ndarray) -> np.ndarray:
    """The order in which numpy before 2.0 leaves equal values: median of three, insertion below 17.

    The official code ranks with `scores.argsort()[::-1]`, which is not stable, and real files are full of equal scores.
    """
    order, v, todo = list(range(len(values))), values.tolist(), [(0, len(values) - 1)]
    while todo:
        low, high = todo.pop()
        while high - low > 15:
            mid = low + ((high - low) >> 1)
            for a, b in ((low, mid), (mid, high), (low, mid)):
                if v[order[b]] < v[order[a]]:
                    order[a], order[b] = order[b], order[a]
            pivot, i, j = v[order[mid]], low, high - 1
            order[mid], order[j] = order[j], order[mid]
            while True:
                i += 1
                while v[order[i]] < pivot:
                    i += 1
                j -= 1
                while pivot < v[order[j]]:
                    j -= 1
                if i >= j:
                    break
                order[i], order[j] = order[j], order[i]
            order[i], order[high - 1] = order[high - 1], order[i]
            smaller, larger = sorted([(low, i - 1), (i + 1, high)], key=lambda part: part[1] - part[0])
            todo.append(larger)
            low, high = smaller
        for i in range(low + 1, high + 1):
            item, j = order[i], i
            while j > low and v[item] < v[order[j - 1]]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = item
    return np.array(order)


def in_detads_order(annotations: Annotations) -> Annotations:
    """DETAD's annotation file holds the same truth, sorted by class name within each video."""
    rank = np.argsort(np.argsort(annotations.classes))

    def sort(video: VideoTruth) -> VideoTruth:
        order = np.argsort(rank[video.labels], kind="stable")
        return replace(video, segments=video.segments[order], labels=video.labels[order])

    return replace(annotations, videos={name: sort(video) for name, video in annotations.videos.items()})


@pytest.fixture(scope="module")
def thumos(shared_data: Path) -> Annotations:
    return in_detads_order(read_annotations(shared_data / "thumos14.json", repair="keep").subset("Test"))


def case(shared_data: Path, name: str) -> tuple[Detections, dict]:
    folder = shared_data / "eval_cases" / name
    return read_detections(folder / "predictions.json"), json.loads((folder / "expected_detad.json").read_text())


@pytest.mark.parametrize("name", ["c02_jitter", "c03_class_confusion"])
def test_error_kinds_and_gains_are_detads(name: str, shared_data: Path, thumos: Annotations, monkeypatch):
    detections, expected = case(shared_data, name)
    monkeypatch.setattr(error_types, "nearest_truth", detads_nearest_truth)
    profile, published = error_profile(thumos, detections, HALF), expected["false_positive"]
    assert profile.num_judged == expected["n_pred_after_limit_10G"]
    assert profile.average_mAP_N == pytest.approx(published["average_mAP_N"], abs=1e-6)
    assert profile.ap_n == pytest.approx(published["AP_N"], abs=1e-6)
    for theirs, ours in DETAD_KINDS.items():
        assert profile.share[ours] == pytest.approx(published["error_type_fraction_all"][theirs], abs=1e-6)
        if ours in profile.gain:
            assert profile.gain[ours] == pytest.approx(published["average_mAP_gain"][theirs], abs=1e-6)
        for g in range(10):
            theirs_g = published["profile_by_G"][f"{g + 1}G"][theirs]
            theirs_g = float("nan") if theirs_g is None else theirs_g
            assert profile.by_group[g][ours] == pytest.approx(theirs_g, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["c02_jitter", "c03_class_confusion"])
def test_sensitivity_and_misses_are_detads(name: str, shared_data: Path, thumos: Annotations):
    detections, expected = case(shared_data, name)
    matches = match(thumos, detections, HALF)
    table = by_characteristic(thumos, matches)
    assert normalised_ap(matches).mean() == pytest.approx(expected["sensitivity"]["base_average_mAP_N"], abs=1e-6)
    for name, theirs in (("coverage", "coverage"), ("length", "length"), ("instances", "num-instances")):
        quality = expected["sensitivity"]["by_characteristic"][theirs]
        missed = expected["false_negative"]["by_characteristic"][theirs]
        assert {each.name: each.mAP_N for each in table[name]} == pytest.approx(quality, abs=1e-6)
        for each in table[name]:
            assert each.share == pytest.approx(missed[each.name]["fraction_of_gt"], abs=1e-6)
            assert each.miss_rate == pytest.approx(missed[each.name]["false_negative_rate"], abs=1e-6)


def ranked_as_detad(detections: Detections, limit: dict[str, int] | None) -> Detections:
    """The detections in the order in which DETAD walks through them, equal scores included.

    With a limit, each class is first cut by pandas' nlargest: stable where it cuts, by quicksort where it need not.
    """
    rows = []
    for label, name in enumerate(detections.labels):
        mine = np.flatnonzero(detections.label == label)
        if limit is not None:
            scores, keep = detections.scores[mine], limit[name]
            if keep < len(mine):
                mine = mine[np.argsort(-scores, kind="stable")[:keep]]
            else:
                mine = mine[(len(mine) - 1 - numpys_quicksort(scores[::-1]))[::-1]]
        rows.append(mine[numpys_quicksort(detections.scores[mine])[::-1]])
    return detections.select(np.concatenate(rows))


def test_on_real_detections_full_of_ties_detads_own_order_gives_detads_numbers(
    shared_data: Path, thumos: Annotations, monkeypatch
):
    """S-CNN's published detections: a quarter share their score with another of their class."""
    detections, expected = case(shared_data, "r1_scnn_c3d")
    counts = np.bincount(truth_table(thumos).label)
    limit = {name: 10 * int(count) for name, count in zip(thumos.classes, counts, strict=True)}
    monkeypatch.setattr(error_types, "nearest_truth", detads_nearest_truth)
    profile = error_profile(thumos, ranked_as_detad(detections, limit), HALF)
    assert profile.num_judged == 21935
    assert profile.average_mAP_N == pytest.approx(0.24390679167809637, abs=1e-6)
    assert profile.ap_n == pytest.approx(expected["false_positive"]["AP_N"], abs=1e-6)
    for theirs, ours in DETAD_KINDS.items():  # 4 of 21,935, in a video without annotation, DETAD judges by another's
        assert profile.share[ours] == pytest.approx(
            expected["false_positive"]["error_type_fraction_all"][theirs], abs=4.5 / 21935
        )
    matches = match(thumos, ranked_as_detad(detections, None), HALF)
    assert normalised_ap(matches).mean() == pytest.approx(expected["sensitivity"]["base_average_mAP_N"], abs=1e-6)
    missed = expected["false_negative"]["by_characteristic"]
    for name, theirs in (("coverage", "coverage"), ("length", "length"), ("instances", "num-instances")):
        for each in by_characteristic(thumos, matches)[name]:
            assert each.miss_rate == pytest.approx(missed[theirs][each.name]["false_negative_rate"], abs=1e-6)


@pytest.mark.parametrize("frozen", json.loads(
    (Path(__file__).parents[1] / "data" / "evaluate" / "detad_scnn.json").read_text()
)["cases"], ids=lambda frozen: f"tiou{frozen['tiou']}")  # fmt: skip
def test_on_real_detections_without_ties_every_number_is_detads(
    frozen: dict, shared_data: Path, thumos: Annotations, monkeypatch
):
    """Frozen from DETAD's published code and annotation file, at one and at three thresholds.

    Its input was S-CNN's file without the one video that has no annotation, the k-th best score (ties: first in the
    file) replaced by 1 - k/K.
    """
    detections = read_detections(shared_data / "eval_cases" / "r1_scnn_c3d" / "predictions.json")
    detections = detections.select(detections.rehome(tuple(thumos.videos)) >= 0)
    order = np.argsort(-detections.scores, kind="stable")
    scores = np.empty(len(order))
    scores[order] = 1 - np.arange(len(order)) / len(order)
    detections = replace(detections, scores=scores)
    monkeypatch.setattr(error_types, "nearest_truth", detads_nearest_truth)
    tiou = np.array(frozen["tiou"])
    profile = error_profile(thumos, detections, tiou)
    assert profile.average_mAP_N == pytest.approx(frozen["average_mAP_N_10G"], abs=1e-6)
    assert profile.ap_n == pytest.approx(frozen["AP_N"], abs=1e-6)
    assert list(profile.share.values()) == pytest.approx(frozen["share"], abs=1e-6)
    assert list(profile.gain.values()) == pytest.approx(frozen["gain"], abs=1e-6)
    for ours, theirs in zip(profile.by_group, frozen["by_group"], strict=True):
        assert list(ours.values()) == pytest.approx(theirs, abs=1e-6)
    matches = match(thumos, detections, tiou)
    assert normalised_ap(matches).mean() == pytest.approx(frozen["average_mAP_N"], abs=1e-6)
    for name, buckets in by_characteristic(thumos, matches).items():
        assert {each.name: each.mAP_N for each in buckets} == pytest.approx(frozen["mAP_N"][name], abs=1e-6)
        assert {each.name: each.miss_rate for each in buckets} == pytest.approx(frozen["miss_rate"][name], abs=1e-6)


def test_our_rule_for_equal_overlaps_moves_few_predictions(shared_data: Path, thumos: Annotations, monkeypatch):
    """In c03, 0.1 per cent of the predictions change their name, none of them their right to be a hit."""
    detections, expected = case(shared_data, "c03_class_confusion")
    profile = error_profile(thumos, detections, HALF)
    assert profile.average_mAP_N == pytest.approx(expected["false_positive"]["average_mAP_N"], abs=1e-6)
    moved = [
        abs(profile.share[ours] - expected["false_positive"]["error_type_fraction_all"][theirs])
        for theirs, ours in DETAD_KINDS.items()
    ]
    assert 0 < max(moved) < 2e-3
    assert moved[0] == pytest.approx(0)


def test_thumos_is_cut_as_detad_cuts_it(thumos: Annotations):
    assert buckets_for(thumos, truth_table(thumos)) == THUMOS14
