"""What `import flowless` offers: the same as the commands give, from arrays in memory."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from broken_worlds import NAMES, World

import flowless
from command.errors import FlowlessError
from detect.deployed import workers
from detect.run import main as detect_run
from evaluate.run import main as evaluate_run
from train.run import main as train_run

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"model.width": 16, "head.levels": 2, "head.window": 5, "head.heads": 2, "optimiser.threads": 1}
SETS = [word for path, value in SMALL.items() for word in ("--set", f"{path}={value}")]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With store.h5 and annotations.json of 12 videos, and run/detector.pt that the command made of them."""
    folder = tmp_path_factory.mktemp("world")
    words = World(folder).write()
    assert train_run([*words, "--out", str(folder / "run"), "--epochs", "2", *SETS]) == 0
    return folder


def arrays(folder: Path, streams: Any = "rgb") -> dict[str, flowless.VideoFeatures]:
    store = flowless.open_features(folder / "store.h5")
    return {name: flowless.read_features(store, name, streams) for name in NAMES}


def truth(folder: Path) -> Any:
    return flowless.read_annotations(folder / "annotations.json")


def test_the_import_loads_no_library_and_offers_every_name() -> None:
    program = (
        "import sys, flowless\n"
        "assert not {'numpy', 'torch', 'h5py', 'matplotlib', 'cv2', 'av', 'scipy'} & set(sys.modules), sys.modules\n"
        "assert set(flowless.__all__) <= set(dir(flowless)) and not hasattr(flowless, 'nothing')\n"
        "flowless.read_features\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_is_documented_and_typed() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for name in flowless.__all__:
        there = getattr(flowless, name)
        assert inspect.getdoc(there), name
        assert re.search(rf"`{name}[`(]", page), f"docs/python.md does not name {name}"
        if inspect.isfunction(there):
            hints = inspect.signature(there)
            assert hints.return_annotation is not inspect.Signature.empty, name
            assert all(one.annotation is not inspect.Parameter.empty for one in hints.parameters.values()), name


def test_features_of_a_store_are_arrays_with_times(folder: Path) -> None:
    video = flowless.read_features(folder / "store.h5", "clip03")
    assert set(video) == {"rgb", "flow"} and video["rgb"].shape == (33, 24)
    np.testing.assert_allclose(video.times_s, (np.arange(33) * 4 + 8) / 10)
    assert (video.fps, video.window, video.stride, video.duration_s) == (10.0, 16, 4, pytest.approx(14.8))
    assert "rgb (33, 24)" in repr(video)


def test_a_detector_trained_from_arrays_is_that_of_the_command_and_nothing_is_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = flowless.train(arrays(folder), truth(folder).subset("Training"), epochs=2, settings=SMALL)
    theirs = flowless.Detector.load(folder / "run/detector.pt")
    state, other = made.state_dict(), theirs.state_dict()
    assert state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)
    assert made.config.feature_ids == theirs.config.feature_ids and made.config.classes == theirs.config.classes
    assert not made.training and list(tmp_path.iterdir()) == []


def test_rows_of_actions_teach_what_an_annotation_file_does(folder: Path) -> None:
    known = truth(folder).subset("Training")
    rows = {
        name: [(start, end, known.classes[k]) for (start, end), k in zip(one.segments, one.labels, strict=True)]
        for name, one in known.videos.items()
    }
    made = flowless.train(arrays(folder), rows, epochs=2, settings=SMALL).state_dict()
    theirs = flowless.Detector.load(folder / "run/detector.pt").state_dict()
    assert all(torch.equal(made[name], theirs[name]) for name in made)


def test_a_run_may_be_kept_and_is_never_written_over(folder: Path, tmp_path: Path) -> None:
    learn = truth(folder).subset("Training")
    out = tmp_path / "kept"
    made = flowless.train(arrays(folder), learn, epochs=1, settings=SMALL, out=out)
    assert {"config.json", "log.csv", "last.pt", "detector.pt"} <= {file.name for file in out.iterdir()}
    before = (out / "detector.pt").read_bytes()
    with pytest.raises(FlowlessError, match="holds a run"):
        flowless.train(arrays(folder), learn, epochs=1, settings=SMALL, out=out)
    with pytest.raises(FlowlessError, match=r"give the detector\.pt of each"):
        flowless.train(arrays(folder), learn, method="direct", teacher=made, out=tmp_path / "other")
    assert (out / "detector.pt").read_bytes() == before and not (tmp_path / "other").exists()


