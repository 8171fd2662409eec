"""From features of a video to its actions in seconds, by function and by command."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from detect import run
from detect.heads.base import Candidates
from detect.inference import check_store, detect, detect_video
from detect.model.detector import Detector, DetectorConfig, DetectorError
from detect.suppress import Suppression
from detect.windows import resize_steps
from evaluate.files.detections import read_detections
from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, write_part
from features.storage.store import open as open_store

CONFIG = DetectorConfig(
    classes=("jump", "spin"), feature_dims={"rgb": 6}, width=8, head_config={"levels": 3}, feature_ids={"rgb": "a1b2"}
)
GRID = ClipGrid.regular(12, fps=30, window=16, stride=4)  # centres at (4 i + 8) / 30 s


def detector(*rows: tuple[float, float, float, int], **changes: object) -> Detector:
    """A detector whose head decodes the given (start, end, score, label) in grid steps, whatever it sees."""
    torch.manual_seed(0)
    model = Detector(dataclasses.replace(CONFIG, **changes)).eval()  # type: ignore[arg-type]
    if rows:
        table = torch.tensor(rows)
        said = Candidates(table[:, :2], table[:, 2], table[:, 3].long())
        model.head.decode = lambda predictions: [said]  # type: ignore[method-assign]
    return model


def features(steps: int = 12) -> dict[str, np.ndarray]:
    return {"rgb": np.random.default_rng(0).normal(size=(steps, 6)).astype(np.float16)}


def test_grid_steps_become_seconds() -> None:
    """Steps 2 and 5 sit at frames 16 and 28 of 30 per second."""
    found = detect(detector((2, 5, 0.9, 1)), features(), GRID, 10.0)
    assert found.segments.tolist() == [pytest.approx([16 / 30, 28 / 30])]
    assert found.labels.tolist() == [1] and found.scores.tolist() == pytest.approx([0.9])


def test_detections_end_with_the_video() -> None:
    found = detect(detector((-9, 99, 0.9, 0), (50, 60, 0.8, 0)), features(), GRID, 1.5)
    assert found.segments.tolist() == [[0.0, 1.5]], "the second lies outside the video altogether"


def test_repetitions_are_suppressed_and_the_best_kept() -> None:
    rows = ((2, 6, 0.9, 0), (2, 6, 0.8, 0), (2, 6, 0.7, 1))
    found = detect(detector(*rows), features(), GRID, 10.0)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.8 * np.exp(-2)], abs=1e-5)
    limited = detect(detector(*rows, suppression=Suppression(max_per_video=1)), features(), GRID, 10.0)
    assert limited.scores.tolist() == pytest.approx([0.9])


def test_a_head_that_does_not_repeat_itself_is_not_suppressed() -> None:
    model = detector((2, 6, 0.9, 0), (2, 6, 0.8, 0))
    model.head.suppression = Suppression(kind="none")  # type: ignore[misc]
    assert detect(model, features(), GRID, 10.0).scores.tolist() == pytest.approx([0.9, 0.8])


def test_a_resized_video_keeps_its_time() -> None:
    """48 steps for 12: four new steps fill the share of an old one, and step 1.5 sits where step 0 did."""
    found = detect(detector((1.5, 5.5, 0.9, 0), head_config={"levels": 3, "resize": 48}), features(), GRID, 10.0)
    assert found.segments.tolist() == [pytest.approx([8 / 30, 12 / 30])]
    assert resize_steps(np.array([[0.0], [1.0]]), 4)[:, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1])


def test_detecting_in_the_middle_of_training_drops_nothing_out() -> None:
    model = detector(dropout=0.5).train()
    first, second = (detect(model, features(), GRID, 10.0) for _ in range(2))
    assert model.training and np.array_equal(first.scores, second.scores)
    assert not torch.is_inference_mode_enabled()


def test_features_and_grid_must_fit() -> None:
    with pytest.raises(DetectorError, match=r"features of \{'rgb': 11\} steps on a grid of 12"):
        detect(detector(), features(11), GRID, 10.0)


def test_a_video_is_detected_whole_whatever_its_length() -> None:
    for steps in (1, 5, 300):
        grid = ClipGrid.regular(steps, 30, 16, 4)
        found = detect(detector(), features(steps), grid, 60.0)
        assert np.isfinite(found.segments).all() and (found.segments[:, 1] > found.segments[:, 0]).all()
        assert (np.diff(found.scores) <= 0).all()


# ---- stores and the command


def make_store(folder: Path, feature_id: str = "a1b2", videos: tuple[str, ...] = ("v1", "v2")) -> Path:
    store = folder / "demo.h5"
    for video in videos:
        attributes = {
            "fingerprint": f"{video}-{feature_id}",
            "feature_id": feature_id,
            "window": 16,
            "stride": 4,
            "fps": 30.0,
            "duration_s": 2.1,
            "num_frames": 63,
        }
        arrays = {"features": features()["rgb"], "t_center": GRID.t_center}
        write_part(store, Part(video, "rgb", arrays, attributes))
    return build_index(store)


def test_detecting_from_a_store_tells_what_it_cost(tmp_path: Path) -> None:
    store = open_store(make_store(tmp_path))
    model = detector((2, 5, 0.9, 1))
    check_store(model, store, ["v1"])
    found, seconds = detect_video(model, store, "v1")
    assert found.segments.tolist() == [pytest.approx([16 / 30, 28 / 30])]
    assert set(seconds) == {"read", "detector"} and all(value >= 0 for value in seconds.values())


def command(tmp_path: Path, *more: str) -> int:
    return run.main(
        [
            *("--detector", str(tmp_path / "detector.pt"), "--features", str(tmp_path / "demo.h5")),
            *("--out", str(tmp_path / "found.json"), "--device", "cpu", *more),
        ]
    )


def test_the_command_writes_detections_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    assert command(tmp_path) == 0
    found = read_detections(tmp_path / "found.json")
    assert found.videos == ("v1", "v2") and set(found.labels) <= {"jump", "spin"} and len(found) > 0
    assert json.loads((tmp_path / "found.json").read_text())["note"]["cues"] == ["rgb"]
    report = json.loads((tmp_path / "found.report.json").read_text())
    assert report["command"] == "detect.run" and report["counts"]["done"] == 2
    record = report["videos"]["v1"]
    assert record["duration_s"] == 2.1 and record["frames"] == 63 and set(record["seconds"]) == {"read", "detector"}
    assert "2 videos" in capsys.readouterr().err


def test_the_command_repeats_itself_exactly(tmp_path: Path) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    command(tmp_path)
    first = (tmp_path / "found.json").read_bytes()
    command(tmp_path)
    assert (tmp_path / "found.json").read_bytes() == first


def annotate(tmp_path: Path) -> str:
    segment = {"segment": [0.5, 1.0], "label": "jump"}
    database = {
        video: {"subset": subset, "duration": 2.1, "fps": 30.0, "annotations": [segment]}
        for video, subset in (("v1", "Training"), ("v2", "Test"), ("v3", "Validation"))
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    return str(tmp_path / "annotations.json")


def test_a_subset_is_detected_alone(tmp_path: Path) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    assert command(tmp_path, "--annotations", annotate(tmp_path), "--subset", "test") == 0
    assert read_detections(tmp_path / "found.json").videos == ("v2",)


def test_videos_without_features_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    assert command(tmp_path, "--annotations", annotate(tmp_path), "--subset", "Validation") == 2
    assert "StoreError" in (said := capsys.readouterr().err) and "v3" in said
    assert not (tmp_path / "found.json").exists()


def test_features_of_another_making_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path, feature_id="ffff")
    detector().save(tmp_path / "detector.pt")
    assert command(tmp_path) == 2
    assert "DetectorError" in (said := capsys.readouterr().err) and "ffff" in said and "a1b2" in said


def test_one_bad_video_costs_that_video_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    (tmp_path / "demo.parts" / "rgb" / "v1.h5").write_bytes(b"no longer HDF5")
    assert command(tmp_path) == 3
    assert read_detections(tmp_path / "found.json").videos == ("v2",)
    assert "not detected: v1" in capsys.readouterr().err
    assert json.loads((tmp_path / "found.report.json").read_text())["failures"][0]["video"] == "v1"


def test_a_directory_of_npy_files_is_detected_too(tmp_path: Path) -> None:
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "v2.npy", features()["rgb"])
    detector(feature_ids={}).save(tmp_path / "detector.pt")
    out = ("--out", str(tmp_path / "found.json"), "--device", "cpu", "--annotations", annotate(tmp_path))
    given = ("--detector", str(tmp_path / "detector.pt"), "--features", str(tmp_path / "npy"))
    assert run.main([*given, *out, "--subset", "Test"]) == 0
    assert read_detections(tmp_path / "found.json").videos == ("v2",)


def test_npy_files_without_a_frame_rate_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "v2.npy", features()["rgb"])
    detector(feature_ids={}).save(tmp_path / "detector.pt")
    given = ("--detector", str(tmp_path / "detector.pt"), "--features", str(tmp_path / "npy"))
    assert run.main([*given, "--out", str(tmp_path / "found.json"), "--device", "cpu"]) == 2
    assert "StoreError" in (said := capsys.readouterr().err) and "fps" in said
    assert not (tmp_path / "found.json").exists()


def test_a_detector_of_another_version_is_refused(tmp_path: Path) -> None:
    config = json.loads(CONFIG.to_json()) | {"colour": "blue"}
    torch.save({"schema": "flowless-detector/1", "config": json.dumps(config), "state": {}}, tmp_path / "detector.pt")
    with pytest.raises(DetectorError, match=r"detector\.pt: made by another version of flowless, or damaged: .*colour"):
        Detector.load(tmp_path / "detector.pt")


def test_a_folder_in_place_of_the_detections_is_told_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(tmp_path)
    detector().save(tmp_path / "detector.pt")
    (tmp_path / "found.json").mkdir()
    assert command(tmp_path) == 2
    assert "found.json: this is a folder; name a file" in capsys.readouterr().err
    assert not list((tmp_path / "found.json").iterdir()) and not (tmp_path / "found.report.json").exists()
