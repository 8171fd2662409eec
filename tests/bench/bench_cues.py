"""Three cues of a video in one pass against the three commands, as a user calls them.

    python tests/bench/bench_cues.py [--backbone nano] [--width 1280 --height 720] [--frames 300]

Ratio: CPU seconds (all processes, start-up of Python and PyTorch included) of extract.features / extract.rgb +
extract.motion flow + extract.motion gradient, on one synthetic video, medians of interleaved rounds. Bar .8. What is
saved is two decodings and two starts: the longer the networks and flow take of the whole, the less.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np

BAR = 0.8
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--frames", type=int, default=900)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    one, three = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_video(folder / "v.mp4", args.frames, args.width, args.height)
        for turn in range(args.rounds):
            words = ["--videos", str(video), "--backbone", args.backbone, "--device", "cpu"]
            apart = [*words, "--features", str(folder / f"three{turn}.h5")]
            together = [*words, "--features", str(folder / f"one{turn}.h5")]
            three.append(
                cpu_seconds("extract.rgb", apart)
                + cpu_seconds("extract.motion", [*apart, "--cue", "flow"])
                + cpu_seconds("extract.motion", [*apart, "--cue", "gradient"])
            )
            one.append(cpu_seconds("extract.features", [*together, "--cues", "rgb,flow,gradient"]))
    result = {
        "bench": f"cues/{args.backbone}/{args.width}x{args.height}/{args.frames}",
        "ratio": round(float(np.median(one) / np.median(three)), 3),
        "bar": BAR,
        "one_pass_s": round(float(np.median(one)), 1),
        "three_commands_s": round(float(np.median(three)), 1),
    }
    print(json.dumps(result))


def cpu_seconds(command: str, words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", command, *words], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_video(path: Path, num_frames: int, width: int, height: int) -> Path:
    """A texture that drifts."""
    small = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = np.kron(small, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(num_frames):
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
