"""A store of 10,000 videos: how long the doctor, features.status, opening it and what train.run looks at first take.

    python tests/bench/bench_many_videos.py
    python tests/bench/bench_many_videos.py --videos 2000

Two streams of 16 numbers in 40 steps, and as many annotated videos; each command in a process of its own, imports
counted, medians of three turns. Waits for the disk are left out while the store is written, not while it is read.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from command import writing
from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, write_part

FPS, WINDOW, STRIDE, STEPS, TURNS = 30.0, 16, 4, 40, 3
BARS = {"doctor_s": 10.0, "status_s": 2.0, "open_s": 1.0}
OPEN = "import time, sys, features; t = time.perf_counter(); features.open(sys.argv[1]); print(time.perf_counter() - t)"
FIRST = """
import contextlib, io, sys
from evaluate.files.annotations import read_annotations
import features
from train.checks.beforehand import tell_beforehand
store, whole = features.open(sys.argv[1]), read_annotations(sys.argv[2], strict=False, repair="clip")
with contextlib.redirect_stderr(io.StringIO()):
    seconds = tell_beforehand(store, whole.subset("Training"), whole, "Training", 2304)
print(seconds)
"""


def write_store(folder: Path, count: int) -> tuple[Path, Path]:
    writing._sync = lambda path: None
    store, database = folder / "many.h5", {}
    values = np.random.default_rng(0).random((STEPS, 16), np.float32)
    times = ClipGrid.regular(STEPS, FPS, WINDOW, STRIDE).t_center
    duration_s = (STEPS * STRIDE + WINDOW) / FPS
    for i in range(count):
        video = f"video{i:05d}"
        for stream in ("rgb", "flow"):
            attributes = {
                "fingerprint": f"{stream}{i}", "feature_id": stream, "window": WINDOW, "stride": STRIDE, "fps": FPS,
                "duration_s": duration_s, "video_sha256": str(i), "geometry": "g",
            }  # fmt: skip
            write_part(store, Part(video, stream, {"features": values + i % 7, "t_center": times}, attributes))
        actions = [{"label": f"class{(i + k) % 20}", "segment": [k, k + 1.5]} for k in range(3)]
        subset = ("Training", "Validation")[i % 2]
        database[video] = {"subset": subset, "duration": duration_s, "fps": FPS, "annotations": actions}
    build_index(store)
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    return store, folder / "annotations.json"


def seconds(*words: str) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return time.perf_counter() - began


def printed(script: str, *words: str) -> float:
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        store, annotations = map(str, write_store(Path(name), args.videos))
        measured = {
            "doctor_s": lambda: seconds("-m", "flowless.doctor", "--features", store, "--annotations", annotations),
            "status_s": lambda: seconds("-m", "features.status", store),
            "open_s": lambda: printed(OPEN, store),
            "before_training_s": lambda: printed(FIRST, store, annotations),
        }
        taken = {what: [measure() for _ in range(TURNS)] for what, measure in measured.items()}
    medians = {what: round(statistics.median(values), 3) for what, values in taken.items()}
    print(json.dumps({"bench": "many videos", "videos": args.videos, **medians, "bars": BARS}))


if __name__ == "__main__":
    main()
