"""Diagnosis: kinds of mistakes, hard and missed actions, on examples that can be worked out on paper."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluate import diagnose as command
from evaluate.errors.characteristics import THUMOS14, Buckets, by_characteristic, quantile_buckets
from evaluate.errors.compare import agreement, best_score, class_gains
from evaluate.errors.error_types import KINDS, best_of_each_class, error_kinds, error_profile
from evaluate.files.annotations import Annotations, VideoTruth
from evaluate.files.detections import Detections, make_detections
from evaluate.metrics.average_precision import mean_average_precision
from evaluate.metrics.matching import match
from evaluate.metrics.normalised import normalised_average_precision, without_late_hits

HALF = np.array([0.5])


def world(*videos: list[tuple[str, float, float]], classes: tuple[str, ...] = ("jump", "run")) -> Annotations:
    """Videos v0, v1 ... of 100 s with these (label, start, end)."""
    return Annotations(
        classes,
        {
            f"v{i}": VideoTruth(
                "Test",
                100.0,
                30.0,
                np.array([row[1:] for row in rows], float).reshape(-1, 2),
                np.array([classes.index(row[0]) for row in rows], np.int64),
            )
            for i, rows in enumerate(videos)
        },
    )


def kinds_of(annotations: Annotations, detections: Detections, tiou: float = 0.5) -> list[str]:
    """Kind of each detection, in file order."""
    matches = match(annotations, detections, np.array([tiou]))
    kinds = error_kinds(matches, detections.segments[matches.detection])[:, 0]
    named = {int(row): KINDS[kind] for row, kind in zip(matches.detection, kinds, strict=True)}
    return [named[i] for i in range(len(detections))]


def test_each_kind_of_mistake_gets_its_name():
    truth = world([("jump", 0, 10), ("run", 50, 60)])
    run = make_detections(
        [
            ("v0", "jump", 0, 10, 0.9),  # right
            ("v0", "jump", 1, 10, 0.8),  # the same action again
            ("v0", "jump", 50, 60, 0.7),  # where someone runs
            ("v0", "run", 56, 66, 0.6),  # overlap 4/16, of the right class
            ("v0", "jump", 56, 66, 0.5),  # the same, of the wrong class
            ("v0", "jump", 30, 40, 0.4),  # nothing happens
            ("v0", "run", 59.2, 69.2, 0.3),  # overlap 0.8/19.2 < 0.1
        ]
    )
    assert kinds_of(truth, run) == [
        "true positive",
        "double detection",
        "wrong label",
        "localisation",
        "confusion",
        "background",
        "background",
    ]


def test_an_overlap_on_the_threshold_is_a_hit_and_one_on_a_tenth_is_no_background():
    truth = world([("jump", 0, 10)])
    assert kinds_of(truth, make_detections([("v0", "jump", 0, 5, 0.9)])) == ["true positive"]
    assert kinds_of(truth, make_detections([("v0", "jump", 9, 10, 0.9)])) == ["localisation"]
    assert kinds_of(truth, make_detections([("v0", "jump", 9.001, 10, 0.9)])) == ["background"]


def test_a_double_detection_keeps_its_name_where_every_action_has_two_labels():
    """All CliffDiving of THUMOS'14 is also Diving; the order of the file must not turn one mistake into another."""
    for rows in ([("jump", 0, 10), ("run", 0, 10)], [("run", 0, 10), ("jump", 0, 10)]):
        run = make_detections([("v0", "jump", 0, 10, 0.9), ("v0", "jump", 0, 9, 0.8)])
        assert kinds_of(world(rows), run) == ["true positive", "double detection"]


def test_a_prediction_in_a_video_nobody_annotated_is_background():
    truth = world([("jump", 0, 10)])
    run = make_detections([("elsewhere", "jump", 0, 10, 0.9), ("elsewhere", "jump", 0, 10, 0.8)])
    assert kinds_of(truth, run) == ["background", "background"]


