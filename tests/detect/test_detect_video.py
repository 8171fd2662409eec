"""A video in, detections out: the same as by way of a store, refused where they would not be, whole files or none."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drifting import SMALL, make_detector, make_store, write_video
from matplotlib import image

import features
from detect import shown
from detect.heads.base import Candidates
from detect.inference import detect_video
from detect.model.detector import Detector, DetectorError
from detect.shown import Action, write_shown
from detect.video import detect_actions
from evaluate.files.detections import read_detections
from extract import rgb
from extract.backbones import build_backbone
from extract.backbones.checkpoints import write_state
from extract.burn import burn_labels
from extract.pipeline.new_videos import Embedder
from extract.pipeline.settings import SettingsError
from features.running.stopwatch import Stopwatch
from flow.decode.video import VideoError, probe, read_frames
from flowless.deployment import video as command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("world"))


@pytest.fixture
def detector_file(store: Path, tmp_path: Path) -> Path:
    return make_detector(store, tmp_path / "detector.pt")


@pytest.mark.parametrize("head", SMALL)
def test_a_file_gives_what_its_stored_features_give(store: Path, tmp_path: Path, head: str) -> None:
    detector = Detector.load(make_detector(store, tmp_path / "detector.pt", head))
    for name in ("a", "b/c"):
        actions = detect_actions(store.parent / "videos" / f"{name}.mp4", detector, device="cpu")
        stored, _ = detect_video(detector, features.open(store), name)
        assert len(actions) == len(stored.scores) > 0
        np.testing.assert_allclose([action[:2] for action in actions], stored.segments, atol=1e-5)
        np.testing.assert_allclose([action.score for action in actions], stored.scores, atol=1e-6)
        assert [detector.config.classes.index(action.label) for action in actions] == stored.labels.tolist()


def test_actions_below_the_score_asked_for_are_left_out(store: Path, detector_file: Path) -> None:
    every = detect_actions(store.parent / "videos" / "a.mp4", detector_file)
    middle = every[len(every) // 2].score
    some = detect_actions(store.parent / "videos" / "a.mp4", detector_file, min_score=middle)
    assert some == [action for action in every if action.score >= middle] and 0 < len(some) < len(every)


def test_the_command_writes_json_tables_timelines_and_a_report(
    store: Path, detector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--detector", str(detector_file), "--out", str(out), "--min-score", "0.0", "--device", "cpu"]
    assert command.main([*arguments, str(store.parent / "videos")]) == 0
    read = read_detections(out / "detections.json")
    assert read.videos == ("a", "b/c") and len(read) > 0
    for name in read.videos:
        with (out / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        starts = [float(row["start_s"]) for row in rows]
        assert starts == sorted(starts) and {row["label"] for row in rows} <= {"jump", "spin"}
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.json").exists() and not list(out.rglob("*.part"))
    told = capsys.readouterr()
    assert "a: " in told.out and f"open {(out / 'index.html').as_uri()} in a browser" in told.err


def blocks(page: Path) -> dict[str, Any]:
    """The data that a page to watch holds, by name."""
    found = re.findall(r'<script type="application/json" id="(.+?)">(.*?)</script>', page.read_text())
    return {name: json.loads(content) for name, content in found}


def test_the_page_holds_every_detection_and_the_truth_and_links_the_videos(
    store: Path, detector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(store.parent / "videos", videos)
    truth = {"annotations": [{"label": "spin", "segment": [1.0, 2.5]}], "subset": "Test", "duration": 6.0}
    (tmp_path / "truth.json").write_text(json.dumps({"database": {"v_c": truth}}))  # b/c, under another name
    arguments = ["--detector", str(detector_file), "--out", str(tmp_path / "out"), "--min-score", "0.25"]
    assert command.main([*arguments, str(videos), "--annotations", str(tmp_path / "truth.json")]) == 0
    assert "1 of 2 videos are not in" in capsys.readouterr().err
    page, read = blocks(tmp_path / "out" / "index.html"), read_detections(tmp_path / "out" / "detections.json")
    assert page["about"]["videos"] == list(read.videos) and page["about"]["least"] == 0.25
    for i, file in enumerate(("../videos/a.mp4", "../videos/b/c.mp4")):
        film, mine = page[f"film-{i}"], np.flatnonzero(read.video == i)
        assert film["sources"] == [file] and (tmp_path / "out" / file).exists()
        detected = film["tracks"][-1]
        np.testing.assert_array_equal(np.c_[detected["start_s"], detected["end_s"]], read.segments[mine])
        np.testing.assert_array_equal(detected["score"], read.scores[mine])
        names = [page["about"]["classes"][film["classes"][k]] for k in detected["label"]]
        assert names == [read.labels[k] for k in read.label[mine]]
    assert [track["name"] for track in page["film-0"]["tracks"]] == ["detected"]
    assert page["film-1"]["tracks"][0] | {"label": 0} == {
        **{"name": "truth", "truth": True, "start_s": [1.0], "end_s": [2.5], "label": 0},
    }
    assert not list((tmp_path / "out").rglob("*.mp4"))  # linked, not copied


def test_the_page_plays_the_labelled_copy_where_the_video_is_no_file_for_a_browser(
    store: Path, detector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(read_frames(store.parent / "videos" / "a.mp4", stop=20)):
        image.imsave(frames / f"{number}.png", frame.rgb)
    arguments = ["--detector", str(detector_file), "--out", str(tmp_path / "out"), str(frames), "--fps", "20"]
    assert command.main(arguments) == 0
    film = blocks(tmp_path / "out" / "index.html")["film-0"]
    assert film["sources"] == [] and "--burn" in film["remedy"]
    assert "browsers do not play 1 of 1 videos (png in a folder): with --burn" in capsys.readouterr().err
    assert command.main([*arguments, "--burn"]) == 0
    assert blocks(tmp_path / "out" / "index.html")["film-0"]["sources"] == ["frames.mp4"]
    assert "browsers do not play" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "codec", "played"),
    [
        *[("a.mp4", "h264", True), ("a.webm", "libvpx-vp9", True), ("a.MP4", "libdav1d", True), ("a.mp4", "", True)],
        *[("a.mp4", "mpeg4", False), ("a.avi", "h264", False), ("a.mp4", "hevc", False), ("frames", "png", False)],
    ],
)
def test_which_videos_browsers_play(name: str, codec: str, played: bool) -> None:
    assert shown.browsers_play(Path(name), codec) == played


def test_a_page_of_very_many_videos_is_not_written_anew_after_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, written = shown.Page(tmp_path, 0.3), []
    monkeypatch.setattr(shown, "write_text", lambda path, text: written.append(text.count('id="film-')))
    for i in range(400):
        page.add(f"v{i}", tmp_path / f"v{i}.mp4", [], 1.0, None)
        page.write(due=True)
    page.finish()
    assert written[:100] == list(range(1, 101)) and written[-1] == 400 and len(written) < 140


def test_one_bad_video_costs_itself(store: Path, detector_file: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    write_video(tmp_path / "videos" / "good.mp4", num_frames=40)
    out = tmp_path / "out"
    assert command.main(["--detector", str(detector_file), "--out", str(out), str(tmp_path / "videos")]) == 3
    assert read_detections(out / "detections.json").videos == ("good",)
    with pytest.raises(VideoError, match=r"bad\.mp4: this is not a video that can be opened"):
        detect_actions(tmp_path / "videos" / "bad.mp4", detector_file)


def changed(detector_file: Path, **changes: object) -> Detector:
    detector = Detector.load(detector_file)
    for name, value in changes.items():
        object.__setattr__(detector.config, name, value)
    return detector


def test_a_detector_of_other_features_is_refused(store: Path, detector_file: Path) -> None:
    path = store.parent / "videos" / "a.mp4"
    other = changed(detector_file, feature_ids={"rgb": "nano-rgb-0123456789abcdef"})
    with pytest.raises(DetectorError, match=r"made of features nano-rgb-0123456789abcdef; .*nano_rgb\.pt would"):
        detect_actions(path, other)
    with pytest.raises(DetectorError, match=r"made of features nano-rgb-\w+; .*nano_rgb\.pt would give nano-rgb"):
        detect_actions(path, changed(detector_file, stride=8))
    with pytest.raises(DetectorError, match="does not say which features"):
        detect_actions(path, changed(detector_file, feature_ids={}))
    with pytest.raises(DetectorError, match=r"were not made by extract\.rgb"):
        detect_actions(path, changed(detector_file, feature_ids={"rgb": "npy"}))


def test_a_detector_that_watches_motion_is_refused(store: Path, detector_file: Path) -> None:
    with pytest.raises(DetectorError, match=r"reads rgb and flow; detect\.video detects from RGB alone"):
        detect_actions(store.parent / "videos" / "a.mp4", changed(detector_file, branches=("rgb", "flow")))


def test_two_networks_see_the_frames_of_one_decoding(store: Path, tmp_path: Path) -> None:
    """A detector of rgb and rgb_motion gives the same from a video as from the store; no file need be told apart."""
    videos, motion = store.parent / "videos", tmp_path / "motion.pt"
    student = build_backbone("nano", "rgb")
    with torch.no_grad():
        next(student.parameters()).mul_(1.5)
    write_state(motion, student.state_dict(), "{}")
    two = tmp_path / "two.h5"
    for stream in ([], ["--stream", "rgb_motion", "--weights", str(motion)]):
        assert rgb.main(["--videos", str(videos), "--features", str(two), "--backbone", "nano", *stream]) == 0
    opened = features.open(two)
    ids = {stream: opened.feature_id(stream) for stream in ("rgb", "rgb_motion")}
    assert ids["rgb"] != ids["rgb_motion"]
    embedder = Embedder(ids, 16, 4, [motion])
    made = embedder(videos / "a.mp4", Stopwatch())
    for stream in ids:
        np.testing.assert_array_equal(made.features[stream], opened.read("a", stream))
    with pytest.raises(SettingsError, match=r"its stream rgb_motion was made of features .*Give the very file"):
        Embedder(ids, 16, 4)


def test_the_command_says_it_in_one_line(
    store: Path, detector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path / "out"), str(store.parent / "videos")]
    assert command.main(["--detector", str(tmp_path / "gone.pt"), *arguments]) == 2
    assert "DetectorError: " in capsys.readouterr().err
    gone = ["--weights", str(tmp_path / "gone.pt")]
    assert command.main(["--detector", str(detector_file), *gone, *arguments]) == 2
    assert "WeightsError: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_what_is_finished_and_nothing_half_written(
    store: Path, detector_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_one = command.detect_file

    def interrupted(path: Path, *rest: object) -> object:
        if path.name == "c.mp4":
            raise KeyboardInterrupt
        return detect_one(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "detect_file", interrupted)
    out = tmp_path / "out"
    assert command.main(["--detector", str(detector_file), "--out", str(out), str(store.parent / "videos")]) == 75
    assert read_detections(out / "detections.json").videos == ("a",)
    written = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert written == ["a.csv", "a.png", "detections.json", "index.html"]


def test_labels_are_burnt_in_while_they_last(tmp_path: Path) -> None:
    source = write_video(tmp_path / "v.mp4", num_frames=60)
    labels = [(1.0, 2.0, "jump", 0.9)]
    burn_labels(source, tmp_path / "burnt.mp4", labels, ["jump", "spin"], duration_s=3.0)
    assert probe(tmp_path / "burnt.mp4").num_frames == 60
    before, after = (list(read_frames(path)) for path in (source, tmp_path / "burnt.mp4"))
    np.testing.assert_allclose([f.time_s for f in after], [f.time_s for f in before], atol=1e-3)
    changes = [
        float(np.abs(b.rgb[:6, :20].astype(int) - a.rgb[:6, :20]).mean()) for a, b in zip(before, after, strict=True)
    ]
    inside = [20 <= index < 40 for index in range(60)]
    assert min(c for c, lasts in zip(changes, inside, strict=True) if lasts) > 30
    assert max(c for c, lasts in zip(changes, inside, strict=True) if not lasts) < 15
    bar = after[0].rgb[-1].astype(int)  # along the lower edge: the label covers the middle third
    assert np.abs(bar[40] - (0, 114, 178)).max() < 60


def test_a_burnt_copy_of_a_broken_video_is_not_left_behind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", num_frames=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with pytest.raises(VideoError, match="decoding stopped"):
        burn_labels(path, tmp_path / "burnt.mp4", [], [], 5.0)
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


def test_a_table_holds_seconds_labels_and_scores(tmp_path: Path) -> None:
    write_shown(tmp_path, "x/v", [Action(2.0, 3.5, "spin", 0.5), Action(1.0, 2.25, "jump", 0.25)], 10.0, 0.2)
    assert (tmp_path / "x" / "v.csv").read_text() == (
        "start_s,end_s,label,score\n1.000,2.250,jump,0.2500\n2.000,3.500,spin,0.5000\n"
    )
    write_shown(tmp_path, "nothing", [], 10.0, 0.2)
    assert (tmp_path / "nothing.png").exists()


def test_detecting_from_video_loads_no_code_of_optical_flow() -> None:
    program = "import sys, json, detect.video as v; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {module for module in json.loads(done.stdout) if module.split(".")[0] in ("flow", "numba")}
    pages = ("video", "listing", "rate", "decoder", "pictures", "geometry")
    assert loaded <= {"flow", "flow.decode", *(f"flow.decode.{page}" for page in pages)}


def test_a_real_video_becomes_actions(shared_data: Path, detector_file: Path) -> None:
    """Head and classes are made up; the way from a real file to seconds is not."""
    detector = Detector.load(detector_file)
    said = Candidates(torch.tensor([[10.0, 20.0]]), torch.tensor([0.9]), torch.tensor([1]))
    detector.head.decode = lambda predictions: [said]  # type: ignore[method-assign]
    (action,) = detect_actions(shared_data / "videos" / "v_GGSY1Qvo990.mp4", detector)
    assert action.label == "spin"
    assert (action.start_s, action.end_s) == pytest.approx(((10 * 4 + 8) / 19.62, (20 * 4 + 8) / 19.62))
