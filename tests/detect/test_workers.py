"""detect.run by several processes: the answers of one, in its order."""

import json
from pathlib import Path

import pytest
from test_inference import annotate, command, detector, make_store

from evaluate.files.detections import read_detections
from features.storage.store import part_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_store(tmp_path)
    annotate(tmp_path)
    detector().save(tmp_path / "detector.pt")
    return tmp_path


def test_two_workers_find_what_one_finds_and_a_bad_video_costs_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(folder, "--videos", "v2", "v1") == 0
    alone = json.loads((folder / "found.json").read_text())
    assert command(folder, "--videos", "v2", "v1", "--workers", "2") == 0
    assert json.loads((folder / "found.json").read_text()) == alone and list(alone["results"]) == ["v2", "v1"]
    part = part_path(folder / "demo.h5", "v1", "rgb")
    part.write_bytes(part.read_bytes()[:-100])
    capsys.readouterr()
    assert command(folder, "--videos", "v2", "v1", "--workers", "2") == 3
    assert read_detections(folder / "found.json").videos == ("v2",)
    assert "not detected: v1: " in capsys.readouterr().err


def test_no_worker_is_no_number_of_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(folder, "--workers", "0")
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err
