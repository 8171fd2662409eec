"""Extraction killed over and over at random moments, then repeated: the bytes of a run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from command.writing import temporary_files

ROOT = Path(__file__).resolve().parents[2]
KILLS = 22
VIDEOS = 12


def write_videos(folder: Path) -> Path:
    folder.mkdir()
    for number in range(VIDEOS):
        noise = np.random.default_rng(number).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        with av.open(str(folder / f"v{number}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
            for index in range(60 + 20 * number):
                shifted = np.ascontiguousarray(np.roll(noise, 2 * index, axis=1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
            container.mux(stream.encode(None))
    return folder


def start(videos: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "extract.rgb", "--videos", str(videos), "--features", str(store)]
    return subprocess.Popen(
        [*command, "--backbone", "nano", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=videos.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def contents(store: Path) -> dict[str, bytes]:
    """Index and parts; reports hold timings and stand aside."""
    files = [store, *store.with_suffix(".parts").rglob("*")]
    return {str(path.relative_to(store.parent)): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.slow  # each of the runs imports torch anew
def test_after_many_kills_a_repeated_extraction_gives_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos")
    calm = start(videos, tmp_path / "calm" / "demo.h5")
    began = time.monotonic()
    said, _ = calm.communicate()
    assert calm.returncode == 0, said
    whole_s = time.monotonic() - began
    store = tmp_path / "chaos" / "demo.h5"
    dice = random.Random(22)
    killed = 0
    while killed < KILLS:
        process = start(videos, store, *(["--workers", "2"] if killed % 2 else []))
        time.sleep(dice.uniform(0.0, whole_s))  # while it starts, plans, computes, commits or writes the index
        if process.poll() is None:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if len(list(store.with_suffix(".parts").rglob("*.h5"))) == VIDEOS and dice.random() < 0.5:
            for part in dice.sample(sorted(store.with_suffix(".parts").rglob("*.h5")), VIDEOS // 2):
                part.unlink()  # so that there is always something left to be killed at
    last = start(videos, store)
    said, _ = last.communicate()
    assert last.returncode == 0, said
    assert contents(store) == contents(tmp_path / "calm" / "demo.h5")
    assert temporary_files(tmp_path / "chaos") == []
