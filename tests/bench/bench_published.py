"""Training step and inference of our ActionFormer against its authors' code, at THUMOS'14 size.

    git clone https://github.com/happyharrycn/actionformer_release reference
    python tests/bench/bench_published.py --reference reference [--rounds 5] [--threads 1] [--device cuda [--compile]]

A step: 2 samples of 2304 steps, 1024 channels, 32 actions each; forward, backward, clip, AdamW, average of the weights.
Inference: one video of 2304 steps to candidates, without suppression. Each implementation has a process of its own,
set up as its own command does it; they take turns, and ratios are those of medians of processor time, on a GPU of the
clock. The published code is run in float32, as published. Bars on a CPU: float32 1.15 and 1.3; bfloat16 3 where it has
AMX, else 1.5 and 1.5.
"""

import argparse
import json
import statistics
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench")]

import full_size  # noqa: E402
from full_size import CHANNELS, CLASSES, SEGMENTS, STEPS, batch_of_two, method_of, seconds, training_step  # noqa: E402

from detect.inference import candidates  # noqa: E402
from detect.precision import set_precision  # noqa: E402
from features.computing.allocation import keep_freed_memory  # noqa: E402
from features.computing.compiling import compile_parts  # noqa: E402

Calls = dict[str, Callable[[], object]]


def published(checkout: Path, device: str) -> Calls:
    """Its model from its own configuration; what its step does stands in its train_one_epoch."""
    sys.path.insert(0, str(checkout))
    unused = {name: types.ModuleType(name) for name in ("nms_1d_cpu", "pandas")}  # suppression, its evaluator
    with mock.patch.dict(sys.modules, unused):
        core, modeling, utils = (__import__(f"libs.{name}", fromlist=["x"]) for name in ("core", "modeling", "utils"))
    config = core.load_config(str(checkout / "configs" / "thumos_i3d.yaml"))
    config["model"]["input_dim"] = CHANNELS
    config["model"]["test_cfg"]["nms_method"] = "none"
    torch.manual_seed(0)
    model = modeling.make_meta_arch(config["model_name"], **config["model"]).train().to(device)
    optimiser, average = utils.make_optimizer(model, config["opt"]), utils.ModelEma(model)
    torch.manual_seed(1)
    segments, labels = torch.tensor(SEGMENTS), torch.arange(len(SEGMENTS)) % CLASSES
    about = {"fps": 30.0, "duration": 1e4, "feat_stride": 4, "feat_num_frames": 16}
    videos: list[dict[str, Any]] = [
        {"video_id": name, "feats": torch.randn(CHANNELS, STEPS), "segments": segments, "labels": labels, **about}
        for name in "ab"
    ]

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        model(videos)["final_loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config["train_cfg"]["clip_grad_l2norm"])
        optimiser.step()
        average.update(model)

    def infer() -> None:
        model.eval()
        with torch.no_grad():
            model(videos[:1])
        model.train()

    return {"step": step, "inference": infer}


def ours(device: str, compiled: bool) -> Calls:
    keep_freed_memory()
    batch = batch_of_two()
    features = {"rgb": np.ascontiguousarray(batch.cues["rgb"][0].T.numpy())}  # (T, D), as a store gives them
    windows = full_size.detector(("rgb",)).head.sample.windows(STEPS)
    calls: Calls = {}
    for precision in ("float32", "bfloat16"):
        model, method = full_size.detector(("rgb",)).eval().to(device), method_of("supervised", precision).to(device)
        set_precision(model, precision)
        if compiled:
            compile_parts(model, device)
            compile_parts(method, device)
        calls[f"step {precision}"] = training_step(method, lambda: batch.to(torch.device(device)))
        calls[f"inference {precision}"] = lambda model=model: candidates(model, [features], [windows])  # type: ignore[misc]
    return calls


def serve(calls: Calls, device: str) -> None:
    """Answers each line, the name of a call, with the seconds it took."""
    print(json.dumps(list(calls)), flush=True)
    for line in sys.stdin:
        print(seconds(calls[line.strip()], device), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of ActionFormer's repository")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="ours")
    parser.add_argument("--serve", choices=["ours", "published"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.reference:
        print(json.dumps({"bench": "published", "not run": "--reference names no checkout"}))
        return 0
    if args.serve:
        of_ours = args.serve == "ours"
        checkout = args.reference.resolve()
        serve(ours(args.device, args.compile) if of_ours else published(checkout, args.device), args.device)
        return 0
    again = [sys.executable, __file__, "--reference", str(args.reference), "--threads", str(args.threads)]
    again += ["--device", args.device, *["--compile"] * args.compile, "--serve"]
    workers, names = [], []
    for which in ("published", "ours"):
        workers.append(subprocess.Popen([*again, which], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        names.append(json.loads(workers[-1].stdout.readline()))  # type: ignore[union-attr]
    taken: dict[str, list[float]] = {}
    for round_ in range(args.rounds + 1):
        for worker, calls in zip(workers, names, strict=True):
            for call in calls:
                assert worker.stdin and worker.stdout
                print(call, file=worker.stdin, flush=True)
                spent = float(worker.stdout.readline())
                if round_:  # the first does not count
                    taken.setdefault(call, []).append(spent)
                    print(f"{call}: {spent:.2f} s", file=sys.stderr)
    for worker in workers:
        worker.communicate("")
    medians = {call: statistics.median(spent) for call, spent in taken.items()}
    amx = bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
    bars = {"step float32": 1.15, "inference float32": 1.3}
    bars |= dict.fromkeys(("step bfloat16", "inference bfloat16"), 3.0 if amx else 1.5)
    ratios = {call: round(medians[call.split()[0]] / medians[call], 2) for call in bars}
    result = {"bench": "published", "ratios": ratios, "bars": bars}
    print(json.dumps({**result, "seconds": {call: round(spent, 2) for call, spent in medians.items()}}))
    return 0 if all(ratios[call] >= bar for call, bar in bars.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
