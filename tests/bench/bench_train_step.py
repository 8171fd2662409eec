"""A training step of decomposed distillation against a straightforward one, side by side.

    python tests/bench/bench_train_step.py

Straightforward: features read from the store at each step, the teacher run within the step, one call of the
branch head for each branch, AdamW as it comes. Ours: features and the teacher's answers in memory, both branches judged
in one call.
Same detector, same videos, same losses; the ratio is processor time per step, straightforward over ours.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import features
from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from features.storage.store import Part, Store, build_index, write_part
from train.config import Optimiser, Sampling
from train.data.dataset import Batch, Samples, TeacherView
from train.data.memory import Memory
from train.data.videos import Pool, Video
from train.methods.decomposed import Decomposed
from train.optimiser import make_optimiser
from train.recipes.actionformer import SMALL
from train.teacher import cache_of, cache_teacher

BAR = 1.2
VIDEOS, STEPS, CHANNELS, BATCH = 16, 75, 1536, 8


def make_store(path: Path) -> Store:
    generator = np.random.default_rng(0)
    attributes = {"feature_id": "x", "window": 16, "stride": 4, "fps": 15.0, "duration_s": 21.3, "video_sha256": ""}
    for n in range(VIDEOS):
        for cue in ("rgb", "flow"):
            x = generator.standard_normal((STEPS, CHANNELS)).astype(np.float16)
            arrays = {"features": x, "t_center": np.arange(STEPS) * 4 / 15.0}
            write_part(path, Part(f"v{n}", cue, arrays, {**attributes, "fingerprint": f"{n}{cue}"}))
    build_index(path)
    return features.open(path)


def make_detector(branches: tuple[str, ...]) -> Detector:
    torch.manual_seed(0)
    config = DetectorConfig(
        classes=tuple("abcdefgh"), feature_dims={"rgb": CHANNELS, "flow": CHANNELS}, branches=branches, width=64,
        head_config=dict(SMALL.head),
    )  # fmt: skip
    return Detector(config)


class Straightforward(Decomposed):
    """The same losses, each branch judged in a call of its own."""

    def judge(self, appearance: Tensor, motion: Tensor, mask: Tensor) -> list[dict[str, Tensor]]:
        return [self.branch_head(appearance, mask), self.motion_head(motion, mask)]


def straightforward_batch(samples: Samples, store: Store, teacher: Detector, order: list[int]) -> Batch:
    samples.memory, samples.labelled = Memory(0), replace(samples.labelled, teachers={})
    batch = samples.collate([samples[0, i] for i in order])
    flow = torch.stack([torch.from_numpy(store.read(v, "flow").astype(np.float32)).T for v in batch.videos])
    flow = torch.nn.functional.pad(flow, (0, batch.mask.shape[1] - flow.shape[2]))
    with torch.no_grad():
        [branch] = teacher.branch_features({"flow": flow}, batch.mask)
        view = TeacherView(branch, teacher.predict_from([branch], batch.mask))
    return replace(batch, teachers={"motion": view})


def main() -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "features.h5")
        teacher = make_detector(("flow",)).eval()
        teacher.save(Path(folder) / "detector.pt")
        row = Targets(torch.tensor([[5.0, 12.0], [20.0, 30.0], [40.0, 55.0]]), torch.tensor([0, 3, 5]))
        videos = [Video(f"v{n}", STEPS, row, 2.0) for n in range(VIDEOS)]
        sampling = Sampling(batch_size=BATCH, crop_ratio=(1.0, 1.0))
        names = [video.name for video in videos]
        steps: dict[str, Callable[[list[int]], None]] = {}
        for kind in (Decomposed, Straightforward):
            method = kind(make_detector(("rgb", "rgb")), kind.Options()).train()
            memory = Memory(2**30)
            cache = cache_of(store, Path(folder))
            cached = cache_teacher(
                Path(folder) / "detector.pt", teacher, store, names, cache, memory, torch.device("cpu")
            )
            pool = Pool(store, videos, {"motion": cached})
            samples = Samples(pool, None, ["rgb"], sampling, 0, method.detector, memory)
            steps[kind.__name__] = make_step(method, samples, store, teacher)
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        generator = np.random.default_rng(0)
        for n in range(16):
            order = generator.permutation(VIDEOS)[:BATCH].tolist()
            for name, step in steps.items():
                begin = time.process_time()
                step(order)
                if n >= 4:
                    seconds[name].append(time.process_time() - begin)
    ours, plain = (statistics.median(seconds[kind.__name__]) for kind in (Decomposed, Straightforward))
    result = {"bench": "train_step", "ratio": round(plain / ours, 2), "bar": BAR, "ours_ms": round(ours * 1e3, 1)}
    print(json.dumps({**result, "straightforward_ms": round(plain * 1e3, 1)}))
    return 0 if result["ratio"] >= BAR else 1


def make_step(method: Decomposed, samples: Samples, store: Store, teacher: Detector) -> Callable[[list[int]], None]:
    plain = isinstance(method, Straightforward)
    parameters = list(method.parameters())
    optimiser = torch.optim.AdamW(parameters) if plain else make_optimiser(method, Optimiser())

    def step(order: list[int]) -> None:
        if plain:
            batch = straightforward_batch(samples, store, teacher, order)
        else:
            batch = samples.collate([samples[0, i] for i in order])
        optimiser.zero_grad()
        torch.stack(list(method(batch).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
