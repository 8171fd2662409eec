"""The frozen numbers of seven official evaluators, on synthetic and on real detections.

Made by running the official code of ActionFormer, ActivityNet, OpenTAD, mmaction2 and TadTR (numpy 1.23, pandas
1.5), and ports of the THUMOS Matlab kits; S-CNN's APs are those its authors stored from Matlab itself. They lie
beside the detections in the reference data.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from one_by_one import as_numpy_sorted_before_1_25, one_by_one

from evaluate.files.annotation_files import read_ambiguous
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.detections import Detections, read_detections
from evaluate.files.formats import read_any_detections
from evaluate.metrics.average_precision import mean_average_precision
from evaluate.metrics.rules import RULES

WITHOUT_TIES = ["c02_jitter", "c03_class_confusion", "c05_misses", "c09_absent_videos", "c12_perfect", "c13_ambiguous",
                "c15_iou_on_threshold", "r5_mmaction2_anet"]  # fmt: skip
WITH_TIES = ["c07_score_ties", "c10_degenerate_segments", "r1_scnn_c3d", "r4_anet_sample"]
EVALUATORS = {"actionformer": "actionformer", "anet": "activitynet", "tadtr": "activitynet", "opentad": "opentad",
              "mmaction2": "mmaction2"}  # fmt: skip
KITS = {"th14_updated": "thumos15", "th14_orig": "thumos14"}
TOLERANCE = 1e-6


@functools.cache
def truth_for(data: Path, case: str) -> Annotations:
    if case.startswith("r5"):
        return read_annotations(data / "eval_cases" / case / "gt.json").subset("validation")
    if case.startswith("r4"):
        return read_annotations(data / "activitynet13.json", repair="keep").subset("validation")
    test = read_annotations(data / "thumos14.json", repair="keep").subset("Test")
    ambiguous = read_ambiguous(data / "thumos14_ambiguous.json")
    return replace(test, ambiguous={video: rows for video, rows in ambiguous.items() if "test" in video})


@functools.cache
def case_of(data: Path, case: str) -> tuple[Detections, dict, dict]:
    folder = data / "eval_cases" / case
    expected = json.loads((folder / "expected.json").read_text())
    first = next(iter(expected["results"].values()))
    return read_detections(folder / "predictions.json", degenerate="keep"), first, expected


def largest_difference(found: dict[str, np.ndarray], expected: dict[str, list[float]]) -> float:
    assert found.keys() == expected.keys()
    return max(float(np.abs(found[label] - np.array(ap)).max()) for label, ap in expected.items())


@pytest.mark.parametrize("case", WITHOUT_TIES)
def test_every_official_evaluator_is_reproduced_on_its_frozen_numbers(shared_data, case):
    truth = truth_for(shared_data, case)
    detections, results, _ = case_of(shared_data, case)
    compared = 0
    for evaluator, rule in {**EVALUATORS, **KITS}.items():
        if evaluator in results:
            expected = results[evaluator]
            found = mean_average_precision(truth, detections, expected["tiou"], RULES[rule])
            assert largest_difference(found.per_class, expected["per_class"]) < TOLERANCE, evaluator
            assert np.abs(found.mAP - expected["mAP"]).max() < TOLERANCE
            assert abs(found.average_mAP - expected["average_mAP"]) < TOLERANCE
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("case", WITHOUT_TIES[:-1] + WITH_TIES[:3])
def test_the_thumos_2015_kit_is_reproduced_with_its_own_order_of_ties(shared_data, case):
    detections, results, _ = case_of(shared_data, case)
    expected = results["th14_updated"]
    found = mean_average_precision(truth_for(shared_data, case), detections, expected["tiou"], RULES["thumos15"])
    assert largest_difference(found.per_class, expected["per_class"]) < TOLERANCE


@pytest.mark.parametrize("convention", ["first", "last"])
def test_equal_scores_follow_the_order_of_the_file(shared_data, convention):
    detections, results, expected = case_of(shared_data, "c07_score_ties")
    frozen = expected["deterministic_tie_and_nan_conventions"][f"none|stable_{convention}_in_file_wins"]["actionformer"]
    if convention == "last":
        detections = detections.select(np.arange(len(detections))[::-1])
    truth = truth_for(shared_data, "c07_score_ties")
    found = mean_average_precision(truth, detections, results["anet"]["tiou"])
    assert largest_difference(found.per_class, frozen["per_class"]) < TOLERANCE


@pytest.mark.parametrize("case", ["r4_anet_sample", *WITHOUT_TIES[:2]])
def test_activitynets_own_sample_scores_exactly_one_and_less_where_repeated_truth_is_deleted(shared_data, case):
    detections, results, _ = case_of(shared_data, case)
    truth = truth_for(shared_data, case)
    found = mean_average_precision(truth, detections, results["anet"]["tiou"])
    assert largest_difference(found.per_class, results["anet"]["per_class"]) < TOLERANCE
    deleted = mean_average_precision(truth, detections, results["anet"]["tiou"], RULES["actionformer"])
    assert (deleted.average_mAP < found.average_mAP) == (case == "r4_anet_sample")


def test_reversed_segments_are_hits_for_activitynet_and_misses_for_opentad(shared_data):
    detections, results, _ = case_of(shared_data, "c10_degenerate_segments")
    truth = truth_for(shared_data, "c10_degenerate_segments")
    expected = results["opentad"]
    found = mean_average_precision(truth, detections, expected["tiou"], RULES["opentad"])
    assert largest_difference(found.per_class, expected["per_class"]) < TOLERANCE
    lenient = mean_average_precision(truth, detections, expected["tiou"])
    assert lenient.average_mAP > found.average_mAP + 0.05


# Where scores or overlaps tie, the official numbers depend on numpy's unstable sort. So two steps: a plain walk
# through the detections gives the official numbers when it sorts like numpy 1.23, and ours when it sorts stably.
@pytest.mark.parametrize("case", WITH_TIES)
def test_ties_apart_the_official_numbers_are_ours(shared_data, case):
    detections, results, _ = case_of(shared_data, case)
    truth = truth_for(shared_data, case)
    expected = results["anet"]
    columns = [4]
    tiou = np.array(expected["tiou"])[columns]
    unstable = as_numpy_sorted_before_1_25
    official = one_by_one(truth, detections, tiou, unstable, unstable)
    frozen = {label: [ap[column] for column in columns] for label, ap in expected["per_class"].items()}
    assert largest_difference(official, frozen) < TOLERANCE
    ours = mean_average_precision(truth, detections, tiou)
    assert largest_difference(ours.per_class, one_by_one(truth, detections, tiou)) < 1e-9


@pytest.mark.parametrize("tiou", ["0.1", "0.2", "0.3", "0.4", "0.5"])
def test_scnn_scores_what_its_authors_stored_from_matlab(shared_data, tiou):
    folder = shared_data / "eval_cases" / "r1_scnn_c3d"
    stored = json.loads((folder / "expected_matlab.json").read_text())["official_matlab"][tiou]
    truth = truth_for(shared_data, "r1_scnn_c3d")
    detections = read_any_detections(folder / f"det_tiou{tiou}.txt", truth.classes)
    assert len(detections) == stored["n_det"]
    found = mean_average_precision(truth, detections, [float(tiou)], RULES["thumos15"])
    assert largest_difference(found.per_class, {label: [ap] for label, ap in stored["AP"].items()}) < TOLERANCE
    assert found.average_mAP == pytest.approx(stored["mAP"], abs=TOLERANCE)
