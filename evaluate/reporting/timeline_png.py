"""Truth and detections along time, as a PNG.

    draw_timeline(strips_of({"rgb": score}, choose_videos(score.annotations, 2)), "timeline.png")

One block per video, one row for the truth and one per run, seconds to the right; colour is the class, opacity the
score. The truth shines faintly through all rows, so that a glance tells what was hit, cut short or made up.
"""

import io
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from command.writing import write_whole
from evaluate.reporting.fonts import families_for
from evaluate.reporting.timeline_rows import Strip, TimelineRow, colours_of, ink_on, legend_of

WIDTH, ROW, HEAD, FOOT = 11.0, 0.30, 0.34, 0.30  # inches: page, one row, title and axis of a block
LEGEND_ROW = 0.185
SMALL_LETTER, SMALL_LINE = 0.062, 0.15  # of the sentence at the foot
DPI = 160
INK, FAINT = "#222222", "#888888"


def draw_timeline(strips: Sequence[Strip], path: Path | str) -> list[str]:
    """Write the picture; the file appears whole or not at all. Returns notes: letters that no font has."""
    picture = io.BytesIO()
    with _fonts(strips) as note:
        _figure(strips).savefig(picture, format="png", metadata={"Software": None})
    write_whole(Path(path), picture.getvalue())
    return [note] if note else []


def timeline_figure(strips: Sequence[Strip]) -> Figure:
    """The same as a figure that belongs to no window; letters that no font has become boxes."""
    with _fonts(strips):
        return _figure(strips)


@contextmanager
def _fonts(strips: Sequence[Strip]) -> Iterator[str | None]:
    """Fonts that have the letters of all names; yields a note on letters that none has."""
    names = [row.name for strip in strips for row in strip.rows]
    families, note = families_for([*names, *colours_of(strips), *(strip.video for strip in strips)])
    with rc_context({"font.family": families, "text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)  # the note says it once
        yield note


def _figure(strips: Sequence[Strip]) -> Figure:
    """All strips, one below the other, under the legend."""
    colours, names = colours_of(strips), [row.name for strip in strips for row in strip.rows]
    entries = legend_of(colours)
    left = 0.35 + 0.085 * max((_columns(name) for name in names), default=0)
    columns = max(1, int((WIDTH - left) / (0.55 + 0.08 * max((_columns(text) for text, _ in entries), default=1))))
    legend = LEGEND_ROW * -(-len(entries) // columns) + 0.2
    heights = [ROW * sum(row.height for row in strip.rows) for strip in strips]
    said = textwrap.wrap(caption(strips), int((WIDTH - left) / SMALL_LETTER))
    height = legend + sum(HEAD + each + FOOT for each in heights) + 0.35 + SMALL_LINE * max(0, len(said) - 1)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    figure.legend(
        handles=[Patch(facecolor=colour, label=text) for text, colour in entries],
        loc="upper left", bbox_to_anchor=(left / WIDTH, 1 - 0.1 / height), ncols=columns, fontsize=8.5, frameon=False,
        borderaxespad=0, borderpad=0, handlelength=1.1, handleheight=0.9, columnspacing=1.4, handletextpad=0.5,
    )  # fmt: skip
    top = height - legend
    for strip, rows in zip(strips, heights, strict=True):
        bottom = top - HEAD - rows
        axes = figure.add_axes((left / WIDTH, bottom / height, (WIDTH - left - 0.25) / WIDTH, rows / height))
        _draw_strip(axes, strip, colours, canvas)
        top = bottom - FOOT
        if strip is strips[-1]:
            axes.set_xlabel("seconds", fontsize=8.5, color=INK, labelpad=2)
    figure.text(left / WIDTH, 0.08 / height, "\n".join(said), fontsize=7.5, color=FAINT, va="bottom")
    return figure


def _columns(text: str) -> int:
    """How wide a text is, in Latin letters: those of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def caption(strips: Sequence[Strip]) -> str:
    """What is left out, and what opacity means."""
    least = {row.name: row.least for strip in strips for row in strip.rows if row.least is not None}
    shown = ", ".join(f"{name} from score {value:.2g}" for name, value in least.items())
    return f"Shown: {shown}; the more opaque, the higher the score." if least else ""


def _draw_strip(axes: Axes, strip: Strip, colours: Mapping[str, str], canvas: FigureCanvasAgg) -> None:
    axes.set_xlim(0, strip.duration_s)
    axes.set_ylim(sum(row.height for row in strip.rows), 0)
    axes.set_title(strip.video, loc="left", fontsize=9.5, color=INK, pad=5, fontweight="bold")
    axes.set_title(f"{strip.duration_s:.1f} s", loc="right", fontsize=8.5, color=FAINT, pad=5)
    for bar in strip.rows[0].bars:
        if bar.score is None:
            axes.axvspan(bar.start_s, bar.end_s, color=colours[bar.label], alpha=0.12, linewidth=0, zorder=0)
    y, middles = 0.0, []
    for row in strip.rows:
        axes.axhline(y, color="#cccccc", linewidth=0.6, zorder=1)
        _draw_row(axes, y, row, colours, canvas)
        middles.append(y + row.height / 2)
        y += row.height
    axes.set_yticks(middles, [row.name for row in strip.rows])
    axes.tick_params(axis="y", length=0, labelsize=8.5, pad=6, labelcolor=INK)
    axes.tick_params(axis="x", length=3, labelsize=8, color=FAINT, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10], min_n_ticks=3))
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _draw_row(axes: Axes, y: float, row: TimelineRow, colours: Mapping[str, str], canvas: FigureCanvasAgg) -> None:
    """Bars of one row from y downwards; a bar of truth carries its label where the label fits."""
    lane = (row.height - 0.2) / row.num_lanes
    for bar in row.bars:
        at = y + 0.1 + bar.lane * lane
        axes.barh(
            at, bar.end_s - bar.start_s, lane * 0.94, bar.start_s, align="edge", color=colours[bar.label],
            alpha=0.30 + 0.70 * bar.strength, linewidth=0, zorder=2 + bar.strength,
        )  # fmt: skip
        if bar.score is None:
            start, end = axes.transData.transform([(bar.start_s, 0), (bar.end_s, 0)])[:, 0]
            text = axes.text(
                (bar.start_s + bar.end_s) / 2, at + lane * 0.47, bar.label, ha="center", va="center_baseline",
                fontsize=7, color=ink_on(colours[bar.label]), zorder=5, clip_on=True,
            )  # fmt: skip
            if text.get_window_extent(canvas.get_renderer()).width > end - start - 6:
                text.remove()
