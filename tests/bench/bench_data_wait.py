"""What a training step at THUMOS'14 size waits for its data: batches from the store, then from memory.

    python tests/bench/bench_data_wait.py [--videos 200]

So many videos of 1,024 numbers in 400 to 3,100 steps, 350,000 steps in all of 200, float16; two passes in batches of
two, the first from the store with its sha256, the second from memory. Wall time of making a batch in the process that
trains, medians, against the processor's time of a float32 step of `supervised` on the longest batch. Bar: 2 %.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench")]

from full_size import CHANNELS, batch_of_two, detector, method_of, seconds, training_step  # noqa: E402

import features  # noqa: E402
from command import writing  # noqa: E402
from detect.heads.base import Targets  # noqa: E402
from features.computing.allocation import keep_freed_memory  # noqa: E402
from features.storage.store import Part, Store, build_index, write_part  # noqa: E402
from train.config import Sampling  # noqa: E402
from train.data.dataset import Samples  # noqa: E402
from train.data.memory import Memory  # noqa: E402
from train.data.videos import Pool, Video  # noqa: E402


def write_store(path: Path, lengths: list[int]) -> Store:
    writing._sync = lambda path: None  # not what is measured
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((max(lengths), CHANNELS)).astype(np.float16)
    about = {"feature_id": "x", "window": 16, "stride": 4, "fps": 30.0, "duration_s": 1e3, "video_sha256": ""}
    for n, steps in enumerate(lengths):
        arrays = {"features": np.roll(noise[:steps], n, axis=1), "t_center": np.arange(steps) * 4 / 30.0}
        write_part(path, Part(f"v{n}", "rgb", arrays, {**about, "fingerprint": str(n)}))
    build_index(path)
    return features.open(path)


def waits(samples: Samples, turn: int) -> list[float]:
    """Seconds that each batch of a pass takes."""
    found, batches = [], samples.batches(turn)
    while True:
        begin = time.perf_counter()
        if next(batches, None) is None:
            return found
        found.append(time.perf_counter() - begin)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    lengths = np.linspace(400, 3100, args.videos).astype(int).tolist()
    action = Targets(torch.tensor([[50.0, 80.0], [200.0, 215.0]]), torch.tensor([0, 3]))
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "features.h5", lengths)
        videos = [Video(f"v{n}", steps, action, 2.0) for n, steps in enumerate(lengths)]
        samples = Samples(
            Pool(store, videos), None, ["rgb"], Sampling(), 0, detector(("rgb",)), Memory(4 * 2**30)
        )  # as train.run has it
        from_store, from_memory = (statistics.median(waits(samples, turn)) for turn in (0, 1))
    batch = batch_of_two()
    step = training_step(method_of("supervised"), lambda: batch)
    step()
    spent = seconds(step)
    shares = {"from_store": round(from_store / spent, 4), "from_memory": round(from_memory / spent, 4)}
    result = {"bench": "data_wait", "share_of_step": shares, "bar": 0.02, "step_s": round(spent, 2)}
    result |= {"from_store_ms": round(1e3 * from_store, 1), "from_memory_ms": round(1e3 * from_memory, 1)}
    print(json.dumps(result))
    return 0 if max(shares.values()) <= 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
