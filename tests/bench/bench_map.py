"""mAP against a loop over the detections, and the time of a whole ActivityNet evaluation.

    python tests/bench/bench_map.py [--reference CHECKOUT] [--annotations ../shared/data]

THUMOS'14 test with 200 detections per video, tIoU 0.3 to 0.7, made from the truth by jitter and noise; ours and the
other take turns, and the ratio is that of the medians. The other is the plain loop of tests/evaluate/one_by_one.py,
or with --reference ActionFormer's own evaluator (its AP alone, one process; needs pandas). Then ActivityNet-1.3
validation, 4,926 videos with 100 detections each, from the JSON on disk to the table at ten tIoU. Then 1,000,000
annotations of 10,000 videos with 20 detections each, from the JSON on disk to the table at five tIoU.
Without the annotations, sets of the same size are drawn.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "evaluate")]

from one_by_one import one_by_one  # noqa: E402

from evaluate import run  # noqa: E402
from evaluate.files.annotations import Annotations, VideoTruth, read_annotations  # noqa: E402
from evaluate.files.detections import Detections, make_detections  # noqa: E402
from evaluate.metrics.average_precision import mean_average_precision  # noqa: E402

THUMOS_TIOU = np.linspace(0.3, 0.7, 5)


def truth_of(folder: Path, name: str, subset: str, drawn: tuple[int, int, int]) -> Annotations:
    path = folder / f"{name}.json"
    if path.is_file():
        return read_annotations(path, repair="keep").subset(subset)
    num_videos, per_video, num_classes = drawn
    generator = np.random.default_rng(0)
    videos = {}
    for number in range(num_videos):
        start = generator.uniform(0, 180, per_video)
        segments = np.stack([start, start + generator.exponential(5, per_video) + 0.5], axis=1)
        labels = np.repeat(generator.integers(num_classes), per_video)
        videos[f"v{number}"] = VideoTruth(subset, 200.0, 30.0, segments, labels)
    return Annotations(tuple(f"class {i}" for i in range(num_classes)), videos)


def detections_for(truth: Annotations, per_video: int) -> Detections:
    """Half jittered truth, half noise under the labels of the video; scores tell them apart now and then."""
    generator = np.random.default_rng(1)
    rows = []
    for video, one in truth.videos.items():
        labels = one.labels if len(one.labels) else np.array([0])
        segments = one.segments if len(one.segments) else np.array([[0.0, 1.0]])
        pick = generator.integers(len(labels), size=per_video)
        length = (segments[pick, 1] - segments[pick, 0])[:, None]
        times = segments[pick] + generator.normal(0, 0.15, (per_video, 2)) * length
        noise = generator.random(per_video) < 0.5
        times[noise] += generator.uniform(-30, 30, (noise.sum(), 1))
        scores = generator.beta(2, 5, per_video) + np.where(noise, 0, 0.2)
        for label, (start, end), score in zip(labels[pick], np.sort(times, axis=1), scores, strict=True):
            rows.append((video, truth.classes[label], float(start), float(end) + 1e-3, float(score)))
    return make_detections(rows, tuple(truth.videos))


def actionformer(checkout: Path, truth: Annotations, found: Detections) -> Callable[[], np.ndarray]:
    """The reference evaluator, ready to compute AP (tIoU, classes)."""
    import pandas

    setattr(np, "float", float)  # noqa: B010  the name that it uses went away with numpy 1.24
    spec = importlib.util.spec_from_file_location("metrics", checkout / "libs" / "utils" / "metrics.py")
    assert spec and spec.loader
    metrics = importlib.util.module_from_spec(spec)  # alone: the package around it wants compiled extensions
    spec.loader.exec_module(metrics)
    database = {
        video: {
            "subset": "test",
            "annotations": [
                {"segment": segment, "label_id": int(label)}
                for segment, label in zip(one.segments.tolist(), one.labels, strict=True)
            ],
        }
        for video, one in truth.videos.items()
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"database": database}, file)
        file.flush()
        judge = metrics.ANETdetection(file.name, "test", THUMOS_TIOU, num_workers=1)
    table = {
        "video-id": [found.videos[i] for i in found.video],
        "t-start": found.segments[:, 0],
        "t-end": found.segments[:, 1],
        "label": found.relabel(truth.classes),
        "score": found.scores,
    }
    return lambda: judge.wrapper_compute_average_precision(pandas.DataFrame(table))


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds, so that a busy machine does not count; everything here runs in one thread."""
    start = time.process_time()
    call()
    return time.process_time() - start


