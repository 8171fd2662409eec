"""What a run costs before and after its work: planning three thousand videos, an index of ten thousand parts.

    python tests/bench/bench_planning.py

One JSON line for each of: planning extract.rgb on 3,000 small videos for the first time and again, with nothing to do
(whole command, torch's import included); the index of 10,000 parts from nothing, unchanged, and opened. Bars: 3 s to
repeat, 15 s for the index, 1 s to open.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

import features
from command import writing
from extract.pipeline.settings import ClipSettings
from features.files.layout import cache_folder
from features.storage.index import build_index
from features.storage.store import Part, fingerprint, write_part
from flow.decode.video import sha256

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = 3_000
PARTS = 10_000
LONG_AGO = 10**18  # ns


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def write_videos(folder: Path) -> None:
    """One tiny video under three thousand names, each its own file and each with its own hash."""
    folder.mkdir()
    with av.open(str(folder / "v0000.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(40):
            picture = np.full((64, 96, 3), index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    for number in range(1, VIDEOS):
        copy = folder / f"v{number:04d}.mp4"
        shutil.copyfile(folder / "v0000.mp4", copy)
        with copy.open("ab") as file:
            file.write(b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))  # a box that players pass over
    for video in folder.iterdir():
        os.utime(video, ns=(LONG_AGO, LONG_AGO))


def write_parts(store: Path, names: list[str], made: Callable[[str], str]) -> None:
    writing._sync = lambda path: None  # thousands of waits for the disk, and not what is measured here
    arrays = {"features": np.ones((8, 16), np.float16), "t_center": np.arange(8.0)}
    for name in names:
        attributes = {"fingerprint": made(name), "feature_id": "x", "fps": 25.0, "stride": 4, "window": 16}
        write_part(store, Part(name, "rgb", arrays, attributes))


def extract(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "extract.rgb", "--videos", str(folder / "videos")]
    done = subprocess.run(
        [*command, "--features", str(folder / "f.h5"), "--backbone", "nano", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def planning(folder: Path) -> dict[str, float]:
    from extract.pipeline.plan import build_backbone, weights_sha256

    write_videos(folder / "videos")
    settings = ClipSettings(
        "rgb", backbone="nano", weights_sha256=weights_sha256(build_backbone("nano", "rgb", None), None)
    )
    names = [f"v{number:04d}" for number in range(VIDEOS)]
    write_parts(folder / "f.h5", names, lambda name: settings.fingerprint(sha256(folder / "videos" / f"{name}.mp4")))
    first = timed(lambda: extract(folder))
    again = min(timed(lambda: extract(folder)) for _ in range(3))
    said = extract(folder)
    assert f"0 done, {VIDEOS} skipped, 0 failed" in said, said
    start = min(timed(lambda: subprocess.run([sys.executable, "-c", "import torch, cv2, av, h5py"])) for _ in range(3))
    shutil.rmtree(cache_folder(folder / "f.h5"))
    shard = timed(lambda: extract(folder, "--shard", "0/8"))
    return {"repeat_s": again, "first_s": first, "first_shard_of_8_s": shard, "imports_alone_s": start}


def indexing(folder: Path) -> dict[str, float]:
    store = folder / "many.h5"
    write_parts(store, [f"video_{number:05d}" for number in range(PARTS)], lambda name: fingerprint({"v": name}))
    return {
        "index_s": timed(lambda: build_index(store)),
        "index_unchanged_s": timed(lambda: build_index(store)),
        "open_s": timed(lambda: features.open(store)),
    }


def main() -> None:
    for bench, bar, measure in (("planning", 3.0, planning), ("indexing", 15.0, indexing)):
        with tempfile.TemporaryDirectory() as name:
            times = measure(Path(name))
        ratio = bar / next(iter(times.values()))
        rounded = {key: round(value, 2) for key, value in times.items()}
        print(json.dumps({"bench": bench, "ratio": round(ratio, 2), "bar": 1.0, **rounded}))


if __name__ == "__main__":
    main()
