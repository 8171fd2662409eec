"""A whole training at THUMOS'14 size: real annotations, made-up features, from store to average mAP.

    python tests/bench/bench_whole_training.py --annotations thumos14.json                            # 35 epochs each
    python tests/bench/bench_whole_training.py --annotations thumos14.json --epochs 1 --videos 4 --profile 20

Features of every video of the annotations at window 16 and stride 4: noise of 1,024 numbers, to which each class adds a
direction of its own while it lasts, strongly in flow and weakly in rgb. Then, by the commands of the package and the
recipe thumos14: the motion teacher, rgb-only and decomposed, their detections of the test subset, average mAP over tIoU
.3:.1:.7. One JSON line a method: minutes, steps a second, and the peak of memory, the GPU's where there is one.
--profile N prints where the time of N steps goes as well. Nothing is claimed of the mAP: features are made up.
"""

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from command import writing
from detect import run as detect_run
from evaluate import run as evaluate_run
from evaluate.files.annotations import Annotations, read_annotations
from features.running.devices import choose_device
from features.storage.store import Part, build_index, write_part
from train import run as train_run

CHANNELS, WINDOW, STRIDE = 1024, 16, 4
STRENGTH = {"flow": 0.5, "rgb": 0.2}  # of a class's direction beside noise of 1
METHODS: dict[str, Sequence[str]] = {
    "motion-only": ("--cues", "flow"),
    "rgb-only": ("--cues", "rgb"),
    "decomposed": ("--cues", "rgb", "--method", "decomposed", "--teacher", "motion-only/detector.pt"),
}


def write_features(store: Path, annotations: Annotations) -> int:
    """The features of all videos; how many steps they have."""
    generator, steps = np.random.default_rng(0), 0
    noise = generator.standard_normal((4096, CHANNELS), np.float32)
    for number, (name, video) in enumerate(sorted(annotations.videos.items())):
        frames = int(video.duration_s * (video.fps or 30.0))
        length = max(1, (frames - 1 - WINDOW) // STRIDE + 1)
        seconds = (np.arange(length) * STRIDE + WINDOW / 2) / (video.fps or 30.0)
        steps += length
        for cue, strength in STRENGTH.items():
            drawn = np.random.default_rng(len(cue))
            directions = drawn.standard_normal((len(annotations.classes), CHANNELS), np.float32)
            x = np.resize(np.roll(noise, 7919 * number + len(cue), axis=1), (length, CHANNELS)).copy()
            for (start, end), label in zip(video.segments, video.labels, strict=True):
                x[(seconds >= start) & (seconds <= end)] += strength * directions[label]
            about = {"fingerprint": f"{name}-{cue}", "feature_id": f"made-up-{cue}", "window": WINDOW, "stride": STRIDE,
                     "fps": video.fps or 30.0, "duration_s": video.duration_s, "num_frames": frames,
                     "video_sha256": name}  # fmt: skip
            write_part(store, Part(name, cue, {"features": x.astype(np.float16), "t_center": seconds}, about))
    build_index(store)
    return steps


@contextlib.contextmanager
def profiled(steps: int) -> Iterator[None]:
    """Prints which operators took the time of what happens within."""
    if not steps:
        yield
        return
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] * torch.cuda.is_available()
    with torch.profiler.profile(activities=kinds) as profile:
        yield
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    print(profile.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=60))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, help="of THUMOS'14, as ActionFormer publishes them")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--videos", type=int, help="so many to learn from, and to test on (default: all)")
    parser.add_argument("--profile", type=int, default=0, metavar="STEPS", help="where the time of an epoch of so many")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="of train.run, such as --compile")
    args = parser.parse_args()
    if args.annotations is None:
        print(json.dumps({"bench": "whole_training", "not run": "--annotations names no file"}))
        return 0
    device, truth = choose_device(args.device), read_annotations(args.annotations, strict=False)
    if keep := 2 * args.profile or args.videos:  # two videos a step
        names = [name for subset in truth.subsets for name in list(truth.subset(subset).videos)[:keep]]
        truth = replace(truth, videos={name: truth.videos[name] for name in names})
    writing._sync = lambda path: None  # not what is measured
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = write_features(folder / "f.h5", truth)
        print(f"{len(truth.videos)} videos, {steps:,} steps of {CHANNELS} numbers, {device}", file=sys.stderr)
        for method in args.methods:
            measure(method, args, folder, device)
    return 0


def measure(method: str, args: argparse.Namespace, folder: Path, device: torch.device) -> None:
    out = folder / method
    words = [word if "/" not in word else str(folder / word) for word in METHODS[method]]
    words += ["--features", str(folder / "f.h5"), "--annotations", str(args.annotations), "--out", str(out)]
    words += ["--recipe", "thumos14", "--device", str(device), "--missing", "skip", *args.more]
    words += ["--epochs", str(1 if args.profile else args.epochs)] * bool(args.profile or args.epochs)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    with profiled(args.profile):
        if train_run.main(words):
            raise SystemExit(f"{method}: train.run failed")
    seconds = time.perf_counter() - begun
    rows = (out / "log.csv").read_text().splitlines()
    done = int(float(dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))["step"]))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_of_process()
    found, score = out / "detections.json", out / "score.json"
    asked = ["--annotations", str(args.annotations), "--subset", "Test"]
    begun = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        detect_run.main(["--detector", str(out / "detector.pt"), "--features", str(folder / "f.h5"), *asked,
                         "--out", str(found), "--missing", "skip", "--device", str(device)])  # fmt: skip
        detecting = time.perf_counter() - begun
        evaluate_run.main(["--detections", str(found), "--tiou", "0.3:0.1:0.7", "--json", str(score), *asked])
    told = {"bench": "whole_training", "method": method, "device": str(device), "steps": done,
            "minutes": round(seconds / 60, 2), "steps_a_second": round(done / seconds, 2),
            "peak_gb": round(peak / 1e9, 2), "detect_s": round(detecting, 1),
            "average_mAP": json.loads(score.read_text())["average_mAP"]}  # fmt: skip
    print(json.dumps(told), flush=True)


def peak_of_process() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
