"""A table of videos before days are spent: what it says of sound, damaged and odd ones."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_videos import write_video

from flowless.probe import main


def test_the_table_tells_frames_rate_size_and_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "videos" / "one.mp4", 2.0, fps=10)
    out = tmp_path / "probe.json"
    assert main(["--videos", str(tmp_path / "videos"), "--json", str(out), "--decode"]) == 0
    one = json.loads(out.read_text())["videos"]["one"]
    assert (one["frames"], one["fps"], one["duration_s"], one["width"], one["height"]) == (20, 10.0, 2.0, 64, 48)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("one"))
    assert line.split()[1:5] == ["20", "10.000", "2.00", "64x48"]


def test_unreadable_and_cut_videos_are_told_and_give_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write_video(tmp_path / "videos" / "one.avi", 8.0)
    data = whole.read_bytes()
    (tmp_path / "videos" / "cut.avi").write_bytes(data[: len(data) // 2])
    (tmp_path / "videos" / "none.mp4").write_bytes(b"")
    assert main(["--videos", str(tmp_path / "videos")]) == 3
    said = capsys.readouterr()
    assert "the file is empty (0 bytes). Fetch it again" in said.err
    assert "cut.avi: cut short: the file promises 80 frames" in said.err and "--min-decoded" in said.err
    assert "DAMAGED" in said.out and "UNREADABLE" in said.out


def test_rates_unlike_most_and_copies_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", 2.0, fps=10)
    write_video(tmp_path / "videos" / "fast.mp4", 2.0, fps=25)
    assert main(["--videos", str(tmp_path / "videos"), "--brief"]) == 0
    said = capsys.readouterr().err
    assert "most videos have 10 fps, 1 (fast) have others; --fps 10" in said
    assert "2 (a, b) have the bytes" in said


def test_a_folder_of_pictures_is_as_large_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "one"
    folder.mkdir(parents=True)
    for i in range(3):
        assert cv2.imwrite(str(folder / f"img_{i:05d}.png"), np.full((48, 64, 3), 40 * i, np.uint8))
    out = tmp_path / "probe.json"
    assert main(["--videos", str(folder), "--fps", "10", "--json", str(out)]) == 0
    one = json.loads(out.read_text())["videos"]["one"]
    assert one["size"] == sum(file.stat().st_size for file in folder.iterdir())
    assert (one["frames"], one["width"], one["height"]) == (3, 64, 48)


def test_no_video_at_all_could_not_begin(tmp_path: Path) -> None:
    assert main(["--videos", str(tmp_path)]) == 2
    video = write_video(tmp_path / "one.mp4")
    assert main(["--videos", str(tmp_path), "--json", str(video)]) == 2
