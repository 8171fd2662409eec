"""TV-L1 against OpenCV on one thread: real pairs, interleaved, thread CPU time. Bars: compat 40, fast 70.

python tests/bench/bench_tvl1.py [--pairs 8]
"""

import argparse
import json
import time

import cv2
import numpy as np
from tvl1_pairs import real_pairs

from flow.solver import TVL1
from flow.solver_opencv import OpenCVTVL1

SIZES = {"224x224": (224, 224), "256x340": (256, 340)}  # height, width
BARS = {"compat": 40, "fast": 70}


def seconds(solve, pair, repeats: int) -> float:  # type: ignore[no-untyped-def]
    began = time.thread_time()
    for _ in range(repeats):
        solve(*pair)
    return (time.thread_time() - began) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    from flow.tvl1_cpu.jit import LANES

    for name, size in SIZES.items():
        pairs = real_pairs(args.pairs, *size)
        reference, ours = OpenCVTVL1(), {preset: TVL1(preset) for preset in BARS}
        for solve in ours.values():
            solve(*pairs[0])
        spent: dict[str, list[float]] = {preset: [] for preset in ("opencv", *BARS)}
        for pair in pairs:
            spent["opencv"].append(seconds(reference, pair, 1))
            for preset, solve in ours.items():
                spent[preset].append(seconds(solve, pair, 3))
        for preset, bar in BARS.items():
            each = np.array(spent["opencv"]) / np.array(spent[preset])
            line = {
                "bench": f"tvl1 {preset} {name} to OpenCV {cv2.__version__}",
                "ratio": round(sum(spent["opencv"]) / sum(spent[preset]), 1),
                "bar": bar,
                "pairs": len(pairs),
                "ratio_of_pairs": [round(float(value), 1) for value in np.percentile(each, [0, 50, 100])],
                "frames_per_s": round(len(pairs) / sum(spent[preset]), 1),
                "opencv_frames_per_s": round(len(pairs) / sum(spent["opencv"]), 2),
                "vector_lanes": LANES,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
