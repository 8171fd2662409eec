"""What every detection head costs at THUMOS'14 size: parameters, multiplications, seconds, memory.

    python tests/bench/bench_heads.py --heads actionformer,tags --rounds 5

Detectors of the recipes for THUMOS'14 on 1024-d RGB features, 20 classes, one sample of the head's own length
(ActionFormer, which takes any: 2304 steps), 8 actions a minute. One thread; medians of rounds in which all heads take
turns; a training step is the losses of `supervised`, their gradient and AdamW, inference the detector and the decoding.
GMAC are those of matrix products and convolutions in a forward pass, half of what torch.utils.flop_counter counts:
sampling, sorting and elementwise work is not in them. Memory is what a process of its own holds at most, beyond what it
held before its first step: gradients, both moments of AdamW, and what the forward pass keeps. One line per head.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from detect.heads import HEADS
from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from train.data.dataset import Batch
from train.methods.supervised import Supervised, SupervisedOptions
from train.optimiser import make_optimiser
from train.recipes import recipe_for
from train.recipes.recipe import Recipe
from train.settings import TrainingError

CHANNELS, CLASSES, ANY_STEPS, MANY = 1024, 20, 2304, 10**6
FRAMES_PER_S, FRAMES_PER_CLIP, ACTIONS_PER_MIN = 30, 4, 8
KINDS = ("training", "inference")


class Subject:
    """One head's detector, its training and its sample."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        recipe = thumos(name)
        config = DetectorConfig(
            classes=tuple(f"class {k}" for k in range(CLASSES)),
            feature_dims={"rgb": CHANNELS},
            head=name,
            width=recipe.model.width,
            projection_depth=recipe.model.projection_depth,
            head_config=dict(recipe.head),
        )
        self.name, self.detector = name, Detector(config)
        self.method = Supervised(self.detector, SupervisedOptions())
        self.optimiser = make_optimiser(self.method, recipe.optimiser_of(HEADS[name]))
        rule = self.detector.head.sample
        self.steps = rule.length or rule.padded(ANY_STEPS)
        clips_per_step = MANY / rule.num_steps(MANY)  # of a head that leaves steps out
        self.steps_per_s = FRAMES_PER_S / FRAMES_PER_CLIP / clips_per_step
        self.batch = sample(self.steps, self.steps_per_s)

    def training(self) -> None:
        self.method.train()
        losses = self.method(self.batch)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self.optimiser.step()

    @torch.inference_mode()
    def inference(self) -> None:
        self.method.eval()
        self.detector.head.decode(self.detector(self.batch.cues, self.batch.mask))

    def gmac(self) -> float:
        self.method.eval()
        counter = FlopCounterMode(display=False)
        with counter, sdpa_kernel(SDPBackend.MATH):  # whose products the counter sees; it wants gradients enabled
            self.detector(self.batch.cues, self.batch.mask)
        return counter.get_total_flops() / 2e9


def thumos(name: str) -> Recipe:
    """The head's recipe, or its own defaults where it has none."""
    try:
        return recipe_for(name, "thumos14")
    except TrainingError:
        return Recipe()


def sample(steps: int, per_s: float) -> Batch:
    """One sample of random features, with actions of 1 to 10 s."""
    rng = np.random.default_rng(0)
    count = max(round(steps / per_s / 60 * ACTIONS_PER_MIN), 1)
    length = np.minimum(rng.uniform(1, 10, count) * per_s, steps / 2)
    start = rng.uniform(0, steps - length)
    segments = torch.tensor(np.stack([start, start + length], 1), dtype=torch.float32)
    targets = Targets(segments, torch.tensor(rng.integers(0, CLASSES, count)))
    cues = {"rgb": torch.randn(1, CHANNELS, steps)}
    return Batch(("video",), cues, torch.ones(1, steps, dtype=torch.bool), [targets], torch.tensor([True]))


def seconds(functions: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Medians of CPU seconds; all take turns, after one call each that doesn't count."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if number:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def resident(field: str) -> int:
    """Bytes of this process: VmRSS, now, or VmHWM, at most so far."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return 1024 * int(line.split()[1])


def megabytes_of(name: str, kind: str) -> int:
    """Of a fresh process."""
    words = [sys.executable, __file__, "--heads", name, "--memory", kind]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def say_megabytes(name: str, kind: str) -> None:
    subject = Subject(name)
    before = resident("VmRSS")
    getattr(subject, kind)()
    print(round(max(resident("VmHWM") - before, 0) / 1e6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", default=",".join(HEADS), help="by name, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=KINDS, help="print the megabytes of one head alone")
    args = parser.parse_args()
    names = args.heads.split(",")
    torch.set_num_threads(1)
    if args.memory:
        say_megabytes(names[0], args.memory)
        return
    subjects = [Subject(name) for name in names]
    steps = {f"{s.name} {kind}": getattr(s, kind) for s in subjects for kind in KINDS}
    medians = seconds(steps, args.rounds)
    for subject in subjects:
        minutes = subject.steps / subject.steps_per_s / 60
        training, inference = (medians[f"{subject.name} {kind}"] for kind in KINDS)
        row = {
            "bench": f"head {subject.name}",
            "steps": subject.steps,
            "video_s": round(60 * minutes, 1),
            "parameters": sum(p.numel() for p in subject.detector.parameters()),
            "of_the_head": sum(p.numel() for p in subject.detector.head.parameters()),
            "gmac": round(subject.gmac(), 2),
            "training_step_s": round(training, 3),
            "inference_s": round(inference, 3),
            "inference_s_per_video_min": round(inference / minutes, 3),
            "training_mb": megabytes_of(subject.name, "training"),
            "inference_mb": megabytes_of(subject.name, "inference"),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