def test_removing_the_only_mistake_gives_back_what_it_cost():
    """One false positive above the only hit: precision 1/2 at full recall, so AP 0.5, and 1 without the mistake."""
    truth = world([("jump", 0, 10)])
    run = make_detections([("v0", "jump", 40, 50, 0.9), ("v0", "jump", 0, 10, 0.8)])
    profile = error_profile(truth, run, HALF)
    assert profile.average_mAP_N == pytest.approx(0.5)
    assert profile.gain["background"] == pytest.approx(0.5)
    assert sum(abs(profile.gain[kind]) for kind in profile.gain if kind != "background") == 0
    assert profile.share["background"] == profile.share["true positive"] == 0.5
    assert profile.by_group[0]["background"] == 1  # the first G = 1 predictions
    assert profile.by_group[1]["true positive"] == 1
    assert np.isnan(profile.by_group[2]["true positive"])


def test_only_the_best_ten_predictions_per_truth_are_judged():
    truth = world([("jump", 0, 10)])
    run = make_detections([("v0", "jump", 20 + i, 30 + i, 1 - i / 100) for i in range(25)])
    assert error_profile(truth, run, HALF).num_judged == 10
    best = best_of_each_class(truth, run, 10)
    assert best.scores.min() == pytest.approx(0.91)


def test_normalised_precision_counts_a_rare_class_as_if_it_were_common():
    """1 of 1 truths found after 1 mistake: plain AP 1/2; as if there were 4 truths, 4 / (4 + 1)."""
    hit = np.array([False, True])
    assert normalised_average_precision(hit, 1, 1.0) == pytest.approx(0.5)
    assert normalised_average_precision(hit, 1, 4.0) == pytest.approx(0.8)


def test_hits_that_come_after_a_flood_of_mistakes_count_as_missed():
    truth = world([("jump", 0, 10)])
    flood = [("v0", "jump", 20 + i, 30 + i, 1 - i / 1000) for i in range(40)]
    run = make_detections([*flood, ("v0", "jump", 0, 10, 0.1)])
    matches = match(truth, run, HALF)
    assert matches.hit.sum() == 1
    assert without_late_hits(matches, 0.05).hit.sum() == 0  # precision 1/41
    assert without_late_hits(matches, 0.02).hit.sum() == 1
    assert by_characteristic(truth, matches)["length"][0].miss_rate == 1


def test_misses_and_quality_fall_into_the_bucket_of_their_length():
    truth = world([("jump", 0, 2), ("jump", 10, 12), ("jump", 20, 40), ("jump", 50, 70)])
    run = make_detections([("v0", "jump", 20, 40, 0.9), ("v0", "jump", 50, 70, 0.8), ("v0", "jump", 0, 2, 0.7)])
    cuts = {"length": Buckets((0, 5, 100))}
    short, long = by_characteristic(truth, match(truth, run, HALF), cuts)["length"]
    assert (short.name, short.range, short.share) == ("S", "up to 5 s", 0.5)
    assert (long.name, long.range) == ("L", "above 5 s")
    assert short.miss_rate == 0.5 and long.miss_rate == 0
    assert short.mAP_N == pytest.approx(0.5) and long.mAP_N == pytest.approx(1)  # hits of the other bucket do no harm


def test_a_value_on_a_cut_belongs_to_the_smaller_bucket():
    assert THUMOS14["length"].of(np.array([0.0, 3.0, 3.1, 18.0, 1e6])).tolist() == [0, 0, 1, 3, 4]
    assert THUMOS14["instances"].of(np.array([1, 2, 81])).tolist() == [0, 1, 3]


def test_quantile_cuts_share_out_the_truth_evenly_and_survive_equal_values():
    values = {"length": np.arange(1.0, 101.0), "instances": np.full(10, 3.0)}
    cuts = quantile_buckets(values)
    assert np.bincount(cuts["length"].of(values["length"])).tolist() == [20] * 5
    assert cuts["instances"].names == ("all",)


def test_classes_are_listed_by_what_they_gain():
    truth = world([("jump", 0, 10), ("run", 50, 60)])
    looks = mean_average_precision(truth, make_detections([("v0", "jump", 0, 10, 0.9)]), HALF)
    motion = mean_average_precision(
        truth,
        make_detections([("v0", "jump", 30, 40, 0.9), ("v0", "jump", 0, 10, 0.8), ("v0", "run", 50, 60, 0.9)]),
        HALF,
    )
    assert [(each.label, each.gain) for each in class_gains(looks, motion)] == [("run", 1.0), ("jump", -0.5)]


