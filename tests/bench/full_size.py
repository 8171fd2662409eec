"""A training step at THUMOS'14 size: the batch, methods on it, one step as the loop does it, processor time."""

import time
from collections.abc import Callable

import torch

from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from detect.precision import set_precision
from features.running.ranks import ALONE
from train.checkpoint import Run
from train.config import Optimiser
from train.data.dataset import Batch, TeacherView
from train.log import Values
from train.loop import learn
from train.methods import METHODS
from train.methods.base import Method
from train.optimiser import Average, make_optimiser

STEPS, CHANNELS, CLASSES, WIDTH = 2304, 1024, 20, 512
SEGMENTS = [(float(start), float(start + 4 + 1.5 * n)) for n, start in enumerate(range(5, 2200, 70))]


def detector(branches: tuple[str, ...]) -> Detector:
    torch.manual_seed(0)
    classes = tuple(f"class {n}" for n in range(CLASSES))
    dims = {"rgb": CHANNELS, "flow": CHANNELS}
    return Detector(DetectorConfig(classes=classes, feature_dims=dims, branches=branches, width=WIDTH))


def batch_of_two() -> Batch:
    """Two videos of the longest sample, 32 actions in each."""
    torch.manual_seed(1)
    mask = torch.ones(2, STEPS, dtype=torch.bool)
    cues = {cue: torch.randn(2, CHANNELS, STEPS) for cue in ("rgb", "flow")}
    targets = Targets(torch.tensor(SEGMENTS), torch.arange(len(SEGMENTS)) % CLASSES)
    return Batch(("a", "b"), cues, mask, [targets, targets], torch.ones(2, dtype=torch.bool))


def view_of(teacher: Detector, batch: Batch) -> TeacherView:
    """What a teacher says about the batch."""
    with torch.no_grad():
        [features] = teacher.branch_features(batch.cues, batch.mask)
        return TeacherView(features, teacher.predict_from([features], batch.mask))


def method_of(name: str, precision: str = "float32", **options: object) -> Method:
    kind = METHODS[name]
    method = kind(detector(kind.branches(("rgb",))), kind.Options(**options)).train()
    set_precision(method, precision)
    return method


def training_step(method: Method, batch: Callable[[], Batch]) -> Callable[[], dict[str, float]]:
    """One step of the loop: losses and norm read, gradients clipped, weights and their average moved."""
    config = Optimiser()
    run = Run(method, Average(method.detector, config.ema, config.ema_warmup), make_optimiser(method, config))
    parameters, values = list(method.parameters()), Values()

    def step() -> dict[str, float]:
        sums: dict[str, float] = {}
        now = batch()
        losses, norm = learn(run, method, now, parameters, config.clip_norm, values, ALONE)
        values.keep(run.step, losses, norm, now.videos, sums)
        run.optimiser.step()
        run.step += 1
        run.average.update(method.detector, run.step)
        return sums

    return step


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    """Of the processor, so that a busy machine counts for little; on a GPU those of the clock, once it is done."""
    if device == "cpu":
        begin = time.process_time()
        call()
        return time.process_time() - begin
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begin
