"""Look at a video beside its optical flow and its temporal gradient.

    python -m flow.view --video demo/videos/test_0000.mp4 --out v.png --frame 60    # one picture
    python -m flow.view --video v.mp4 --out v.mp4 --start 100 --stop 200

From left to right: the frame; flow, with direction as colour (right red, down yellow-green, left cyan, up violet) and
length as saturation, full at --full pixels; the gradient, gray where nothing changes.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from command.errors import OutputError
from command.outputs import refuse_overwriting
from command.runner import run_command
from command.writing import whole_file, write_whole
from features.files.dashes import parse_args
from flow.decode.geometry import Geometry
from flow.decode.video import VideoError, probe, read_frames
from flow.pipeline.difference import temporal_gradient
from flow.solver import make_solver
from flow.tvl1_common.parameters import PRESETS

PICTURES = {".png", ".jpg", ".jpeg"}
FILMS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".avi": "avi"}  # and the name of its container


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    refuse_overwriting([args.out], [args.video], "Give another --out")
    if args.out.suffix.lower() not in {*PICTURES, *FILMS}:
        raise OutputError(f"--out {args.out}: expected a name that ends in {', '.join(sorted({*PICTURES, *FILMS}))}")
    if args.out.suffix.lower() in PICTURES:
        picture = next(panels(args, args.frame, args.frame + 1), None)
        if picture is None:
            raise VideoError(f"{args.video}: there is no frame {args.frame + 1} to compare frame {args.frame} with")
        _, coded = cv2.imencode(args.out.suffix.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        write_whole(args.out, coded.tobytes())
    else:
        write_video(args.out, panels(args, args.start, args.stop), probe(args.video).fps)
    print(args.out)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flow.view", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help=".png or .jpg for one frame, .mp4 for many")
    parser.add_argument("--frame", type=int, default=0, help="of a picture (default: 0)")
    parser.add_argument("--start", type=int, default=0, help="first frame of an mp4 (default: 0)")
    parser.add_argument("--stop", type=int, help="frame to end before (default: the last)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="short side (default: 256)")
    parser.add_argument("--full", type=float, default=10.0, metavar="PX", help="flow of full colour (default: 10)")
    parser.add_argument("--preset", choices=list(PRESETS), default="compat")
    parser.add_argument("--backend", choices=["auto", "cpu", "cuda", "opencv"], default="auto")
    return parse_args(parser, argv)


def panels(args: argparse.Namespace, start: int, stop: int | None) -> Iterator[np.ndarray]:
    """frame | flow | gradient for each pair whose first frame lies in [start, stop): uint8 (H, 3 W, 3) RGB."""
    solve = make_solver(args.backend, args.preset)
    geometry = Geometry(args.size, args.size)
    frames = read_frames(args.video, start=start, stop=None if stop is None else stop + 1)
    for before, after in pairwise(geometry.resize(frame.rgb) for frame in frames):
        flow = solve(cv2.cvtColor(before, cv2.COLOR_RGB2GRAY), cv2.cvtColor(after, cv2.COLOR_RGB2GRAY))
        gradient = (temporal_gradient(before, after) + 256) // 2
        yield np.hstack([before, flow_picture(flow, args.full), gradient.astype(np.uint8)])


def flow_picture(flow: np.ndarray, full: float) -> np.ndarray:
    """(H, W, 2) pixels -> uint8 (H, W, 3) RGB: direction as hue, length as saturation, white where nothing moves."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    colour = np.empty((*flow.shape[:2], 3), np.uint8)
    colour[..., 0] = np.rint(angle / 2) % 180  # OpenCV's hue goes from 0 to 180
    colour[..., 1] = np.rint(255 * np.minimum(length / full, 1))
    colour[..., 2] = 255
    return cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)


def write_video(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    """H.264 where the encoder is there, else MPEG-4; sizes are made even."""
    kind = FILMS[path.suffix.lower()]
    with whole_file(path) as temporary, av.open(str(temporary), "w", format=kind) as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream: Any = container.add_stream(codec, rate=round(fps))
        stream.pix_fmt = "yuv420p"
        for place, picture in enumerate(pictures):
            even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
            if place == 0:
                stream.height, stream.width = even.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())