def test_agreement_shares_out_the_truth():
    truth = world([("jump", 0, 10), ("jump", 20, 30), ("run", 40, 50), ("run", 60, 70)])
    first = make_detections([("v0", "jump", 0, 10, 0.9), ("v0", "jump", 20, 30, 0.9), ("v0", "run", 60, 70, 0.1)])
    second = make_detections([("v0", "jump", 0, 10, 0.9), ("v0", "run", 40, 50, 0.9), ("v0", "run", 21, 30, 0.9)])
    found = agreement(truth, first, second, 0.5, (0.5, 0.5))
    assert (found.both, found.only_first, found.only_second, found.neither) == (0.25, 0.25, 0.25, 0.25)
    assert found.counterpart == 1  # both of the first run's confident detections overlap one of the second's
    assert found.same_class == 0.5
    assert found.jaccard == pytest.approx(1 / 3)


def test_the_best_score_keeps_the_hits_and_cuts_the_tail():
    truth = world([("jump", 0, 10), ("jump", 20, 30)])
    run = make_detections(
        [
            ("v0", "jump", 0, 10, 0.9),
            ("v0", "jump", 20, 30, 0.6),
            ("v0", "jump", 50, 60, 0.5),
            ("v0", "jump", 70, 80, 0.4),
        ]
    )
    matches = match(truth, run, HALF)
    assert best_score(matches, run.scores[matches.detection]) == (0.6, 1.0)
    nothing = match(truth, make_detections([]), HALF)
    assert best_score(nothing, np.zeros(0)) == (float("inf"), 0.0)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Annotations and two detection files of a tiny world."""
    annotations = {
        "database": {
            f"v{i}": {
                "subset": "Test",
                "duration": 60,
                "annotations": [{"label": "jump", "segment": [5, 15]}, {"label": "run", "segment": [30, 35 + i]}],
            }
            for i in range(3)
        }
    }
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    for name, label in (("rgb", "jump"), ("two", "run")):
        rows = [
            {"label": "jump", "score": 0.9, "segment": [5, 15]},
            {"label": label, "score": 0.5, "segment": [30, 36]},
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": {f"v{i}": rows for i in range(3)}}))
    return {path.stem: path for path in tmp_path.glob("*.json")}


def test_the_command_explains_two_runs_and_their_difference(files: dict[str, Path], tmp_path: Path, capsys):
    out = tmp_path / "out" / "diagnosis.json"
    judged = ["--annotations", str(files["annotations"]), "--subset", "test", "--tiou", "0.5"]
    runs = ["--runs", f"rgb={files['rgb']}", f"two={files['two']}"]
    code = command.main([*judged, *runs, "--json", str(out)])
    assert code == 0
    text = capsys.readouterr().out
    assert "rgb: average mAP 50.00 %" in text and "two: average mAP 100.00 %" in text
    assert "only two 50.0 %" in text
    found = json.loads(out.read_text())
    assert found["gains"][0] == {"label": "run", "num_truth": 3, "before": 0.0, "after": 1.0, "gain": 1.0}
    assert found["agreement"]["only_second"] == 0.5
    assert found["runs"]["rgb"]["errors"]["share"]["wrong label"] == 0.5
    assert found["runs"]["rgb"]["errors"]["by_group"][9]["background"] is None  # nothing that far down: null, not NaN


def test_a_missing_file_and_a_name_used_twice_are_told(files: dict[str, Path], capsys):
    common = ["--annotations", str(files["annotations"]), "--subset", "Test"]
    assert command.main([*common, "--runs", "rgb=nowhere.json"]) == 2
    assert "nowhere.json: no such file" in capsys.readouterr().err
    assert command.main([*common, "--runs", f"rgb={files['rgb']}", f"rgb={files['two']}"]) == 2
    assert "two runs are called 'rgb'" in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    assert "python -m evaluate.diagnose --annotations" in capsys.readouterr().out
    assert sys.modules["evaluate.diagnose"].__doc__ is not None
