"""What a run says while it learns: one row per epoch in log.csv, the same scalars for TensorBoard.

Both are on disk when `save` returns, before last.pt is written: a run that is killed loses no epoch that its last.pt
knows.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from command.writing import write_whole
from train.ranks import Ranks
from train.settings import TrainingError


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
