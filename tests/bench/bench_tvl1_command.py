"""python -m flow.tvl1 from end to end: against the bare solver, one worker against two, and the memory of a worker.

    python tests/bench/bench_tvl1_command.py [--frames 1024] [--repeats 3]

A long video, as starting a command takes 3 s. Bars: 80 % of the bare solver's speed (CPU seconds, so a busy
machine does not matter), two workers 1.85x as fast as one (wall seconds, one and two in turn: a machine that is busy
otherwise changes its speed meanwhile), 250 MB per worker at 256 x 340.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
from tvl1_pairs import videos

from flow.decode.video import read_frames
from flow.solver import TVL1, warm_up

HEIGHT, WIDTH = 256, 340


def long_video(path: Path, num_frames: int) -> list[np.ndarray]:
    """Frames of a real video at 256 x 340, forwards and backwards, in one file; returns the first 25, gray."""
    once = [cv2.resize(frame.rgb, (WIDTH, HEIGHT)) for frame in read_frames(videos()[-1], stop=100)]
    there_and_back = [*once, *once[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for k in range(num_frames):
            frame = there_and_back[k % len(there_and_back)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY) for frame in read_frames(path, stop=num_frames)]


def run(video: Path, store: Path, workers: int) -> tuple[float, dict[str, float], int]:
    """Wall seconds, seconds by stage, and peak bytes of a worker."""
    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "flow.tvl1",
        "--videos",
        str(video),
        "--out",
        str(store),
        "--workers",
        str(workers),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    report = json.loads((store.with_suffix(".reports") / "flow.tvl1.json").read_text())
    record = report["videos"][video.stem]
    return wall, record["seconds"], record["peak_memory_bytes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3, help="runs with one worker and with two, in turn")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    warm_up("cpu")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        gray = long_video(video, args.frames)
        solve = TVL1()
        solve(gray[0], gray[1])
        began = time.thread_time()
        for before, after in zip(gray[:-1:4], gray[1::4], strict=False):
            solve(before, after)
        bare = (time.thread_time() - began) / len(gray[:-1:4])
        runs = []
        for k in range(args.repeats):
            one, stages, memory = run(video, Path(folder) / f"one{k}.h5", 1)
            two, _, _ = run(video, Path(folder) / f"two{k}.h5", 2)
            runs.append((one, two))
    ratios = sorted(one / two for one, two in runs)
    whole = sum(stages.values()) / (args.frames - 1)
    lines = [
        {"bench": f"flow.tvl1 {HEIGHT}x{WIDTH}, share of the bare solver's speed", "ratio": round(bare / whole, 3),
         "bar": 0.8, "bare_ms": round(1e3 * bare, 1), "seconds": {k: round(v, 2) for k, v in stages.items()}},
        {"bench": f"flow.tvl1 {HEIGHT}x{WIDTH}, peak memory of a worker, MB", "value": round(memory / 1e6),
         "bar": 250},
        {"bench": "flow.tvl1, two workers against one, wall", "ratio": round(statistics.median(ratios), 2), "bar": 1.85,
         "ratios": [round(ratio, 2) for ratio in ratios], "seconds": [[round(t, 1) for t in pair] for pair in runs]},
    ]  # fmt: skip
    for line in lines:
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
