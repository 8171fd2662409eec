"""The timeline of a video as a figure of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from command.errors import FlowlessError
from detect.shown import Action
from evaluate.reporting.timeline_png import timeline_figure
from evaluate.reporting.timeline_rows import Strip, TimelineRow, make_row

Rows = Sequence[tuple[float, float, str] | tuple[float, float, str, float] | Action]


def plot_timeline(
    rows: Mapping[str, Rows], *, duration_s: float | None = None, title: str = "", min_score: float = 0.0
) -> Figure:
    """What happens in a video and what was detected there, a row each, above an axis of seconds.

    rows: by name, such as {"truth": [(1.0, 4.0, "jump")], "rgb": detect(...)}. Rows of three, (start_s, end_s, label),
    are true, and shaded down through all rows; rows of four carry a score, the more opaque the higher; those below
    `min_score` are left out. duration_s: of the video (default: to the end of the last action).

    The figure belongs to no window: `figure.savefig("timeline.png")`, or show it as the last line of a cell.
    """
    if not rows:
        raise FlowlessError("rows: expected a row of actions by its name, such as {'truth': [(1.0, 4.0, 'jump')]}")
    made = [_row(name, list(actions), min_score) for name, actions in rows.items()]
    made.sort(key=lambda row: not (row.bars and row.least is None))  # the truth first: it is seen through the others
    end_s = max((action[1] for actions in rows.values() for action in actions), default=1.0)
    return timeline_figure([Strip(title, float(duration_s or end_s), tuple(made))])


def _row(name: str, actions: Sequence[Sequence[float | str]], min_score: float) -> TimelineRow:
    times, labels = [action[:2] for action in actions], [str(action[2]) for action in actions]
    widths = {len(action) for action in actions}
    if not widths <= {3} and not widths <= {4}:
        raise FlowlessError(f"{name}: expected (start_s, end_s, label) rows, or (start_s, end_s, label, score) rows")
    if widths == {4}:
        return make_row(name, times, labels, [float(action[3]) for action in actions], least=min_score, best=1.0)
    return make_row(name, times, labels)
