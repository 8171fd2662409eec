"""The training loop. It knows a method only as `method(batch) -> dict[str, Tensor]`, its losses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from command.signals import Interrupted
from train import checkpoint
from train.checkpoint import Run
from train.config import Config, TrainingError
from train.data.dataset import Samples
from train.log import Log
from train.optimiser import learning_rate, trainable


def fit(run: Run, samples: Samples, settings: Config, out: Path, log: Log, stop: Callable[[Run], bool]) -> None:
    """Train on from where `run` stands; `stop` is asked after every step and epoch.

    Raises Interrupted where it says yes before the end; last.pt then holds the run as it was after its last whole step.

    last.pt is written, and the log with it, at the end of an epoch where the last one is `save_every_s` old.
    """
    config = settings.optimiser
    per_epoch = samples.steps_per_epoch()
    epochs, warmup_epochs = config.lengths(per_epoch)
    steps, warmup = epochs * per_epoch, warmup_epochs * per_epoch

    def rate(step: int) -> float:
        return learning_rate(step, steps, warmup, config.learning_rate, config.final_learning_rate)

    parameters = list(trainable(run.method))
    device = parameters[0].device
    run.method.train()
    saved_at = time.monotonic()
    with tqdm(total=steps, initial=run.step, unit="step", desc=out.name, mininterval=1.0) as progress:
        while run.epoch < epochs:
            for batch in samples.batches(run.epoch, first=run.position):
                losses = run.method(batch.to(device))
                total = torch.stack(list(losses.values())).sum()
                run.optimiser.zero_grad(set_to_none=True)
                total.backward()
                norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
                if not torch.isfinite(total + norm):
                    raise TrainingError(diverged(run.step, losses, norm, batch.videos))
                for group in run.optimiser.param_groups:
                    group["lr"] = rate(run.step) * group.get("share", 1.0)  # runs of before have none
                run.optimiser.step()
                run.step, run.position = run.step + 1, run.position + 1
                run.average.update(run.method.detector, run.step)
                count(run.sums, {"loss": total, **losses, "gradient_norm": norm})
                progress.update()
                if stop(run):
                    break
            if run.position < per_epoch:
                keep(run, out, log)
                raise Interrupted(f"{out}: stopped after {run.step} steps")
            means = {name: value / per_epoch for name, value in run.sums.items()}
            log.write(run.epoch, {"step": run.step, "learning_rate": rate(run.step - 1), **means})
            progress.set_postfix(loss=f"{means['loss']:.3f}", epoch=run.epoch + 1, refresh=False)
            run.epoch, run.position, run.sums = run.epoch + 1, 0, {}
            stopped = run.epoch < epochs and stop(run)
            if stopped or run.epoch == epochs or time.monotonic() - saved_at >= settings.save_every_s:
                keep(run, out, log)
                saved_at = time.monotonic()
            if stopped:
                raise Interrupted(f"{out}: stopped after {run.step} steps")
    run.deployable(out / "detector.pt")


def keep(run: Run, out: Path, log: Log) -> None:
    """The log first: rows beyond last.pt are dropped when the run goes on, missing ones could not be had again."""
    log.save()
    checkpoint.save(out / "last.pt", run)


def count(sums: dict[str, float], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + float(value.detach())


def diverged(step: int, losses: dict[str, Tensor], norm: Tensor, videos: tuple[str, ...]) -> str:
    terms = ", ".join(f"{name} = {float(value.detach()):.4g}" for name, value in losses.items())
    return (
        f"step {step}: {terms}, gradient norm = {float(norm):.4g} on {list(videos)}. "
        f"Lower the learning rate (--set optimiser.learning_rate=...) or look at the features of these videos"
    )
