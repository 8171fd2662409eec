"""The picture of the study: accuracy against seconds of compute per minute of video."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from command.writing import write_whole
from flowless.comparing.table import Result

SHOWN = {  # row -> where its name stands, in points from its mark
    "rgb-only": (10, -4),
    "decomposed (frozen features)": (10, -4),
    "decomposed (twin)": (6, -22),
    "decomposed": (8, 6),
    "two-stream": (10, -4),
    "two-stream (gradient)": (8, -14),
}
COLOURS = {
    "rgb-only": "#6b7280",
    "decomposed": "#0f766e",
    "decomposed (twin)": "#0f766e",
    "decomposed (frozen features)": "#5eb5a6",
}


def draw(results: Sequence[Result], seconds: Mapping[str, float], path: Path, subset: str = "Test") -> None:
    """Writes a PNG: one mark a method, means over seeds with their spread, cost on a logarithmic axis."""
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for row, offset in SHOWN.items():
        values = [result.scores[subset] for result in results if result.row == row]
        reads = next((result.reads for result in results if result.row == row), "")
        if not values or reads not in seconds:
            continue
        error = stdev(values) if len(values) > 1 else 0.0
        colour = COLOURS.get(row, "#b45309")
        axes.errorbar(seconds[reads], fmean(values), error, fmt="o", color=colour, markersize=9, capsize=4)
        right = "right" if offset[0] < 0 else "left"
        axes.annotate(row, (seconds[reads], fmean(values)), offset, textcoords="offset points", color=colour, ha=right)
    axes.set_xscale("log")
    low, high = (limit * factor for limit, factor in zip(axes.get_xlim(), (0.85, 1.35), strict=True))
    axes.set_xlim(low, high)
    axes.margins(y=0.12)
    ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("seconds of compute per minute of video, one thread")
    axes.set_ylabel(f"average mAP in %, {subset}")
    axes.set_title("Trained with motion, run from RGB alone", loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_whole(path, picture.getvalue())
