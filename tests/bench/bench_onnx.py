"""What a minute of video costs on one core, PyTorch against ONNX, in three precisions, and what each finds.

    python tests/bench/bench_onnx.py --detector demo/runs/seed0/decomposed/detector.pt --videos demo/videos

Found: a trained detector and its backbone, from the files of the test videos to detections; average mAP over tIoU
.3:.1:.7, CPU seconds a minute of backbone and of detector, and how many detections are those of PyTorch in float32, in
the same order, within 1e-4. Size: the detector of ActionFormer's recipe for THUMOS'14 on 2304 steps of 1024 numbers,
and I3D on clips of 16 frames of 224x224, both untrained; a minute is 450 clips (30 frames a second, stride 4). All
variants take turns in every round; medians. bfloat16 is torch.autocast, int8 is detect.export --int8. One JSON line per
variant and part.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_heads import thumos

from detect.deployed import detectors
from detect.deployed.detectors import load_detector
from detect.inference import Detected, detect
from detect.model.detector import Detector, DetectorConfig
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import Detections, read_detections, write_detections
from evaluate.metrics.average_precision import mean_average_precision
from extract.backbones import build_backbone
from extract.pipeline import onnx_networks
from extract.pipeline.new_videos import Embedder
from features.computing.onnx_files import OnnxFile, described, export, quantised
from features.running.stopwatch import Stopwatch
from features.storage.grid import ClipGrid
from flow.decode.video import probe
from flowless.deployment.video import make_embedder

TIOU = (0.3, 0.4, 0.5, 0.6, 0.7)
STEPS, CLIPS_A_MINUTE = 2304, 450
VARIANTS = ("torch float32", "torch bfloat16", "onnx float32", "onnx int8")


def autocast(variant: str) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if variant.endswith("bfloat16") else contextlib.nullcontext()


def pair(variant: str, file: Path, folder: Path) -> tuple[Detector, Embedder]:
    """Detector and backbone of a variant; those of ONNX are exported into the folder."""
    detector = Detector.load(file)
    embedder = make_embedder(detector)
    if variant.startswith("torch"):
        return detector, embedder
    precision = variant.split()[1]
    written, beside = folder / f"{precision}.onnx", folder / f"{precision}.backbone.onnx"
    written.write_bytes(detectors.image_of(detector, precision)[0])
    beside.write_bytes(onnx_networks.image_of(embedder, precision)[0])
    return load_detector(written), make_embedder(detector, networks=beside)


def found_in(
    videos: list[Path], variant: str, detector: Detector, embedder: Embedder
) -> tuple[dict[str, Detected], dict[str, float]]:
    """Detections by video, and CPU seconds by stage."""
    results, seconds = {}, {"network": 0.0, "detector": 0.0, "decode": 0.0}
    for path in videos:
        watch, info = Stopwatch("cpu"), probe(path)
        with autocast(variant):
            made = embedder(path, watch)
            with watch("detector"):
                grid = ClipGrid(made.t_center, detector.config.stride / info.fps)
                results[path.stem] = detect(detector, made.features, grid, info.duration_s)
        for stage, value in watch.seconds.items():
            seconds["network" if stage.endswith("network") else stage] += value
    return results, seconds


def same(one: dict[str, Detected], other: dict[str, Detected]) -> tuple[int, int]:
    """How many detections are the same in order, label, and within 1e-4 in score and seconds, of how many."""
    alike = total = 0
    for video, expected in one.items():
        found, count = other[video], min(len(expected.scores), len(other[video].scores))
        near = np.abs(expected.segments[:count] - found.segments[:count]).max(1, initial=0) <= 1e-4
        near &= np.abs(expected.scores[:count] - found.scores[:count]) <= 1e-4
        alike += int((near & (expected.labels[:count] == found.labels[:count])).sum())
        total += max(len(expected.scores), len(found.scores))
    return alike, total


def score(results: dict[str, Detected], classes: tuple[str, ...], truth: Any, folder: Path) -> float:
    said = {v: (f.segments.tolist(), f.scores.tolist(), [classes[k] for k in f.labels]) for v, f in results.items()}
    write_detections(folder / "found.json", said, {})
    read: Detections = read_detections(folder / "found.json")
    return mean_average_precision(truth, read, tiou=TIOU).average_mAP


def of_trained(args: argparse.Namespace, folder: Path) -> None:
    truth = read_annotations(args.annotations, strict=False).subset("Test")
    videos = [args.videos / f"{name}.mp4" for name in truth.videos]
    minutes = sum(video.duration_s for video in truth.videos.values()) / 60
    pairs = {variant: pair(variant, args.detector, folder) for variant in VARIANTS}
    taken: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    results = {}
    for _ in range(args.rounds):
        for variant, (detector, embedder) in pairs.items():
            results[variant], seconds = found_in(videos, variant, detector, embedder)
            taken[variant].append(seconds)
    for variant, (detector, _) in pairs.items():
        alike, total = same(results[VARIANTS[0]], results[variant])
        row = {
            "bench": "onnx found",
            "variant": variant,
            "average_mAP": round(100 * score(results[variant], detector.config.classes, truth, folder), 2),
            "same": f"{alike} of {total}",
            **{f"{stage}_s_a_minute": round(statistics.median(each[stage] for each in taken[variant]) / minutes, 4)
               for stage in ("decode", "network", "detector")},
        }  # fmt: skip
        print(json.dumps(row), flush=True)


def full_size_detector() -> Detector:
    torch.manual_seed(0)
    recipe = thumos("actionformer")
    detector = Detector(
        DetectorConfig(
            classes=tuple(f"class {k}" for k in range(20)),
            feature_dims={"rgb": 1024},
            width=recipe.model.width,
            projection_depth=recipe.model.projection_depth,
            head_config=dict(recipe.head),
        )
    )
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)
    return detector.eval()


def detector_calls(folder: Path) -> dict[str, Callable[[], object]]:
    """The full-size detector on features of 2304 steps, networks alone."""
    plain = full_size_detector()
    calls = {}
    for variant in VARIANTS:
        model = plain
        if variant.startswith("onnx"):
            written = folder / "full.onnx"
            written.write_bytes(detectors.image_of(plain, variant.split()[1])[0])
            model = load_detector(written)
        calls[variant] = lambda variant=variant, model=model: in_turn(variant, model)  # type: ignore[misc]
    return calls


def in_turn(variant: str, model: Detector) -> object:
    x, mask = torch.zeros(1, 1024, STEPS) + 0.1, torch.ones(1, STEPS, dtype=torch.bool)
    with torch.inference_mode(), autocast(variant):
        return model({"rgb": x}, mask)


def backbone_calls() -> dict[str, Callable[[], object]]:
    """I3D on one clip; PyTorch's as extraction has it, packed, and with weights in bfloat16."""
    network = build_backbone("i3d_inception", "rgb", quiet=True)
    clip = np.random.default_rng(0).integers(0, 256, (1, 16, 224, 224, 3), dtype=np.uint8)

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor]:
            return (self.network(*self.network.inputs(inputs["clips"])),)

    image = export(Graph().eval(), {"clips": torch.from_numpy(clip).repeat(2, 1, 1, 1, 1)}, ["rgb"],
                   {"clips": {0: ("batch", 1)}})  # fmt: skip
    files = {"onnx float32": OnnxFile(image, "float32"), "onnx int8": OnnxFile(described(quantised(image), {}), "int8")}

    packed = {
        f"torch {precision}": build_backbone("i3d_inception", "rgb", precision=precision, quiet=True, packed=True)
        for precision in ("float32", "bfloat16")
    }

    def call(variant: str) -> object:
        if variant in files:
            return files[variant]({"clips": clip})
        return packed[variant].embed(clip)

    return {variant: lambda variant=variant: call(variant) for variant in VARIANTS}  # type: ignore[misc]


