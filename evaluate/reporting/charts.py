"""The charts of a report, as inline SVG: curves, error profiles, gains, buckets, agreement.

Every chart gets the colour of each run, so that a run looks the same on the whole page. Values are fractions of 1 and
are written in percent.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluate.errors.characteristics import Bucket
from evaluate.errors.compare import Agreement, Gain
from evaluate.errors.error_types import GROUPS, KINDS, ErrorProfile
from evaluate.metrics.curves import RECALL, mean_curve
from evaluate.reporting.svg import INK, RULE, SOFT, line, path, picture, rect, spread, tag, text, text_width, titled

KIND_COLOURS = dict(zip(KINDS, ("#009E73", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#B4BAC1"), strict=True))
WIDTH = 840.0  # of the page's column

Curves = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def curves_chart(
    series: Curves, colours: Mapping[str, str], words: tuple[str, str], ticks: Sequence[float], top: float, size: float
) -> str:
    """Lines over x with their names at their right ends. words: what x and y are; ticks on x; y from 0 to top."""
    left, right, high, height = 34.0, 14 + 1.2 * max(text_width(name) for name in series), 12.0, 210.0
    across = size - left - right
    x0, x1 = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across * (x - x0) / (x1 - x0), high + height * (1 - y / top)

    parts = _y_axis(left, left + across, high, height, top)
    for tick in ticks:
        x, _ = place(tick, 0)
        parts.append(text(x, high + height + 16, f"{tick:g}", text_anchor="middle"))
    parts.append(text(left + across / 2, high + height + 34, words[0], text_anchor="middle"))
    ends = [place(float(x[-1]), float(y[-1]))[1] for x, y in series.values()]
    labels = spread(ends, 14, high + 6, high + height - 2)
    for (name, (xs, ys)), end, at in zip(series.items(), ends, labels, strict=True):
        points = [place(float(a), float(b)) for a, b in zip(xs, ys, strict=True)]
        parts.append(titled(path(points, colours[name]), f"{name}: {words[1]} over {words[0]}"))
        if len(points) <= 12:
            parts += [
                titled(
                    tag("circle", cx=px, cy=py, r=2.6, fill=colours[name]), f"{name}: {100 * value:.2f} % at {at_x:g}"
                )
                for (px, py), value, at_x in zip(points, ys, xs, strict=True)
            ]
        if abs(end - at) > 3:
            parts.append(line(left + across + 1, end, left + across + 7, at, stroke=colours[name]))
        parts.append(text(left + across + 9, at + 4, name, fill=colours[name], font_weight=600))
    return picture(size, high + height + 40, "".join(parts), f"{words[1]} over {words[0]}, a line for each run")


def precision_recall_chart(
    curves: Mapping[str, dict[str, NDArray[np.float64]]],
    map_: Mapping[str, float],
    colours: Mapping[str, str],
    size: float,
) -> str:
    """Mean precision over recall of each run; the runs and their mAP stand to the right, above or below."""
    left, high, height = 34.0, 12.0, 210.0
    across = size - left - 12
    parts = _y_axis(left, left + across, high, height, 1.0)
    for tick in range(0, 101, 20):
        parts.append(text(left + across * tick / 100, high + height + 16, str(tick), text_anchor="middle"))
    parts.append(text(left + across / 2, high + height + 34, "recall in %", text_anchor="middle"))
    for name, each in curves.items():
        points = zip(RECALL.tolist(), mean_curve(each).tolist(), strict=True)
        drawn = [(left + across * recall, high + height * (1 - precision)) for recall, precision in points]
        parts.append(titled(path(drawn, colours[name]), name))
    to_the_right = np.mean([mean_curve(each)[RECALL >= 0.6].mean() for each in curves.values()])
    top = high if to_the_right < 0.5 else high + height - 16 * len(map_) - 24
    parts.append(text(size - 12, top + 14, "mAP", text_anchor="end"))
    for i, name in enumerate(sorted(map_, key=lambda each: -map_[each])):
        y = top + 31 + 16 * i
        parts.append(text(size - 50, y, name, text_anchor="end", fill=colours[name], font_weight=600))
        parts.append(text(size - 12, y, f"{100 * map_[name]:.1f}", text_anchor="end", fill=INK))
    return picture(size, high + height + 40, "".join(parts), "precision over recall, a line for each run")


def class_grid(curves: Mapping[str, dict[str, NDArray[np.float64]]], colours: Mapping[str, str]) -> str:
    """Precision over recall of each class, small and many; both axes run from 0 to 100 %."""
    labels = list(next(iter(curves.values())))
    columns = min(6, max(4, len(labels)))
    side, gap, head = (WIDTH - 12 * (columns - 1)) / columns, 12.0, 18.0
    down = side * 0.62
    parts = []
    for i, label in enumerate(labels):
        x, y = (i % columns) * (side + gap), (i // columns) * (down + head + 14) + head
        parts.append(text(x, y - 5, _shortened(label, side), fill=INK))
        parts.append(rect(x, y, side, down, "none", stroke=RULE))
        for name, each in curves.items():
            points = [
                (x + side * float(r), y + down * (1 - float(p))) for r, p in zip(RECALL, each[label], strict=True)
            ]
            parts.append(path(points, colours[name], stroke_width=1.4))
    rows = -(-len(labels) // columns)
    return picture(WIDTH, rows * (down + head + 14), "".join(parts), "precision over recall for each class and run")


def error_chart(profile: ErrorProfile, most: float) -> str:
    """Kinds of mistakes by rank to the left, the gain from removing each to the right; rows are their own legend.

    most: the gain that fills the width, the same for all runs of a page.
    """
    left, high, height, bar = 34.0, 22.0, 176.0, 25.0
    shown = [g for g in range(GROUPS) if not np.isnan(profile.by_group[g][KINDS[0]])]
    parts = [text(left, 10, "by rank, in %", fill=INK), *_y_axis(left, left + GROUPS * (bar + 6), high, height, 1.0)]
    for g in shown:
        y, x = high + height, left + 4 + g * (bar + 6)
        for kind in KINDS:
            share = profile.by_group[g][kind]
            y -= height * share
            shape = rect(x, y, bar, height * share, KIND_COLOURS[kind])
            parts.append(titled(shape, f"{kind}: {100 * share:.1f} % of ranks {g} G to {g + 1} G"))
        parts.append(text(x + bar / 2, high + height + 15, f"{g + 1}G", text_anchor="middle"))
    start = left + GROUPS * (bar + 6) + 34
    names, shares, gains = start + 18, start + 180, start + 204
    parts.append(text(shares, 10, "share", fill=INK, text_anchor="end"))
    parts.append(text(gains, 10, "gain in normalised mAP if removed, in points", fill=INK))
    for i, kind in enumerate(KINDS):
        y = high + 4 + i * 29
        parts.append(rect(start, y, 12, 12, KIND_COLOURS[kind]))
        parts.append(text(names, y + 10, kind, fill=INK, font_size=12))
        parts.append(
            text(shares, y + 10, f"{100 * profile.share[kind]:.1f}", fill=INK, font_size=12, text_anchor="end")
        )
        if kind in profile.gain:
            gain = profile.gain[kind]
            length = (WIDTH - gains - 60) * max(gain, 0.0) / max(most, 1e-3)
            parts.append(rect(gains, y, length, 12, KIND_COLOURS[kind]))
            parts.append(
                text(gains + length + 6, y + 10, f"{100 * gain:+.2f}".replace("-", "−"), fill=INK, font_size=12)
            )
    return picture(
        WIDTH, high + height + 22, "".join(parts), "kinds of mistakes by rank, and the gain from removing each"
    )


def bucket_chart(buckets: Mapping[str, Mapping[str, list[Bucket]]], colours: Mapping[str, str], what: str) -> str:
    """One panel per characteristic, a line per run over its buckets. what: "mAP_N" or "miss_rate"."""
    names = list(next(iter(buckets.values())))
    panel, gap, left, high, height = (WIDTH - 34) / len(names), 30.0, 34.0, 24.0, 150.0
    values = [getattr(each, what) for run in buckets.values() for rows in run.values() for each in rows]
    top = _ceiling(max(values))
    parts = _y_axis(left, WIDTH, high, height, top)
    for k, characteristic in enumerate(names):
        begin, across = left + k * panel + gap / 2, panel - gap
        rows = next(iter(buckets.values()))[characteristic]
        step = across / len(rows)
        parts.append(text(begin + across / 2, 12, characteristic, fill=INK, text_anchor="middle", font_weight=600))
        for i, row in enumerate(rows):
            x = begin + (i + 0.5) * step
            label = text(x, high + height + 15, row.name, text_anchor="middle", fill=INK)
            parts.append(titled(label, f"{row.range}: {100 * row.share:.1f} % of the actions"))
            parts.append(text(x, high + height + 28, f"{100 * row.share:.0f}%", text_anchor="middle", font_size=10))
        for name, run in buckets.items():
            points = [
                (begin + (i + 0.5) * step, high + height * (1 - getattr(row, what) / top))
                for i, row in enumerate(run[characteristic])
            ]
            parts.append(path(points, colours[name], stroke_width=1.2, stroke_opacity=0.6))
            for (x, y), row in zip(points, run[characteristic], strict=True):
                dot = tag("circle", cx=x, cy=y, r=3.4, fill=colours[name])
                parts.append(titled(dot, f"{name}, {characteristic} {row.range}: {100 * getattr(row, what):.1f} %"))
    return picture(WIDTH, high + height + 32, "".join(parts), f"{what} by characteristics of the actions")


def gain_chart(
    gains: Sequence[Gain],
    ceiling: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    colours: Sequence[str],
) -> str:
    """A row per class: AP before (ring), after (dot), with a tick for the ceiling; the gain and its interval right.

    colours: of before, after and the ceiling.
    """
    row, names = 19.0, max([60.0, *(min(text_width(each.label, 12), 190) for each in gains)])
    left, across, top = names + 64, WIDTH - names - 64 - 290, 26.0
    middle, half = WIDTH - 160, 90.0
    reach = max([0.01, *(abs(each.gain) for each in gains), *(abs(v) for ends in intervals.values() for v in ends)])
    parts = [text(names + 46, 12, "actions", text_anchor="end"), text(left, 12, "average AP in %")]
    parts += [text(middle, 12, "gain in points", text_anchor="middle")]
    for tick in (0, 25, 50, 75, 100):
        x = left + across * tick / 100
        parts.append(line(x, top - 4, x, top + row * len(gains)))
        parts.append(text(x, top + row * len(gains) + 14, str(tick), text_anchor="middle"))
    parts.append(line(middle, top - 4, middle, top + row * len(gains), stroke=SOFT))
    for i, each in enumerate(gains):
        y = top + row * (i + 0.5)
        before, after = (left + across * value for value in (each.before, each.after))
        parts.append(text(0, y + 4, _shortened(each.label, 190, 12), fill=INK, font_size=12))
        parts.append(text(names + 46, y + 4, str(each.num_truth), text_anchor="end"))
        parts.append(line(before, y, after, y, stroke=colours[1], stroke_width=2, stroke_opacity=0.45))
        if each.label in ceiling:
            x = left + across * ceiling[each.label]
            parts.append(line(x, y - 6, x, y + 6, stroke=colours[2], stroke_width=2))
        parts.append(tag("circle", cx=before, cy=y, r=3.8, fill="white", stroke=colours[0], stroke_width=1.8))
        dot = tag("circle", cx=after, cy=y, r=4.2, fill=colours[1])
        parts.append(titled(dot, f"{each.label}: {100 * each.before:.1f} to {100 * each.after:.1f}"))
        width = half * each.gain / reach
        parts.append(rect(middle + min(width, 0), y - 5, abs(width), 10, colours[1] if width > 0 else "#9AA1A9"))
        if each.label in intervals:
            low, high = (middle + half * value / reach for value in intervals[each.label])
            parts.append(line(low, y, high, y, stroke=INK, stroke_width=1.1))
        parts.append(
            text(WIDTH, y + 4, f"{100 * each.gain:+.1f}".replace("-", "−"), fill=INK, font_size=12, text_anchor="end")
        )
    return picture(WIDTH, top + row * len(gains) + 20, "".join(parts), "average precision of each class under two runs")


def agreement_chart(agreements: Mapping[str, Agreement], baseline: str, colours: Mapping[str, str]) -> str:
    """A bar per run: which share of the actions both, one or none of it and the baseline find."""
    names = max(text_width(name, 12) for name in agreements) + 16
    across, parts = WIDTH - names, []
    for i, (name, each) in enumerate(agreements.items()):
        y, x = 30.0 * i + 18, names
        parts.append(text(0, y + 14, name, fill=INK, font_size=12))
        pieces = (
            ("both", each.both, "#5B6B7A", "white"),
            (f"only {baseline}", each.only_first, colours[baseline], "white"),
            (f"only {name}", each.only_second, colours[name], "white"),
            ("neither", each.neither, "#E7EBEF", SOFT),
        )
        for words, share, colour, ink in pieces:
            told = f"{words} {100 * share:.1f} %"
            parts.append(titled(rect(x, y, across * share, 20, colour), told))
            for label in (told, f"{100 * share:.0f}"):
                if text_width(label) + 8 < across * share:
                    parts.append(text(x + 5, y + 14, label, fill=ink))
                    break
            x += across * share
    return picture(WIDTH, 30.0 * len(agreements) + 14, "".join(parts), "which actions two runs find")


def _y_axis(x0: float, x1: float, high: float, height: float, top: float) -> list[str]:
    """Rules across and percent numbers to their left, from 0 to top."""
    step = 0.25 if top > 0.6 else 0.1 if top > 0.25 else 0.05 if top > 0.1 else 0.02
    parts = []
    for value in np.arange(0, top + 1e-9, step):
        y = high + height * (1 - value / top)
        parts.append(line(x0, y, x1, y, stroke=SOFT if value == 0 else RULE))
        parts.append(text(x0 - 6, y + 4, f"{100 * value:.0f}", text_anchor="end"))
    return parts


def _ceiling(value: float) -> float:
    """The end of an axis that holds the value."""
    for low, high in pairwise((0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)):
        if low <= value <= high:
            return high
    return 1.0


def _shortened(words: str, width: float, size: float = 11) -> str:
    """The words, or as many letters of them as fit, with an ellipsis."""
    if text_width(words, size) <= width:
        return words
    while words and text_width(words + "…", size) > width:
        words = words[:-1]
    return words + "…"
