"""Detection in many short videos, together against one by one; and by two processes against one.

    python tests/bench/bench_short_videos.py [--videos 256] [--workers]

Stored features of 60 to 120 steps (the study world's size) for the recipe `small`, and of 192 steps (ActivityNet-1.3 as
ActionFormer resizes it) for 256 channels, random weights. CPU seconds of reading, detector and suppression, one thread,
medians of interleaved rounds; the detections are compared, equal to rounding. With --workers also the whole command,
wall seconds with one process and with two, starts included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import features
from detect.deployed.workers import Question, ask_all, together
from detect.model.detector import Detector, DetectorConfig
from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, write_part

WORLDS = {
    "small": ((60, 120), 128, {"width": 64, "levels": 4}),
    "192 steps, 256 channels": ((192, 192), 2048, {"width": 256}),
}


def store_of(folder: Path, videos: int, steps: tuple[int, int], dim: int) -> features.Store:
    random = np.random.default_rng(0)
    for number in range(videos):
        count = int(random.integers(steps[0], steps[1] + 1))
        x = random.normal(size=(count, dim)).astype(np.float16)
        grid = ClipGrid.regular(count, 30, 16, 4)
        told = {"fingerprint": str(number), "feature_id": "bench", "window": 16, "stride": 4, "fps": 30.0,
                "duration_s": count / 7.5 + 1}  # fmt: skip
        write_part(folder / "f.h5", Part(f"v{number:05}", "rgb", {"features": x, "t_center": grid.t_center}, told))
    return features.open(build_index(folder / "f.h5"))


def detector(dim: int, head: dict[str, int]) -> Detector:
    torch.manual_seed(0)
    config = DetectorConfig(
        classes=tuple("abcdefgh"), feature_dims={"rgb": dim}, width=head["width"], head_config=head,
        feature_ids={"rgb": "bench"},
    )  # fmt: skip
    return Detector(config).eval()


def measured(name: str, videos: int, rounds: int, workers: bool) -> dict[str, object]:
    steps, dim, head = WORLDS[name]
    with tempfile.TemporaryDirectory() as folder:
        store, model = store_of(Path(folder), videos, steps, dim), detector(dim, head)
        questions = [Question(video) for video in store.videos]
        ways = {"together": together(model, store, questions), "one by one": [[each] for each in questions]}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        found = {}
        for _ in range(rounds):
            for way, groups in ways.items():
                began = time.process_time()
                found[way] = {answer.video: answer.found for answer in ask_all(model, store, groups)}
                seconds[way].append(time.process_time() - began)
        apart = 0.0
        for video, one in found["together"].items():
            other = found["one by one"][video]
            assert one is not None and other is not None and len(one.scores) == len(other.scores), video
            apart = max(apart, float(np.abs(one.scores - other.scores).max(initial=0.0)))
        told = {way: float(np.median(each)) / videos for way, each in seconds.items()}
        made: dict[str, object] = {
            "bench": "short_videos", "world": name, "videos": videos,
            "ms_a_video": {way: round(1e3 * each, 2) for way, each in told.items()},
            "ratio": round(told["one by one"] / told["together"], 2), "largest_difference_of_scores": apart,
        }  # fmt: skip
        if workers:
            model.save(Path(folder) / "detector.pt")
            walls: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(rounds):
                for count, wall in walls.items():
                    command = [sys.executable, "-m", "detect.run", "--detector", f"{folder}/detector.pt"]
                    command += ["--features", f"{folder}/f.h5", "--out", f"{folder}/{count}.json", "--device", "cpu"]
                    began = time.monotonic()
                    subprocess.run([*command, "--workers", str(count)], check=True, capture_output=True)
                    wall.append(time.monotonic() - began)
            texts = [json.loads((Path(folder) / f"{count}.json").read_text())["results"] for count in walls]
            made["same_with_two_workers"] = texts[0] == texts[1]
            made["wall_s"] = {str(count): round(float(np.median(wall)), 1) for count, wall in walls.items()}
        return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", action="store_true", help="measure the command with one process and with two")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in WORLDS:
        print(json.dumps(measured(name, args.videos, args.rounds, args.workers)), flush=True)


if __name__ == "__main__":
    main()
