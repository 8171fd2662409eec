"""Scores of classes from elsewhere, for heads that name none: read, refused, recorded."""

import json
from pathlib import Path

import pytest
from drifting import make_detector, make_store

from detect.run import main
from evaluate.files.detections import read_detections

GOOD = {"a": {"jump": 0.9, "run": 1.0}, "b/c": {"spin": 1, "jump": 0.25}}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class_scores")
    store = make_store(folder)
    make_detector(store, folder / "gtad.pt", head="gtad")
    make_detector(store, folder / "actionformer.pt")
    make_detector(store, folder / "nameless.pt", names_classes=False)
    return folder


def detect(given: Path, scores: object, out: Path, head: str = "gtad", *more: str) -> int:
    (out / "scores.json").write_text(scores if isinstance(scores, str) else json.dumps(scores))
    words = ["--detector", str(given / f"{head}.pt"), "--features", str(given / "f.h5"), "--device", "cpu"]
    return main([*words, "--out", str(out / "d.json"), "--class-scores", str(out / "scores.json"), *more])


@pytest.mark.parametrize("head", ["gtad", "nameless"])
def test_a_video_is_given_the_classes_that_the_file_says_in_place_of_the_detectors_own(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    assert detect(given, GOOD, tmp_path, head) == 0
    found = read_detections(tmp_path / "d.json")
    rows = zip(found.video.tolist(), found.label.tolist(), found.scores.tolist(), strict=True)
    best: dict[tuple[str, str], float] = {}
    for video, label, score in rows:
        key = (found.videos[video], found.labels[label])
        best[key] = max(best.get(key, 0.0), score)
    assert set(best) == {("a", "jump"), ("b/c", "spin"), ("b/c", "jump")}, "a score of 0 is no detection"
    assert best["b/c", "jump"] == pytest.approx(best["b/c", "spin"] / 2, rel=1e-4), "sqrt(0.25)"
    assert json.loads((tmp_path / "d.json").read_text())["note"]["class_scores"] == str(tmp_path / "scores.json")
    assert "classifiers that saw optical flow" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["gtad", "nameless"])
def test_without_the_file_the_detectors_own_classifier_names_the_actions(
    given: Path, tmp_path: Path, head: str
) -> None:
    words = [
        "--detector",
        str(given / f"{head}.pt"),
        "--features",
        str(given / "f.h5"),
        "--out",
        str(tmp_path / "d.json"),
    ]
    assert main(words) == 0
    assert set(read_detections(tmp_path / "d.json").labels) == {"jump", "spin"}
    assert "class_scores" not in json.loads((tmp_path / "d.json").read_text())["note"]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([1], 'expected {"video": {"class": score'),
        ({"a": 0.5}, 'expected {"video": {"class": score'),
        ("{", "not valid JSON"),
        ({"a": {"jump": 1.5}}, "a: jump: 1.5 is no score: expected 0 to 1"),
        ({"a": {"jump": True}}, "is no score"),
        ('{"a": {"jump": NaN}}', "is no score"),
        ({"a": {"jump": 0.5, "Spin": 0.5}}, "lists no score for spin of the detector's classes"),
        ({"a": {"jump": 0.5, "spin": 0.5}}, "1 of 2 videos have no scores of classes: b/c"),
    ],
)
def test_a_file_that_does_not_say_what_is_needed_is_refused_before_any_work(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scores: object, words: str
) -> None:
    assert detect(given, scores, tmp_path) == 2
    said = capsys.readouterr().err
    assert words in said and "scores.json" in said
    assert not (tmp_path / "d.json").exists()


def test_the_remedies_for_a_video_without_scores_work(given: Path, tmp_path: Path) -> None:
    assert detect(given, {"a": {"jump": 0.5, "spin": 0.5}}, tmp_path, "gtad", "--videos", "a") == 0


def test_a_head_that_names_classes_wants_no_scores_of_them(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detect(given, GOOD, tmp_path, "actionformer") == 2
    said = capsys.readouterr().err
    assert "'actionformer' names classes itself: scores of classes are not expected" in said
    assert "--set head.names_classes=false" in said


def test_the_file_of_scores_is_not_written_over(given: Path, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(GOOD))
    words = ["--detector", str(given / "gtad.pt"), "--features", str(given / "f.h5"), "--out", str(tmp_path / "d.json")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--class-scores", str(tmp_path / "d.json")])
    assert ended.value.code == 2 and json.loads((tmp_path / "d.json").read_text()) == GOOD
