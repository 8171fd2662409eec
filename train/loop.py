"""The training loop. It knows a method only as `method(batch) -> dict[str, Tensor]`, its losses.

Of several processes (ranks) each takes its share of every batch. What is divided by a count (positives, steps, the
confidence of a teacher) is divided by the sum of all shares' counts, so that the losses of the shares add up to that of
the whole batch and gradients are those of one process.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from command.signals import Interrupted
from features.running.ranks import ALONE, Ranks
from train import checkpoint
from train.checkpoint import Run
from train.config import Config
from train.data.dataset import Batch, Samples
from train.log import Log, Silent, Values, values_of
from train.optimiser import learning_rate, trainable


def fit(
    run: Run,
    samples: Samples,
    settings: Config,
    out: Path,
    log: Log | Silent,
    stop: Callable[[Run], bool],
    ranks: Ranks = ALONE,
) -> None:
    """Train on from where `run` stands; `stop` is asked after every step and epoch.

    Raises Interrupted where it says yes, on any rank, before the end; last.pt then holds the run as it was after its
    last whole step.

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
    method = averaged(run.method, ranks)
    values, saved_at = values_of(device, ranks), time.monotonic()
    with tqdm(total=steps, initial=run.step, unit="step", desc=out.name, mininterval=1.0) as progress:
        while run.epoch < epochs:
            for batch in samples.batches(run.epoch, first=run.position):
                losses, norm = learn(run, method, batch.to(device), parameters, config.clip_norm, values, ranks)
                values.keep(run.step, losses, norm, batch.videos, run.sums)
                for group in run.optimiser.param_groups:
                    group["lr"] = rate(run.step) * group.get("share", 1.0)  # runs of before have none
                run.optimiser.step()
                run.step, run.position = run.step + 1, run.position + 1
                run.average.update(run.method.detector, run.step)
                progress.update()
                if ranks.any(stop(run)):
                    break
            values.read(run.sums)
            if run.position < per_epoch:
                keep(run, out, log, ranks)
                raise Interrupted(f"{out}: stopped after {run.step} steps")
            means = {name: value / per_epoch for name, value in run.sums.items()}
            log.write(run.epoch, {"step": run.step, "learning_rate": rate(run.step - 1), **means})
            progress.set_postfix(loss=f"{means['loss']:.3f}", epoch=run.epoch + 1, refresh=False)
            run.epoch, run.position, run.sums = run.epoch + 1, 0, {}
            stopped = run.epoch < epochs and ranks.any(stop(run))
            due = ranks.any(ranks.first and time.monotonic() - saved_at >= settings.save_every_s)
            if stopped or run.epoch == epochs or due:
                keep(run, out, log, ranks)
                saved_at = time.monotonic()
            if stopped:
                raise Interrupted(f"{out}: stopped after {run.step} steps")
    if ranks.first:
        run.deployable(out / "detector.pt")


def averaged(method: nn.Module, ranks: Ranks) -> nn.Module:
    """The method as the loop calls it: its gradients become means over ranks of what each has."""
    if ranks.size == 1:
        return method
    with warnings.catch_warnings():  # buffers are alike on all ranks; the name of the option changes between versions
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(method, broadcast_buffers=False, find_unused_parameters=True)


def learn(
    run: Run, method: nn.Module, batch: Batch, parameters: list[Tensor], clip_norm: float, values: Values, ranks: Ranks
) -> tuple[dict[str, Tensor], Tensor]:
    """Gradients of the whole batch, clipped; the losses of this rank's share, their sum as "loss" first, and the norm
    of the gradient."""
    try:
        losses = method(batch)
    except (RuntimeError, ValueError):  # such as of weights that are not finite any more, which a step before tells
        if ranks.size == 1:  # others may not have failed, and would not answer
            values.read(run.sums)
        raise
    total = torch.stack(list(losses.values())).sum()
    run.optimiser.zero_grad(set_to_none=True)
    (total * ranks.size).backward()  # the mean over ranks is then the sum of their shares
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    return {"loss": total, **losses}, norm


def keep(run: Run, out: Path, log: Log | Silent, ranks: Ranks = ALONE) -> None:
    """The log first: rows beyond last.pt are dropped when the run goes on, missing ones could not be had again."""
    log.save()
    checkpoint.save(out / "last.pt", run, ranks)
