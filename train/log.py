"""What a run says while it learns: one row per epoch in log.csv, the same scalars for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from features.commit import whole_file


class Log:
    """Rows of scalars by epoch. A row's columns are those of the first row: a run logs the same things throughout."""

    def __init__(self, folder: Path, from_epoch: int = 0) -> None:
        """Rows of epochs >= `from_epoch`, written by a run that was killed later than its checkpoint, are dropped."""
        from tensorboardX import SummaryWriter

        self.path = folder / "log.csv"
        self.rows = [row for row in read(self.path) if int(row["epoch"]) < from_epoch]
        self.rewrite()
        self.board = SummaryWriter(str(folder), purge_step=from_epoch or None)

    def rewrite(self) -> None:
        with whole_file(self.path) as part, part.open("w", newline="") as file:
            if self.rows:
                writer = csv.DictWriter(file, fieldnames=list(self.rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        row = {"epoch": str(epoch)} | {name: f"{value:.9g}" for name, value in values.items()}
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]), lineterminator="\n")
            if len(self.rows) == 1:
                writer.writeheader()
            writer.writerow(row)
        for name, value in values.items():
            self.board.add_scalar(name, value, epoch)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a log.csv, none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
