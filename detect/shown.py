"""What people are shown of the actions of a video: a table, a picture of the timeline, a few lines."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from command.writing import write_whole
from evaluate.reporting.timeline_png import draw_timeline
from evaluate.reporting.timeline_rows import Strip, make_row


class Action(NamedTuple):
    """One detected action."""

    start_s: float
    end_s: float
    label: str
    score: float


def write_shown(out: Path, name: str, actions: Sequence[Action], duration_s: float, min_score: float) -> list[str]:
    """Table and timeline of one video; a slash in its name is a folder. Returns notes: letters that no font has."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "label", "score"])
    for action in sorted(actions):
        writer.writerow([f"{action.start_s:.3f}", f"{action.end_s:.3f}", action.label, f"{action.score:.4f}"])
    write_whole(out / f"{name}.csv", table.getvalue().encode())
    labels = sorted({action.label for action in actions})
    rows = [
        make_row(
            label,
            [action[:2] for action in actions if action.label == label],
            [label] * sum(action.label == label for action in actions),
            [action.score for action in actions if action.label == label],
            least=min_score,
            best=1.0,
        )
        for label in labels
    ]
    strip = Strip(name, duration_s, tuple(rows or [make_row("nothing found", [], [], [], least=min_score)]))
    return draw_timeline([strip], out / f"{name}.png")


def tell(name: str, actions: Sequence[Action]) -> None:
    """What a person wants to read first."""
    print(f"{name}: {len(actions)} actions")
    for action in sorted(actions)[:20]:
        print(f"  {action.start_s:8.2f} - {action.end_s:8.2f} s  {action.score:.2f}  {action.label}")
    if len(actions) > 20:
        print(f"  ... and {len(actions) - 20} more in the table")
