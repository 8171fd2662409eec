"""The picture of a comparison and of the study: accuracy against seconds of compute per minute of video."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from command.writing import write_whole
from flowless.comparing.methods import BASELINE, CEILING
from flowless.comparing.table import Result

BELOW, BESIDE, ABOVE = -15, -4, 7  # points from the middle of a mark to the foot of its name
COST_ALIKE, NEAR = 1.3, 0.06  # names of marks as near as these would overlap: by factor of cost, by share of the height
GREY, GREEN, ORANGE = "#6b7280", "#0f766e", "#b45309"


@dataclass(frozen=True)
class Mark:
    """One row of the table: its cost, and its accuracy with each seed."""

    row: str
    seconds: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def colour(self) -> str:
        if self.row == BASELINE:
            return GREY
        return ORANGE if self.row.startswith(CEILING) else GREEN


def marks(results: Sequence[Result], seconds: Mapping[str, float], rows: Sequence[str], subset: str) -> list[Mark]:
    """Of the rows whose cost is known, from the lowest accuracy to the best."""
    found = []
    for row in rows:
        some = [result for result in results if result.row == row]
        if some and some[0].reads in seconds:
            found.append(Mark(row, seconds[some[0].reads], tuple(result.scores[subset] for result in some)))
    return sorted(found, key=lambda mark: mark.mean)


def places(drawn: Sequence[Mark]) -> list[int]:
    """Where the name of each mark stands: beside it, or out of the way of a neighbour."""
    height = max(mark.mean for mark in drawn) - min(mark.mean for mark in drawn) or 1.0

    def near(one: Mark, other: Mark) -> bool:
        cost = max(one.seconds, other.seconds) / min(one.seconds, other.seconds)
        return cost <= COST_ALIKE and abs(one.mean - other.mean) <= NEAR * height

    found = []
    for number, mark in enumerate(drawn):
        if any(near(mark, lower) for lower in drawn[:number]):
            found.append(ABOVE)
        else:
            found.append(BELOW if any(near(mark, higher) for higher in drawn[number + 1 :]) else BESIDE)
    return found


def draw(
    results: Sequence[Result], seconds: Mapping[str, float], path: Path, rows: Sequence[str], subset: str = "Test"
) -> bool:
    """Writes a PNG: one mark a method, means over seeds with their spread, cost on a logarithmic axis.

    Methods of unknown cost are left out; False, and no file, where none is left.
    """
    drawn = marks(results, seconds, rows, subset)
    if not drawn:
        return False
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for mark, place in zip(drawn, places(drawn), strict=True):
        error = stdev(mark.values) if len(mark.values) > 1 else None
        axes.errorbar(mark.seconds, mark.mean, error, fmt="o", color=mark.colour, markersize=9, capsize=4)
        at = (mark.seconds, mark.mean)
        axes.annotate(mark.row, at, (10, place), textcoords="offset points", color=mark.colour)
    axes.set_xscale("log")
    low, high = (limit * factor for limit, factor in zip(axes.get_xlim(), (0.85, 1.5), strict=True))
    axes.set_xlim(low, high)
    axes.margins(y=0.12)
    ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("seconds of compute per minute of video")
    axes.set_ylabel(f"average mAP in %, {subset}")
    axes.set_title("Trained with motion, run from RGB alone", loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_whole(path, picture.getvalue())
    return True
