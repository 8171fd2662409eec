"""What a run says while it learns: one row per epoch in log.csv, the same scalars for TensorBoard.

Both are on disk when `save` returns, before last.pt is written: a run that is killed loses no epoch that its last.pt
knows.

Losses and norms of gradients are left on their device and read now and then, since reading waits for it (`Values`).
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from command.writing import write_whole
from features.running.ranks import ALONE, Ranks
from train.settings import TrainingError

READ_EVERY = 50  # steps, of an accelerator


class Log:
    """Rows of scalars by epoch. A row's columns are those of the first row: a run logs the same things throughout."""

    def __init__(self, folder: Path, from_epoch: int = 0) -> None:
        """Rows of epochs >= `from_epoch`, written by a run that was killed later than its checkpoint, are dropped."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.path = folder / "log.csv"
        self.rows = [row for row in read(self.path) if int(row["epoch"]) < from_epoch]
        self._write_table()
        # Not SummaryWriter: it hands events to a thread, whose queue no flush waits for and whose full disk none hears.
        self.board = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        self.board.write_event(Event(step=from_epoch, session_log=SessionLog(status=SessionLog.START)))

    def _write_table(self) -> None:
        text = io.StringIO()
        if self.rows:
            writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        write_whole(self.path, text.getvalue().encode())

    def save(self) -> None:
        """Puts what was written since on the disk."""
        self._write_table()
        self.board.flush()

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """A row of an epoch; on the disk only after `save`."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        self.rows.append({"epoch": str(epoch)} | {name: f"{value:.9g}" for name, value in values.items()})
        for name, value in values.items():
            self.board.write_event(Event(step=epoch, wall_time=time.time(), summary=scalar(name, value)))

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.save()
        self.board.close()


class Silent:
    """The log of a rank that is not the first: what it says is said already."""

    def write(self, epoch: int, values: Mapping[str, float]) -> None: ...

    def save(self) -> None: ...

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None: ...


def open_log(folder: Path, from_epoch: int, ranks: Ranks) -> Log | Silent:
    """See `Log`; the first rank writes."""
    return Log(folder, from_epoch) if ranks.first else Silent()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a log.csv, none where there is no such file."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or ["epoch"]  # none yet: stopped within the first epoch
        if columns[0] != "epoch":
            raise ValueError(f"its first column is {columns[0]!r:.20}")
        for row in rows:
            int(row["epoch"])
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise TrainingError(f"{path}: not the log of a run ({error!r}). Move it away; a new one is begun") from None
    return rows


@dataclass
class Values:
    """Losses and norms of the steps since they were last read; all steps have the same losses.

    On a CPU there is nothing to wait for and each step is read at once, before its gradient is applied; elsewhere every
    `READ_EVERY` steps and at the end of an epoch, before anything is written.
    """

    every: int = 1
    ranks: Ranks = ALONE
    steps: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # and the videos of this rank
    kept: list[Tensor] = field(default_factory=list)  # (losses,) each
    norms: list[Tensor] = field(default_factory=list)
    names: tuple[str, ...] = ()

    def keep(
        self, step: int, losses: dict[str, Tensor], norm: Tensor, videos: tuple[str, ...], sums: dict[str, float]
    ) -> None:
        """losses: of this rank's share of the batch; norm: of the whole batch's gradient."""
        self.names = tuple(losses)
        self.steps.append((step, videos))
        self.kept.append(torch.stack([value.detach() for value in losses.values()]))
        self.norms.append(norm.detach())
        if len(self.steps) >= self.every:
            self.read(sums)

    def read(self, sums: dict[str, float]) -> None:
        """Adds what was kept to the sums of the epoch, of all ranks; TrainingError names the first step that is not
        finite."""
        if not self.steps:
            return
        losses = self.ranks.sum(torch.stack(self.kept))
        rows = torch.cat([losses, torch.stack(self.norms)[:, None].to(losses)], dim=1).tolist()
        steps, self.steps, self.kept, self.norms = self.steps, [], [], []
        for (step, videos), row in zip(steps, rows, strict=True):
            found = dict(zip((*self.names, "gradient_norm"), row, strict=True))
            if not math.isfinite(found["loss"] + found["gradient_norm"]):
                raise TrainingError(diverged(step, found, videos))
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value


def values_of(device: torch.device, ranks: Ranks) -> Values:
    """Read at each step on a CPU, now and then on an accelerator, which reading would have wait."""
    return Values(1 if device.type == "cpu" else READ_EVERY, ranks)


def diverged(step: int, found: dict[str, float], videos: tuple[str, ...]) -> str:
    """The message on a step whose loss or gradient is not finite: where, on which videos, what to do."""
    terms = ", ".join(f"{name} = {value:.4g}" for name, value in found.items() if name not in ("loss", "gradient_norm"))
    return (
        f"step {step}: {terms}, gradient norm = {found['gradient_norm']:.4g} on {list(videos)}. "
        f"Lower the learning rate (--set optimiser.learning_rate=...) or look at the features of these videos"
    )