def test_a_detector_in_memory_teaches_another_as_its_file_does(folder: Path, tmp_path: Path) -> None:
    learn, both = truth(folder).subset("Training"), arrays(folder, ["rgb", "flow"])
    teacher = flowless.train(both, learn, cues="flow", epochs=1, settings=SMALL)
    teacher.save(tmp_path / "teacher.pt")
    students = [
        flowless.train(both, learn, method="decomposed", teacher=one, epochs=1, settings=SMALL)
        for one in (teacher, tmp_path / "teacher.pt")
    ]
    one, other = (student.state_dict() for student in students)
    assert students[0].cues == ("rgb",) and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_detected_and_scored_is_what_the_commands_say(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 1)  # videos seen together are equal to rounding: tests/detect/test_workers
    detector, annotations = str(folder / "run/detector.pt"), str(folder / "annotations.json")
    out, metrics = str(tmp_path / "detections.json"), str(tmp_path / "metrics.json")
    known = ["--annotations", annotations, "--subset", "Test"]
    assert detect_run(["--detector", detector, "--features", str(folder / "store.h5"), "--out", out, *known]) == 0
    assert evaluate_run(["--detections", out, *known, "--tiou", "0.3:0.1:0.7", "--json", metrics]) == 0
    told = json.loads(Path(out).read_text())["results"]
    found = {name: flowless.detect(video, detector) for name, video in arrays(folder).items()}
    for name, rows in told.items():
        assert [(*row["segment"], row["label"], row["score"]) for row in rows] == [tuple(row) for row in found[name]]
    expected = json.loads(Path(metrics).read_text())
    test = truth(folder).subset("Test")
    rows = {
        name: [(start, end, test.classes[k]) for (start, end), k in zip(one.segments, one.labels, strict=True)]
        for name, one in test.videos.items()
    }
    mine = {name: found[name] for name in test.videos}
    for scored in (
        flowless.score(out, annotations, subset="Test", tiou="0.3:0.1:0.7"),
        flowless.score(mine, test, tiou=[0.3, 0.4, 0.5, 0.6, 0.7]),
        flowless.score(mine, rows, tiou="0.3:0.1:0.7"),
    ):
        assert scored.average_mAP == pytest.approx(expected["average_mAP"])
        assert scored.mAP == pytest.approx(expected["mAP"]) and scored.tiou == pytest.approx(expected["tiou"])
        assert scored.per_class.keys() == expected["per_class"].keys()
        assert all(ap == pytest.approx(expected["per_class"][name]) for name, ap in scored.per_class.items())
    best = max(action.score for action in found["clip00"])
    assert [a.score for a in flowless.detect(arrays(folder)["clip00"], detector, min_score=best)] == [best]


def test_the_score_of_rows_can_be_worked_out_on_paper() -> None:
    known = {"v": [(0.0, 4.0, "jump"), (6.0, 8.0, "run")], "w": []}
    found = {"v": [(0.0, 4.0, "jump", 0.9), (5.0, 9.0, "run", 0.8)]}
    scored = flowless.score(found, known, tiou=[0.5, 0.75])
    assert {name: ap.tolist() for name, ap in scored.per_class.items()} == {"jump": [1.0, 1.0], "run": [1.0, 0.0]}
    assert scored.mAP.tolist() == [1.0, 0.5] and scored.average_mAP == 0.75


def test_times_of_ones_own_place_the_actions() -> None:
    """A detector of one step to the second: the action of steps 10 to 20 lies where those steps are said to be."""
    generator = np.random.default_rng(0)
    x = {name: generator.normal(0, 0.1, (40, 8)).astype(np.float32) for name in "abcd"}
    for array in x.values():
        array[10:21, 0] += 4
    uneven = np.arange(40) + np.where(np.arange(40) >= 30, 100.0, 0.0)
    videos = {name: flowless.VideoFeatures(a, fps=4, times_s=uneven, duration_s=200) for name, a in x.items()}
    detector = flowless.train(videos, {name: [(10.0, 20.0, "jump")] for name in x}, epochs=60, settings=SMALL)
    later = flowless.VideoFeatures(x["a"], fps=4, times_s=uneven + 50, duration_s=250)
    start_s, end_s, label, _ = flowless.detect(later, detector)[0]
    assert label == "jump" and start_s == pytest.approx(60, abs=2) and end_s == pytest.approx(70, abs=2)


