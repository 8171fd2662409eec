"""TV-L1 on a GPU: frames a second of batches that lie in memory, and how far the flow is from the CPU's.

    python tests/bench/bench_tvl1_cuda.py [--batch 64] [--size 224]

Bars: 1,000 frames/s at 224 x 224 in batches of 64 (compat), EPE to the CPU's flow .02 px.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from tvl1_pairs import real_pairs

from flow.solver import TVL1
from flow.tvl1_cuda.solver import CudaTVL1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench_tvl1_cuda: no GPU here, nothing to measure")
        return
    pairs = real_pairs(args.batch, args.size, args.size)
    frames0, frames1 = (np.stack(frames) for frames in zip(*pairs, strict=True))
    for preset in ("compat", "fast"):
        solve, reference = CudaTVL1(preset), TVL1(preset)
        flows = solve.solve(frames0, frames1).cpu().numpy()  # compiles
        seconds = []
        for _ in range(args.repeats):
            torch.cuda.synchronize()
            began = time.perf_counter()
            solve.solve(frames0, frames1)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        errors = [np.linalg.norm(flows[k] - reference(*pairs[k]), axis=-1).mean() for k in range(min(30, args.batch))]
        line = {
            "bench": f"tvl1 {preset} on {torch.cuda.get_device_name()}, {args.size}x{args.size}, batch {args.batch}",
            "frames_per_s": round(args.batch / statistics.median(seconds)),
            "bar": 1000 if preset == "compat" else None,
            "epe_to_cpu": {"mean": round(float(np.mean(errors)), 4), "worst_pair": round(float(np.max(errors)), 4)},
            "memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
