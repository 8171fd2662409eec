"""How far TV-L1 is from OpenCV's on real pairs, and how far both are from flow that is known.

    python tests/bench/bench_tvl1_accuracy.py [--pairs 30] [--shift .05] [--known 8]

Bars: compat to OpenCV mean .02, worst pair .05, 99th percentile pixel .2; to known flow compat within 2 % of OpenCV,
fast within 3 % up to 2 px and better from 5 px on.
"""

import argparse
import json

import cv2
import numpy as np
from tvl1_pairs import DATA, known_pairs, real_pairs

from flow.solver import TVL1
from flow.solver_opencv import OpenCVTVL1
from flow.tvl1_common.parameters import PRESETS


def epe(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(flow - truth, axis=-1)


def to_opencv(count: int, shift: float) -> None:
    pairs, reference = real_pairs(count, 224, 224, shift), OpenCVTVL1()
    errors: dict[str, list[np.ndarray]] = {preset: [] for preset in PRESETS}
    solvers = {preset: TVL1(preset) for preset in PRESETS}
    for pair in pairs:
        truth = reference(*pair)
        for preset, solve in solvers.items():
            errors[preset].append(epe(solve(*pair), truth))
    for preset, all_errors in errors.items():
        means = [float(error.mean()) for error in all_errors]
        line = {
            "bench": f"tvl1 {preset} EPE to OpenCV {cv2.__version__}, {count} real pairs (shift {shift}), px",
            "mean": round(float(np.mean(means)), 4),
            "median_pair": round(float(np.median(means)), 4),
            "worst_pair": round(max(means), 4),
            "second_worst": round(sorted(means)[-2], 4),
            "p99_pixel": round(float(np.percentile(np.concatenate([e.ravel() for e in all_errors]), 99)), 3),
            "bar": {"mean": 0.02, "worst_pair": 0.05, "p99_pixel": 0.2} if preset != "fast" else None,
        }
        print(json.dumps(line), flush=True)


def to_known(count: int) -> None:
    solvers = {"opencv": OpenCVTVL1(), "compat": TVL1("compat"), "fast": TVL1("fast")}
    for motion in (0.5, 2.0, 5.0, 10.0):
        errors: dict[str, list[float]] = {name: [] for name in solvers}
        for frame0, frame1, flow, valid in known_pairs(motion, count):
            for name, solve in solvers.items():
                errors[name].append(float(epe(solve(frame0, frame1), flow)[valid].mean()))
        report(f"{count} warped pairs of {motion} px", errors, {"compat": 1.02, "fast": 1.03 if motion < 5 else 1.0})


def to_measured() -> None:
    """Middlebury's RubberWhale and two pairs of FlyingChairs."""
    solvers = {"opencv": OpenCVTVL1(), "compat": TVL1("compat"), "fast": TVL1("fast")}
    folder = DATA / "flow_gt"
    whale = folder / "middlebury"
    cases = {"RubberWhale": (whale / "rubberwhale1.png", whale / "rubberwhale2.png", whale / "RubberWhale_flow10.flo")}
    for k in range(2):
        chairs = folder / "flyingchairs"
        cases[f"FlyingChairs {k}"] = (chairs / f"{k}img0.ppm", chairs / f"{k}img1.ppm", chairs / f"{k}flow.flo")
    for name, (first, second, truth_path) in cases.items():
        frames = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (first, second)]
        truth = cv2.readOpticalFlow(str(truth_path))
        valid = np.abs(truth).max(axis=-1) < 1e4
        errors = {known: [float(epe(solve(*frames), truth)[valid].mean())] for known, solve in solvers.items()}
        errors["zero"] = [float(np.linalg.norm(truth, axis=-1)[valid].mean())]
        report(name, errors, {"compat": 1.02})


def report(what: str, errors: dict[str, list[float]], bars: dict[str, float]) -> None:
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    line = {
        "bench": f"tvl1 EPE to known flow, {what}, px",
        **{name: round(value, 4) for name, value in mean.items()},
        "ratio": {name: round(mean[name] / mean["opencv"], 3) for name in ("compat", "fast")},
        "bar": bars,
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30, help="real pairs")
    parser.add_argument("--shift", type=float, default=0.0, help="other real pairs: this fraction of a video later")
    parser.add_argument("--known", type=int, default=8, help="pairs of each motion")
    args = parser.parse_args()
    to_opencv(args.pairs, args.shift)
    if args.known:
        to_known(args.known)
    to_measured()


if __name__ == "__main__":
    main()
