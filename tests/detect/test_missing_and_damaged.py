"""detect.run where something is not as it should be: the video pays, or the command says what to do."""

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from test_inference import annotate, command, detector, features, make_store

from detect import run
from detect.deployed import workers
from detect.model.detector import Detector, DetectorError
from evaluate.files.detections import read_detections
from features.storage.store import open as open_store
from features.storage.store import part_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of v1 and v2, annotations of v1 (Training), v2 (Test) and v3 (Validation), and a detector."""
    make_store(tmp_path)
    annotate(tmp_path)
    detector().save(tmp_path / "detector.pt")
    return tmp_path


def test_videos_without_features_may_be_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "--videos", "v1", "lost", "gone", "v2", "--missing", "skip") == 0
    assert read_detections(folder / "found.json").videos == ("v1", "v2")
    assert "2 of 4 videos have no features (rgb) and are left out: lost, gone" in capsys.readouterr().err
    assert (folder / "found.missing.txt").read_text() == "lost\ngone\n"
    [note] = read_detections(folder / "found.json").notes
    assert "2 videos had no features and never reached the detector (--missing skip): gone, lost;" in note


def test_refusing_says_all_names_and_the_way_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = [f"lost{n:02d}" for n in range(30)]
    assert command(folder, "--videos", "v1", *lost) == 2
    said = capsys.readouterr().err
    assert "lost00: no rgb" in said and "To go on without these videos: --missing skip" in said
    assert (folder / "found.missing.txt").read_text().split() == lost
    assert not (folder / "found.json").exists()


def test_where_every_video_is_missing_skipping_is_no_way_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "--videos", "v8", "v9", "--missing", "skip") == 2
    assert "--missing skip" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
def test_a_damaged_part_costs_its_video(folder: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    part = part_path(folder / "demo.h5", "v1", "rgb")
    content = part.read_bytes()
    if damage == "gone":
        part.unlink()
    elif damage == "cut":
        part.write_bytes(content[: len(content) // 2])
    else:
        part.write_bytes(bytes(len(content)))
    assert command(folder) == 3
    assert read_detections(folder / "found.json").videos == ("v2",)
    assert "not detected: v1" in capsys.readouterr().err


def test_no_altered_byte_of_a_part_ends_in_a_traceback(folder: Path) -> None:
    part = part_path(folder / "demo.h5", "v1", "rgb")
    content = part.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(content), 25):
        altered = bytearray(content)
        altered[place] ^= int(generator.integers(1, 256))
        part.write_bytes(bytes(altered))
        assert command(folder) in (0, 3)


def test_a_full_disk_is_74_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # no file may grow beyond 100 bytes
    try:
        code = command(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 74 and "File too large" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_an_interruption(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(workers, "detect_several", lambda *given: os.kill(os.getpid(), number))
    assert command(folder) == 75
    assert "interrupted; nothing is half-written" in capsys.readouterr().err
    assert not (folder / "found.json").exists() and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("name", ["annotations.json", "detector.pt", "demo.h5"])
def test_nothing_that_is_read_is_written_over(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    before = (folder / name).read_bytes()
    with pytest.raises(SystemExit) as stopped:
        command(folder, "--annotations", str(folder / "annotations.json"), "--out", str(folder / name))
    assert stopped.value.code == 2 and "would write over" in capsys.readouterr().err
    assert (folder / name).read_bytes() == before


# ---- directories of .npy files


def npy(folder: Path, window: int, stride: int, **changes: object) -> list[str]:
    """v2.npy, and a detector that was trained on such files with this window and stride."""
    import features as store_of

    (folder / "npy").mkdir(exist_ok=True)
    np.save(folder / "npy/v2.npy", features()["rgb"])
    made = store_of.open(folder / "npy", window=window, stride=stride).feature_id("rgb")
    detector((2, 5, 0.9, 1), feature_ids={"rgb": made}, window=window, stride=stride, **changes).save(folder / "npy.pt")
    where = ["--detector", str(folder / "npy.pt"), "--features", str(folder / "npy")]
    return [*where, "--out", str(folder / "found.json"), "--device", "cpu"]


def test_npy_files_are_opened_with_the_clips_of_training(folder: Path) -> None:
    assert run.main([*npy(folder, 5, 1), "--fps", "5"]) == 0
    store = run.open_store(folder / "npy", fps=5.0, window=5, stride=1)
    assert store.grid("v2").to_seconds(2.0) == pytest.approx((2 * 1 + 2.5) / 5)
    assert read_detections(folder / "found.json").videos == ("v2",)


def test_a_frame_rate_that_nobody_tells_is_that_of_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(npy(folder, 5, 1, steps_per_s=5.0)) == 0
    assert "taken for that of training, 5 per second (--fps says another)" in capsys.readouterr().err


def test_npy_files_of_another_kind_are_not_to_be_extracted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = npy(folder, 5, 1)
    np.save(folder / "npy/v2.npy", np.zeros((12, 9), np.float32))
    assert run.main([*arguments, "--fps", "5"]) == 2
    said = capsys.readouterr().err
    assert "6 columns of rgb" in said and "Extract them" not in said


# ---- the file of the detector


def test_an_altered_detector_is_refused_or_the_same(tmp_path: Path) -> None:
    """A byte that is no part of the content, such as padding, may change; anything that is used may not."""
    path = tmp_path / "detector.pt"
    detector().save(path)
    content, known = path.read_bytes(), Detector.load(path)
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.integers(0, len(content), 250):
        altered = bytearray(content)
        altered[place] ^= int(generator.integers(1, 256))
        path.write_bytes(bytes(altered))
        try:
            found = Detector.load(path)
        except DetectorError as error:
            refused += 1
            assert "\n" not in str(error) and "detector.pt" in str(error)
            continue
        assert found.config == known.config
        state = found.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in known.state_dict().items())
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", bytes(1000), b"{}"])
def test_what_is_no_detector_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "detector.pt").write_bytes(content)
    with pytest.raises(DetectorError, match=r"detector\.pt: not a detector file") as refused:
        Detector.load(tmp_path / "detector.pt")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 3}, {"classes": [1, [2]]}, {"width": "wide"}, {"width": -4}, {"width": 2**40}, {"head": None},
        {"head_config": [1]}, {"head_config": {"heads": 0}}, {"fusion": None}, {"suppression": {"kind": 7}},
        {"feature_dims": {"rgb": 10**30}}, {"branches": 5}, {"resize": "x"}, {"head_config": {"resize": 0}},
    ],
)  # fmt: skip
def test_settings_that_no_detector_has_are_refused_in_one_line(tmp_path: Path, changes: dict) -> None:
    """As a stranger's file may hold them, digest and all."""
    import json

    from detect.model.detector import SCHEMA
    from detect.model.sealed import write_sealed

    model = detector()
    config = json.dumps(json.loads(model.config.to_json()) | changes)
    write_sealed(tmp_path / "x.pt", {"schema": SCHEMA, "config": config, "state": dict(model.state_dict())})
    with pytest.raises(DetectorError, match=r"x\.pt: made by another version of flowless, or damaged") as refused:
        Detector.load(tmp_path / "x.pt")
    assert "\n" not in str(refused.value)


def test_altered_features_are_refused_unless_told_not_to_look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = next(folder.glob("*.h5"))
    part = part_path(store, "v1", "rgb")
    whole = part.read_bytes()
    raw = open_store(store).read("v1", "rgb").tobytes()
    place = whole.index(raw[:64])  # contiguous: the array lies in the file as it is in memory
    part.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert command(folder, "--videos", "v1", "v2") == 3
    assert "v1" in capsys.readouterr().err
    assert command(folder, "--videos", "v1", "v2", "--no-verify") == 0
