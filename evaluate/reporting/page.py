"""The report as one HTML file that loads nothing: tables and inline charts, for the screen and for paper."""

from collections.abc import Mapping
from html import escape

import numpy as np

from evaluate.errors.error_types import GROUPS, TOUCHING
from evaluate.reporting.charts import (
    agreement_chart,
    bucket_chart,
    class_grid,
    curves_chart,
    error_chart,
    gain_chart,
    precision_recall_chart,
)
from evaluate.reporting.cost_records import METHODS
from evaluate.reporting.findings import Findings
from evaluate.reporting.page_style import STYLE, chip, document, figure, number, section, table
from evaluate.reporting.svg import text_width
from evaluate.reporting.timeline_rows import colours_of, legend_of
from evaluate.reporting.timeline_svg import legend, strip_chart

MANY_CLASSES = 24  # above this, curves of single classes are left out and gains show both ends only
RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#333333")
HALF = 408.0  # width of one of two charts side by side
MANY_TIOU = 7  # above this, the table shows the first, the middle and the last

Colours = dict[str, str]


def report_page(found: Findings, title: str, watch: Mapping[str, str] | None = None) -> str:
    """The whole page. watch: video -> link to a page that plays it."""
    colours = {run.name: RUN_COLOURS[i % len(RUN_COLOURS)] for i, run in enumerate(found.runs)}
    parts = (scores, curves, gains, errors, hardness, agreements)
    body = [heading(found, title), *(part(found, colours) for part in parts), timelines(found, watch or {})]
    body += [cost(found), remarks(found)]
    return document(title, STYLE, "\n".join(part for part in body if part))


def heading(found: Findings, title: str) -> str:
    """What was judged against what."""
    score = found.runs[0].score
    counts, tiou = score.counts, ", ".join(f"{t:g}" for t in np.round(score.result.tiou, 3))
    return (
        f"<header><h1>{escape(title)}</h1>\n"
        f'<p class="facts">{escape(score.annotations.source)}, subset {escape(score.subset)}: '
        f"{counts['videos']:,} videos, "
        f"{counts['segments']:,} actions of {counts['classes']} classes. Protocol {escape(score.protocol.name)} "
        f"({escape(score.protocol.description)}), rule {escape(score.rule.name)}; tIoU {tiou}.</p></header>"
    )