def test_a_timeline_is_a_figure_of_no_window_with_the_truth_behind_all_rows(tmp_path: Path) -> None:
    from matplotlib import pyplot

    detected = [(1.2, 4.1, "jump", 0.9), (6.0, 7.0, "run", 0.1)]
    rows = {"nothing": [], "rgb": detected, "truth": [(1.0, 4.0, "jump")]}
    figure = flowless.plot_timeline(rows, duration_s=10.0, title="v", min_score=0.5)  # type: ignore[arg-type]
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["truth", "nothing", "rgb"]
    assert axes.get_xlim() == (0.0, 10.0) and axes.get_title("left") == "v" and pyplot.get_fignums() == []
    bars = sorted(patch.get_x() for patch in axes.patches if patch.get_width() > 0)
    assert bars == [1.0, 1.0, 1.2], "a bar of the truth and its shade; the detection above 0.5"
    figure.savefig(tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 1000


X = np.zeros((40, 8), np.float32)
WRONG: list[tuple[Callable[[Path], Any], str]] = [
    (lambda _: flowless.VideoFeatures(X[0], fps=25), r"rgb: float32 of shape \(8,\): expected floating-point numbers"),
    (lambda _: flowless.VideoFeatures(X.astype(int), fps=25), "rgb: int64 of shape"),
    (lambda _: flowless.VideoFeatures(X + np.nan, fps=25), "rgb: NaN or infinite at 40 of 40 steps"),
    (lambda _: flowless.VideoFeatures({"rgb": X, "flow": X[1:]}, fps=25), "streams of different lengths"),
    (lambda _: flowless.VideoFeatures({}, fps=25), "no stream"),
    (lambda _: flowless.VideoFeatures(X, fps=0), "fps 0.*expected numbers above 0"),
    (lambda _: flowless.VideoFeatures(X, fps=25, times_s=[1.0, 2.0]), "times_s: 2 times for 40 steps"),
    (lambda _: flowless.VideoFeatures(X, fps=25, times_s=[2.0, 1.0]), "strictly increasing"),
    (lambda f: flowless.read_features(f / "store.h5", "nowhere"), "no video 'nowhere'"),
    (lambda f: flowless.read_features(f / "store.h5", "clip00", "audio"), "no audio"),
    (lambda _: flowless.train({}, {}), "no video"),
    (lambda _: flowless.train({"v": X}, {"v": [(1, 2, "a")]}), "v: expected VideoFeatures"),  # type: ignore[dict-item]
    (
        lambda _: flowless.train(
            {"v": flowless.VideoFeatures(X, fps=25), "w": flowless.VideoFeatures(X[:, :4], fps=25)}, {"v": [], "w": []}
        ),
        "w has rgb of 4 numbers.*but v rgb of 8 numbers",
    ),
    (lambda f: flowless.train(arrays(f), truth(f), method="magic"), "method 'magic'"),
    (lambda f: flowless.train(arrays(f), truth(f), head="magic"), "head 'magic'"),
    (lambda f: flowless.train(arrays(f), truth(f), recipe="magic"), "recipe 'magic'"),
    (lambda f: flowless.train(arrays(f), truth(f), method="direct"), "give it as teacher="),
    (lambda f: flowless.train(arrays(f), truth(f), cues="audio"), "no audio"),
    (lambda f: flowless.train(arrays(f), truth(f), settings={"head.magic": 1}), "magic"),
    (lambda f: flowless.train(arrays(f), {"clip00": [(3, 1, "a")]}), "ends before it starts.*Correct it, or leave it"),
    (lambda f: flowless.train(arrays(f), {"clip00": [(3, 999, "a")]}), "reaches outside the video"),
    (lambda f: flowless.train(arrays(f), {"other": [(1, 3, "a")]}), "other"),
    (lambda f: flowless.detect(flowless.VideoFeatures({"flow": X}, fps=25), f / "run/detector.pt"), "reads rgb; there"),
    (lambda f: flowless.detect(flowless.VideoFeatures(X, fps=25), f / "run/detector.pt"), "8 numbers a step"),
    (lambda f: flowless.detect(arrays(f)["clip00"], f / "nowhere.pt"), "no such file"),
    (lambda _: flowless.score({"v": [(1, 2, "a", 0.5)]}, {"w": [(1, 2, "a")]}), "none of its videos is annotated"),
    (lambda _: flowless.score({}, {"w": [(1, 2, "a")]}, protocol="magic"), "protocol 'magic'"),
    (lambda _: flowless.plot_timeline({}), "expected a row"),
    (lambda _: flowless.plot_timeline({"x": [(1, 2, "a"), (1, 2, "a", 0.5)]}), "x: expected"),
]


@pytest.mark.parametrize(("act", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_cannot_be_is_refused_by_name(act: Callable[[Path], Any], said: str, folder: Path) -> None:
    with pytest.raises(FlowlessError, match=said):
        act(folder)
