"""Speed of feature extraction against a plain loop over the same network: read all frames, cut, embed clip by clip.

    python tests/bench/bench_extraction.py [--backbone i3d_inception] [--precision bfloat16] [--batch 1]

The plain loop is what published extractors do: OpenCV reads the whole video, every frame is resized and cropped once,
and clips go through the network one at a time, in float32, memory laid out as PyTorch makes it. Both give the same
features, in bfloat16 to its rounding. Ratio: CPU seconds of the plain loop / ours on one synthetic video, medians of
interleaved rounds; also the stages of ours and the peak of its memory per frame.
Bar 1.0: streaming, exact decoding and times cost nothing. Of I3D 1.15, and 3.5 in bfloat16.
"""

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from extract.backbones import BACKBONES, PRECISIONS, Backbone, build_backbone
from extract.cues.cue import show_rgb
from extract.pipeline.embedding import embed_video
from extract.pipeline.settings import ClipSettings
from features.running.stopwatch import Stopwatch

BARS = {("i3d_inception", "float32"): 1.15, ("i3d_inception", "bfloat16"): 3.5}  # of others 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="nano")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="float32")
    parser.add_argument("--batch", type=int, default=0, help="clips at a time (default: the backbone's choice)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    backbone = build_backbone(args.backbone, "rgb", precision=args.precision, packed=True)
    plainly = build_backbone(args.backbone, "rgb").to(memory_format=torch.contiguous_format)
    settings = ClipSettings("rgb", backbone=args.backbone, batch=args.batch, precision=args.precision)
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "v.mp4", args.frames)
        watch = Stopwatch()
        ours, plain = [], []
        for _ in range(args.rounds):
            theirs_seconds, theirs = timed(lambda: plain_loop(path, plainly))
            our_seconds, made = timed(
                lambda: embed_video(path, settings, backbone, show_rgb(backbone.geometry), watch).features
            )
            plain.append(theirs_seconds)
            ours.append(our_seconds)
        difference = np.linalg.norm(made.astype(np.float32) - theirs[: len(made)]) / np.linalg.norm(theirs)
        tracemalloc.start()
        embed_video(path, settings, backbone, show_rgb(backbone.geometry), Stopwatch())
        peak = tracemalloc.get_traced_memory()[1]
    result = {
        "bench": f"extraction/{args.backbone}",
        "precision": args.precision,
        "ratio": round(float(np.median(plain) / np.median(ours)), 3),
        "bar": BARS.get((args.backbone, args.precision), 1.0),
        "clips_per_s": round(len(made) / float(np.median(ours)), 2),
        "stages_s": {name: round(seconds / args.rounds, 3) for name, seconds in watch.seconds.items()},
        "relative_difference": float(f"{difference:.1e}"),
        "peak_mb_beside_the_network": round(peak / 1e6, 1),
    }
    print(json.dumps(result))


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def plain_loop(path: Path, backbone: Backbone) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = capture.read()
        if not read:
            break
        frames.append(backbone.geometry.crop_center(backbone.geometry.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))))
    features = []
    reads = backbone.reads(backbone.window)
    for start in range(0, len(frames) - backbone.window, backbone.stride):
        clip = torch.from_numpy(np.stack([frames[start + step] for step in reads]))[None]
        with torch.no_grad():
            features.append(backbone(*(x.contiguous() for x in backbone.inputs(clip))).numpy())
    return np.concatenate(features)


def write_video(path: Path, num_frames: int) -> Path:
    """A texture that drifts, 160 x 120."""
    texture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((4, 4, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(num_frames):
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
