"""Average recall of the N best detections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.files.annotations import AnnotationError, Annotations, VideoTruth, read_annotations
from evaluate.files.detections import make_detections, read_detections
from evaluate.metrics.recall import activitynet_recall, average_recall
from evaluate.metrics.segments import overlap_matrix


def truth_of(videos: dict[str, list[tuple[float, float]]]) -> Annotations:
    return Annotations(
        ("a",),
        {
            video: VideoTruth("Test", 100.0, None, np.array(rows, float).reshape(-1, 2), np.zeros(len(rows), np.int64))
            for video, rows in videos.items()
        },
    )


def test_one_missed_action_of_four_gives_recall_three_quarters():
    truth = truth_of({"v": [(0, 10), (20, 30)], "w": [(0, 10), (50, 60)]})
    found = make_detections(
        [("v", "x", 0, 10, 0.9), ("v", "x", 20, 30, 0.5), ("w", "x", 40, 45, 0.9), ("w", "x", 50, 60, 0.1)]
    )
    recall = average_recall(truth, found, proposals=(1, 2))
    assert recall.average.tolist() == [0.25, 0.75]
    assert str(recall).startswith("AR@1 25.00  AR@2 75.00")


def test_labels_do_not_matter_and_one_proposal_may_find_two_actions():
    truth = truth_of({"v": [(0, 10), (0.1, 10)]})
    assert average_recall(truth, make_detections([("v", "?", 0, 10, 0.1)]), (1,)).average[0] == 1


def test_each_threshold_is_counted_for_itself():
    truth = truth_of({"v": [(0, 10)]})
    recall = average_recall(truth, make_detections([("v", "a", 0, 7, 0.5)]), (1,))  # tIoU .7 passes .5 to .7
    assert recall.recall[0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_nothing_detected_finds_nothing_and_nothing_annotated_is_an_error():
    truth = truth_of({"v": [(0, 10)], "w": []})
    assert average_recall(truth, make_detections([]), (1, 100)).average.tolist() == [0, 0]
    assert activitynet_recall(truth, make_detections([])).area == 0
    with pytest.raises(AnnotationError, match="nothing to find"):
        average_recall(truth_of({"v": []}), make_detections([]))


def test_activitynets_budget_is_shared_out_by_how_much_each_video_has():
    # 30 and 10 proposals; 20 on average is all of them, 10 on average the best half of each: 15 and 5.
    truth = truth_of({"v": [(0, 10)], "w": [(0, 10)]})
    rows = [("v", "a", 50, 60, 1 - i / 100) for i in range(30)] + [("w", "a", 50, 60, 1 - i / 100) for i in range(10)]
    rows[14] = ("v", "a", 0, 10, rows[14][4])
    rows[35] = ("w", "a", 0, 10, rows[35][4])
    recall = activitynet_recall(truth, make_detections(rows), most=20)
    at = dict(zip(recall.proposals.round(6).tolist(), recall.average.tolist(), strict=True))
    assert (at[9.8], at[10.0], at[11.8], at[12.0], at[20.0]) == (0, 0.5, 0.5, 1, 1)
    assert average_recall(truth, make_detections(rows), (5, 6, 14, 15)).average.tolist() == [0, 0.5, 0.5, 1]


spans = st.tuples(st.integers(0, 15), st.integers(1, 6)).map(lambda t: (float(t[0]), float(t[0] + t[1])))


@given(
    st.lists(st.tuples(st.sampled_from("vw"), spans), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from("vwx"), spans), max_size=25),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=60)
def test_recall_is_the_share_of_truths_that_the_best_n_touch(truth, found, most):
    videos = {v: [span for name, span in truth if name == v] for v in "vw"}
    rows = [(v, "a", *span, 1 - i / 64) for i, (v, span) in enumerate(found)]
    hits = 0
    for video, segments in videos.items():
        best = np.array([row[2:4] for row in rows if row[0] == video][:most]).reshape(-1, 2)
        hits += int((overlap_matrix(np.array(segments).reshape(-1, 2), best).max(axis=1, initial=0) >= 0.5).sum())
    recall = average_recall(truth_of(videos), make_detections(rows), (most,), np.array([0.5]))
    assert recall.average[0] == pytest.approx(hits / len(truth))


@pytest.mark.parametrize(
    ("case", "area", "at_10_50_100"),
    [
        ("c09_absent_videos", 0.42638073257891596, [0.3360929124478857, 0.4585467540202502, 0.4585467540202502]),
        (
            "c10_degenerate_segments",
            0.4026082489577129,
            [0.22016081000595591, 0.45875521143537823, 0.45908278737343666],
        ),
    ],
)
def test_activitynets_own_toolkit_gives_the_same(shared_data, case, area, at_10_50_100):
    """Frozen from `average_recall_vs_avg_nr_proposals` of ActivityNet's eval_proposal.py, detections in videos without
    truth and reversed ones taken out beforehand."""
    truth = read_annotations(shared_data / "thumos14.json", repair="keep").subset("Test")
    found = read_detections(shared_data / "eval_cases" / case / "predictions.json", degenerate="drop")
    recall = activitynet_recall(truth, found)
    assert recall.average[[9, 49, 99]].tolist() == pytest.approx(at_10_50_100, abs=1e-12)
    assert recall.area == pytest.approx(area, abs=1e-12)
