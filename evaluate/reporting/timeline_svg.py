"""Truth and detections along one video as inline SVG; what rests under the pointer tells its times, score and kind."""

from collections.abc import Mapping

from evaluate.reporting.svg import INK, RULE, SOFT, line, picture, rect, text, text_width, titled
from evaluate.reporting.timeline_rows import Strip, TimelineRow, ink_on

WIDTH, ROW, HEAD, FOOT = 840.0, 24.0, 22.0, 22.0


def strip_chart(strip: Strip, colours: Mapping[str, str], names: float) -> str:
    """Rows of truth and runs over seconds. names: room for the names of the rows, the same for all strips of a page."""
    across = WIDTH - names - 8
    scale = across / strip.duration_s
    rows = sum(row.height for row in strip.rows) * ROW
    parts = [
        text(names, 13, strip.video, fill=INK, font_weight=600, font_size=12),
        text(WIDTH - 8, 13, f"{strip.duration_s:.1f} s", text_anchor="end"),
    ]
    for bar in strip.rows[0].bars:
        band = rect(names + scale * bar.start_s, HEAD, scale * (bar.end_s - bar.start_s), rows, colours[bar.label])
        parts.append(band.replace("<rect", '<rect fill-opacity="0.12"', 1))
    y = HEAD
    for row in strip.rows:
        parts.append(line(names, y, names + across, y))
        parts.append(text(names - 8, y + row.height * ROW / 2 + 4, row.name, fill=INK, text_anchor="end"))
        parts += _bars(row, y, names, scale, colours)
        y += row.height * ROW
    parts.append(line(names, y, names + across, y, stroke=SOFT))
    step = tick_step(strip.duration_s)
    for k in range(int(strip.duration_s / step + 1e-9) + 1):
        x = names + scale * step * k
        parts.append(line(x, y, x, y + 4, stroke=SOFT))
        parts.append(text(x, y + 15, f"{step * k:g}" + (" s" if k == 0 else ""), text_anchor="middle", font_size=10))
    return picture(WIDTH, y + FOOT, "".join(parts), f"truth and detections of {strip.video}")


def tick_step(duration_s: float) -> float:
    """1, 2 or 5 times a power of ten, so that at most a dozen ticks cover the duration."""
    step = 0.01
    while True:
        for factor in (1, 2, 5):
            if duration_s / (step * factor) <= 12:
                return step * factor
        step *= 10


def _bars(row: TimelineRow, y: float, x: float, scale: float, colours: Mapping[str, str]) -> list[str]:
    """The bars of a row; truth carries its label where the label fits."""
    lane, parts = (row.height * ROW - 5) / row.num_lanes, []
    for bar in row.bars:
        start, width, top = x + scale * bar.start_s, scale * (bar.end_s - bar.start_s), y + 2.5 + bar.lane * lane
        colour = colours[bar.label]
        told = f"{bar.label}, {bar.start_s:.2f} to {bar.end_s:.2f} s"
        if bar.score is not None:
            told += f", score {bar.score:.3g}" + (f", {bar.remark}" if bar.remark else "")
        opacity = f"{0.30 + 0.70 * bar.strength:.2f}"
        parts.append(titled(rect(start, top, max(width, 1.0), lane - 1, colour, fill_opacity=opacity), told))
        if bar.score is None and text_width(bar.label, 10) + 6 < width:
            parts.append(
                text(
                    start + width / 2,
                    top + lane / 2 + 3,
                    bar.label,
                    fill=ink_on(colour),
                    font_size=10,
                    text_anchor="middle",
                )
            )
    return parts


def legend(entries: list[tuple[str, str]]) -> str:
    """Squares of colour with their names, as wide as the page and as high as they need."""
    x, y, parts = 0.0, 4.0, []
    for words, colour in entries:
        width = 18 + text_width(words, 12) + 18
        if x + width > WIDTH:
            x, y = 0.0, y + 20
        parts.append(rect(x, y, 12, 12, colour, stroke=RULE))
        parts.append(text(x + 18, y + 10.5, words, fill=INK, font_size=12))
        x += width
    return picture(WIDTH, y + 20, "".join(parts), "colours of the classes")
