"""What a training run will take: one step of it is done here, on made-up features, and scaled to the whole run."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from detect.precision import set_precision
from features.computing.precision import choose_precision
from features.running.devices import choose_device
from train.config import Config
from train.data.dataset import Batch
from train.methods.supervised import Supervised, SupervisedOptions

ENOUGH = 512  # steps of features in the one batch that is tried; a larger one takes as much for each
COPIES = 5  # of the weights: themselves, their gradient, two moments of AdamW, their average
LOADED = 400 * 2**20  # bytes of a process that has torch and nothing else


@dataclass(frozen=True)
class Cost:
    """Of one run of `supervised`."""

    device: str  # its type and, of a CPU, the threads
    steps: int  # of the optimiser
    seconds: float
    memory_bytes: int  # on the device; on a CPU of the process
    features_bytes: int  # kept in memory beside

    def __str__(self) -> str:
        length = f"{self.seconds / 60:.0f} min" if self.seconds < 7200 else f"{self.seconds / 3600:.1f} h"
        length = f"{self.seconds:.0f} s" if self.seconds < 120 else length
        return (
            f"{self.steps:,} training steps, about {length} on this machine ({self.device}), "
            f"{self.memory_bytes / 2**30:.1f} GiB and {self.features_bytes / 2**30:.1f} GiB of features in memory"
        )


def expected(
    config: Config, num_classes: int, dims: dict[str, int], num_steps: NDArray[np.int64], itemsize: int = 2
) -> Cost:
    """dims: channels of each cue; num_steps (V,): of the training videos; itemsize: bytes of a number, as stored."""
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)  # whose processor time does not depend on what else the machine does
    try:
        return _expected(config, num_classes, dims, num_steps, itemsize, config.optimiser.threads or threads)
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)


def _expected(
    config: Config, num_classes: int, dims: dict[str, int], num_steps: NDArray[np.int64], itemsize: int, threads: int
) -> Cost:
    device = choose_device(config.device)
    detector = Detector(
        DetectorConfig(
            classes=tuple(map(str, range(num_classes))),
            feature_dims=dims,
            branches=config.cues,
            **asdict(config.model),
            fusion=config.fusion,
            head_config=dict(config.head_options),
        )
    )
    method = Supervised(detector, SupervisedOptions()).to(device)
    set_precision(method, choose_precision(config.precision, device))
    rule, batch_size = detector.head.sample, config.sampling.batch_size
    lengths = np.array([min(rule.num_steps(int(n)), rule.length or config.sampling.max_length) for n in num_steps])
    longest = rule.padded(int(lengths.max()))
    tried = rule.length or rule.padded(min(longest, ENOUGH // 2))
    rows = min(batch_size, max(ENOUGH // tried, 1))
    seconds, kept = _one_step(method, _batch(rows, tried, dims, num_classes, device))
    seconds /= threads if device.type == "cpu" else 1
    samples = sum(rule.training_samples(rule.num_steps(int(n))) for n in num_steps)
    per_epoch = max(samples // batch_size, 1)
    epochs, _ = config.optimiser.lengths(per_epoch)
    draws = np.random.default_rng(0).choice(lengths, (200, batch_size)).max(axis=1)
    width = float(np.mean([rule.padded(int(longest_of)) for longest_of in draws]))
    weights = COPIES * sum(4 * p.numel() for p in method.parameters())
    features = int(num_steps.sum()) * sum(dims.values()) * itemsize
    return Cost(
        device.type if device.type != "cpu" else f"cpu, {threads} threads" if threads > 1 else "cpu, one thread",
        epochs * per_epoch,
        epochs * per_epoch * seconds * batch_size * width / (rows * tried),
        int(weights + kept * batch_size * longest / (rows * tried)) + (LOADED if device.type == "cpu" else 0),
        int(min(features, config.sampling.memory_gib * 2**30)),
    )


def _batch(rows: int, steps: int, dims: dict[str, int], num_classes: int, device: torch.device) -> Batch:
    starts = torch.arange(0, max(steps - 8, 1), max(steps // 4, 8), dtype=torch.float32)
    targets = Targets(torch.stack([starts, starts + min(6, steps - 1)], 1), torch.arange(len(starts)) % num_classes)
    cues = {cue: torch.randn(rows, width, steps) for cue, width in dims.items()}
    mask = torch.ones(rows, steps, dtype=torch.bool)
    known = torch.ones(rows, dtype=torch.bool)
    return Batch(tuple(map(str, range(rows))), cues, mask, [targets] * rows, known).to(device)


def _one_step(method: Supervised, batch: Batch) -> tuple[float, int]:
    """Seconds of a training step after one that does not count, and bytes that its forward pass keeps for the way
    back; on a CPU those of one processor."""
    optimiser = torch.optim.AdamW(method.parameters(), foreach=False)
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in method.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    seconds, clock = math.inf, time.perf_counter if batch.mask.is_cuda else time.process_time
    for number in range(3):
        kept.clear()
        if batch.mask.is_cuda:
            torch.cuda.synchronize()
        began = clock()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = torch.stack(list(method(batch).values())).sum()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if batch.mask.is_cuda:
            torch.cuda.synchronize()
        seconds = min(seconds, clock() - began) if number else math.inf
    return seconds, sum(kept.values())