def of_size(name: str, calls: dict[str, Callable[[], object]], minutes: float, rounds: int) -> None:
    taken: dict[str, list[float]] = {variant: [] for variant in calls}
    for number in range(rounds + 1):
        for variant, call in calls.items():
            begun = time.process_time()
            call()
            if number:
                taken[variant].append(time.process_time() - begun)
    medians = {variant: statistics.median(values) for variant, values in taken.items()}
    for variant, value in medians.items():
        row = {"bench": f"onnx {name}", "variant": variant, "s_a_minute": round(value / minutes, 3),
               "times_torch": round(medians[VARIANTS[0]] / value, 2)}  # fmt: skip
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, default=Path("demo/runs/seed0/decomposed/detector.pt"))
    parser.add_argument("--videos", type=Path, default=Path("demo/videos"))
    parser.add_argument("--annotations", type=Path, default=Path("demo/annotations.json"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        if args.detector.is_file():
            of_trained(args, Path(name))
        else:
            print(json.dumps({"bench": "onnx found", "skipped": f"no {args.detector}: make demo"}))
        of_size("detector", detector_calls(Path(name)), STEPS / CLIPS_A_MINUTE, args.rounds)
    of_size("I3D", backbone_calls(), 1 / CLIPS_A_MINUTE, args.rounds)


if __name__ == "__main__":
    main()