def scores(found: Findings, colours: Colours) -> str:
    """mAP at each threshold, with intervals and how much of the gap is closed."""
    tiou = found.runs[0].score.result.tiou
    shown = list(range(len(tiou))) if len(tiou) <= MANY_TIOU else [0, len(tiou) // 2, len(tiou) - 1]
    values = np.array([[*run.score.result.mAP[shown], run.score.result.average_mAP] for run in found.runs])
    gap = found.roles.ceiling is not None
    head = ["mAP in % at tIoU", *(f"{t:g}" for t in np.round(tiou[shown], 3)), "average"]
    head += ["95 %<br>interval"] * bool(found.intervals) + [f"gain over<br>{escape(found.roles.baseline)}"]
    head += ["gap<br>closed"] * gap
    rows, best = [], []
    for run, row in zip(found.runs, values, strict=True):
        cells = [chip(colours[run.name], run.name), *(number(value) for value in row)]
        if found.intervals:
            each = found.intervals[run.name]
            cells.append(f"{number(each.low, 1)} to {number(each.high, 1)}")
        is_base = run.name == found.roles.baseline
        cells.append(
            "–" if is_base else number(row[-1] - values[_index(found, found.roles.baseline)][-1], 2, sign=True)
        )
        if gap:
            share = found.gap_closed(run.name)
            cells.append("–" if share is None else f"{100 * share:.0f} %".replace("-", "−"))
        rows.append(cells)
        bold = [bool(value == top and len(values) > 1) for value, top in zip(row, values.max(axis=0), strict=True)]
        best.append([False, *bold, *[False] * (len(cells) - len(bold) - 1)])
    lead = "The best of each column is bold."
    if len(shown) < len(tiou):
        lead += f" The average is over all {len(tiou)} thresholds."
    if found.intervals:
        lead += " Intervals are a bootstrap over the test videos."
    if gap:
        lead += (
            f" Gap closed: how far a run gets from {escape(found.roles.baseline)} (0 %) to "
            f"{escape(found.roles.ceiling or '')} (100 %)."
        )
    sentences = "".join(f"<li>{escape(str(each))}</li>" for each in found.comparisons.values())
    return section("Scores", lead, table(head, rows, best), f"<ul>{sentences}</ul>" if sentences else "")


def curves(found: Findings, colours: Colours) -> str:
    """mAP over tIoU beside precision over recall; the same of single classes where they are few."""
    tiou = found.runs[0].score.result.tiou
    left = ""
    if len(tiou) > 1:
        series = {run.name: (tiou, run.score.result.mAP) for run in found.runs}
        top = _axis_end(max(run.score.result.mAP.max() for run in found.runs))
        chart = curves_chart(series, colours, ("tIoU", "mAP in %"), np.round(tiou, 3).tolist(), top, HALF)
        left = figure(chart, "mAP in % over tIoU.")
    at = {run.name: float(run.score.result.mAP[found.column]) for run in found.runs}
    right = figure(
        precision_recall_chart(found.curves, at, colours, HALF),
        f"Precision over recall in % at tIoU {found.tiou:g}, mean over classes.",
    )
    grid = ""
    if len(next(iter(found.curves.values()))) <= MANY_CLASSES:
        grid = figure(
            class_grid(found.curves, colours),
            f"The same for each class; both axes from 0 to 100 %. {_runs_in_colour(found, colours)}",
        )
    return section("Curves", "", f'<div class="pair">{left}{right}</div>', grid)


def gains(found: Findings, colours: Colours) -> str:
    """Which classes gain."""
    if not found.gains or found.roles.subject is None:
        return ""
    baseline, subject, ceiling = found.roles.baseline, found.roles.subject, found.roles.ceiling
    shown, left_out = found.gains, 0
    if len(shown) > 2 * MANY_CLASSES:
        left_out = len(shown) - 2 * MANY_CLASSES
        shown = [*shown[:MANY_CLASSES], *shown[-MANY_CLASSES:]]
    high = {}
    if ceiling and ceiling != subject:
        high = {label: float(ap.mean()) for label, ap in found.score(ceiling).result.per_class.items()}
    test = found.comparisons.get(subject)
    ends = {label: (low, top) for label, (_, low, top) in test.per_class.items()} if test else {}
    tones = [colours[baseline], colours[subject], colours[ceiling] if ceiling else ""]
    caption = f"Ring: {chip(tones[0], baseline)} dot: {chip(tones[1], subject)}"
    caption += f" tick: {chip(tones[2], ceiling or '')}" if high else ""
    caption += " thin line: 95 % interval of the gain." if ends else ""
    caption += f" {left_out} classes in between are left out." if left_out else ""
    lead = (
        f"Average AP of each class, sorted by what {escape(subject)} gains over {escape(baseline)}. Classes that share "
        f"their looks and differ by motion belong at the top."
    )
    visible = {each.label: ends[each.label] for each in shown if each.label in ends}
    return section("Which classes gain", lead, figure(gain_chart(shown, high, visible, tones), caption))


def errors(found: Findings, colours: Colours) -> str:
    """Kinds of mistakes of each run."""
    lead = (
        f"The best {GROUPS} G predictions of each class with G actions, after DETAD. A wrong prediction is judged by "
        f"the action it overlaps most: under {TOUCHING:g} it is background, under the threshold badly localised (right "
        f"class) or a confusion (wrong class), beyond it a double detection or a wrong label."
    )
    most = max(max(each.profile.gain.values()) for each in found.diagnoses.values())
    charts = []
    for run in found.runs:
        profile = found.diagnoses[run.name].profile
        facts = f"normalised mAP {number(profile.average_mAP_N)} % over {profile.num_judged:,} predictions"
        head = f'<h3>{chip(colours[run.name], run.name)}<span class="note">{facts}</span></h3>'
        charts.append(f'<div class="keep">{head}{figure(error_chart(profile, most))}</div>')
    return section("What goes wrong", lead, *charts)


def hardness(found: Findings, colours: Colours) -> str:
    """Sensitivity and misses."""
    buckets = {run.name: found.diagnoses[run.name].buckets for run in found.runs}
    first = next(iter(buckets.values()))
    ranges = "; ".join(
        f"{name}: " + ", ".join(f"{row.name} {row.range}" for row in rows) for name, rows in first.items()
    )
    lead = (
        "Actions in buckets from small to large: coverage is an action's share of its video, instances the number of "
        "actions in it. Under each bucket, its share of the actions."
    )
    runs = _runs_in_colour(found, colours)
    return section(
        "Which actions are hard",
        lead,
        figure(
            bucket_chart(buckets, colours, "mAP_N"), f"Normalised mAP in % on the actions of one bucket alone. {runs}"
        ),
        figure(
            bucket_chart(buckets, colours, "miss_rate"),
            "Misses: share in % of a bucket's actions that nothing hits before normalised precision falls to 5 %.",
        ),
        f'<p class="note">{escape(ranges)}.</p>',
    )


def agreements(found: Findings, colours: Colours) -> str:
    """Who finds what the baseline finds."""
    if not found.agreements:
        return ""
    baseline = found.roles.baseline
    lead = (
        f"Which actions {escape(baseline)} and each other run find at tIoU {found.tiou:g}, each with the detections "
        f"above its own best F1."
    )
    rows = [
        [
            chip(colours[name], name),
            number(each.jaccard, 1),
            number(each.counterpart, 1),
            number(each.same_class, 1),
        ]
        for name, each in found.agreements.items()
    ]
    head = ["in %", "found by both,<br>of found by either", f"detections of {escape(baseline)}<br>with a counterpart"]
    head.append("of these,<br>of the same class")
    chart = agreement_chart(found.agreements, baseline, colours)
    return section("Agreement", lead, figure(chart), table(head, rows))


def timelines(found: Findings, watch: Mapping[str, str]) -> str:
    """Truth and detections of some videos."""
    if not found.strips:
        return ""
    tones = colours_of(found.strips)
    names = 16 + max(text_width(row.name) for strip in found.strips for row in strip.rows)
    least = {row.name: row.least for strip in found.strips for row in strip.rows if row.least is not None}
    told = ", ".join(f"{escape(name)} from {value:.2g}" for name, value in least.items())
    lead = (
        f"Detections above each run's best F1 over the whole subset (scores: {told}); the more opaque, the higher the "
        f"score. The truth shines faintly through all rows."
    )
    return section(
        "Timelines",
        lead,
        figure(legend(legend_of(tones)), kind="legend"),
        *(figure(strip_chart(strip, tones, names), _link(strip.video, watch)) for strip in found.strips),
    )


def cost(found: Findings) -> str:
    """Seconds of compute."""
    if found.cost is None:
        return ""
    methods = found.cost.methods
    stages = list(dict.fromkeys(stage for name in METHODS for stage in METHODS[name] if name in methods))
    stages.sort(key=lambda stage: stage == "detector")
    rows = [
        [stage.replace("_", " "), *(_seconds(each.stages.get(stage)) for each in methods.values())] for stage in stages
    ]
    rows.append(["total", *(f"<b>{_seconds(each.seconds_per_minute)}</b>" for each in methods.values())])
    rows.append(["times RGB-only", *(f"{each.times_rgb_only:.1f}" for each in methods.values())])
    peaks = (
        f"{each.peak_memory_bytes / 2**20:,.0f} MiB" if each.peak_memory_bytes else "–" for each in methods.values()
    )
    rows.append(["peak memory", *peaks])
    many = "video" if len(found.cost.videos) == 1 else "videos"
    lead = (
        f"Seconds of compute per minute of video, measured on {len(found.cost.videos)} {many} "
        f"({found.cost.minutes:.1f} minutes) on {escape(found.cost.where)}."
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.cost.notes)
    return section("Cost", lead, table(["", *methods], rows), f"<ul>{notes}</ul>" if notes else "")


def remarks(found: Findings) -> str:
    """What a reader must know beside the numbers."""
    told: dict[str, list[str]] = {}
    for run in found.runs:
        for remark in run.score.remarks:
            told.setdefault(remark, []).append(run.name)
    files = "".join(f"<li>{escape(run.name)}: {escape(run.score.detections.source)}</li>" for run in found.runs)
    notes = "".join(
        f"<li>{escape(remark if len(names) == len(found.runs) else remark + _of(names))}</li>"
        for remark, names in told.items()
    )
    return section("Files and remarks", "", f"<ul>{files}{notes}</ul>")


def _link(video: str, watch: Mapping[str, str]) -> str:
    return f'<a href="{escape(watch[video])}">Watch {escape(video)}</a>' if video in watch else ""


def _of(names: list[str]) -> str:
    """(rgb, direct)": the runs that a remark concerns."""
    return f" ({', '.join(names)})"


def _index(found: Findings, name: str) -> int:
    return next(i for i, run in enumerate(found.runs) if run.name == name)


def _runs_in_colour(found: Findings, colours: Colours) -> str:
    return " ".join(f"{chip(colours[run.name], run.name)}" for run in found.runs)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _axis_end(value: float) -> float:
    """The next tenth above, at most 1."""
    return min(1.0, np.ceil(value * 10 + 0.2) / 10)