def whole_evaluation(folder: Path) -> float:
    """Seconds from files to table for ActivityNet-1.3 validation with 100 detections per video."""
    truth = truth_of(folder, "activitynet13", "validation", (4926, 2, 200))
    found = detections_for(truth, 100)
    results: dict[str, list[dict[str, object]]] = {video: [] for video in found.videos}
    for video, label, segment, score in zip(
        found.video, found.label, found.segments.tolist(), found.scores, strict=True
    ):
        entry = {"label": found.labels[label], "score": float(score), "segment": segment}
        results[found.videos[video]].append(entry)
    annotations = {
        video: {
            "subset": "validation",
            "duration": max(one.duration_s, 1.0),
            "annotations": [
                {"label": truth.classes[label], "segment": segment}
                for label, segment in zip(one.labels, one.segments.tolist(), strict=True)
            ],
        }
        for video, one in truth.videos.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / "detections.json", Path(scratch) / "annotations.json"]
        paths[0].write_text(json.dumps({"results": results}))
        paths[1].write_text(json.dumps({"database": annotations}))
        arguments = ["--detections", str(paths[0]), "--annotations", str(paths[1]), "--tiou", "0.5:0.05:0.95"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            spent = seconds(lambda: run.main([*arguments, "--repair", "keep"]))
    return spent


def many_annotations(num_videos: int = 10_000, per_video: int = 100, detected: int = 20) -> float:
    """Seconds from files to table for a million annotations, as ActivityNet-style JSON with class ids."""
    generator = np.random.default_rng(0)
    database: dict[str, object] = {}
    results: dict[str, object] = {}
    for number in range(num_videos):
        start = generator.uniform(0, 580, per_video).round(2)
        segments = np.stack([start, start + generator.uniform(0.5, 20, per_video).round(2)], axis=1).tolist()
        labels = generator.integers(0, 50, per_video).tolist()
        rows = [
            {"label": f"class {label:02d}", "label_id": label, "segment": segment}
            for label, segment in zip(labels, segments, strict=True)
        ]
        scores = generator.random(detected).tolist()
        video = f"video_{number:06d}"
        database[video] = {"subset": "Test", "duration": 700.0, "fps": 25.0, "annotations": rows}
        results[video] = [{**row, "score": score} for row, score in zip(rows, scores, strict=False)]
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / "detections.json", Path(scratch) / "annotations.json"]
        paths[0].write_text(json.dumps({"results": results}))
        paths[1].write_text(json.dumps({"database": database}))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return seconds(lambda: run.main(["--detections", str(paths[0]), "--annotations", str(paths[1])]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of ActionFormer's repository")
    parser.add_argument("--annotations", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    truth = truth_of(args.annotations, "thumos14", "Test", (212, 16, 20))
    found = detections_for(truth, 200)
    if args.reference:
        other = actionformer(args.reference, truth, found)
        theirs = other().T
    else:
        theirs = np.stack(list(one_by_one(truth, found, THUMOS_TIOU).values()))
        other = lambda: one_by_one(truth, found, THUMOS_TIOU)  # type: ignore[assignment,return-value]  # noqa: E731
    ours = np.stack(list(mean_average_precision(truth, found, THUMOS_TIOU).per_class.values()))
    slow, fast = [], []
    for _ in range(args.rounds):
        fast.append(seconds(lambda: mean_average_precision(truth, found, THUMOS_TIOU)))
        slow.append(seconds(other))
    result = {
        "bench": "map",
        "against": "ActionFormer's evaluator" if args.reference else "a plain loop",
        "ratio": round(statistics.median(slow) / statistics.median(fast), 1),
        "bar": 20,
        "seconds": round(statistics.median(fast), 4),
        "reference_seconds": round(statistics.median(slow), 3),
        "largest_difference_in_ap": float(np.abs(ours - theirs).max()),
        "detections": len(found),
        "activitynet_seconds": round(whole_evaluation(args.annotations), 2),
        "activitynet_bar_seconds": 10,
        "million_annotations_seconds": round(many_annotations(), 2),
        "million_annotations_bar_seconds": 10,
    }
    print(json.dumps(result))
    fast_enough = max(result["activitynet_seconds"], result["million_annotations_seconds"]) <= 10
    return 0 if result["ratio"] >= 20 and fast_enough else 1


if __name__ == "__main__":
    sys.exit(main())
