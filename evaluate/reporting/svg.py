"""Inline SVG: shapes, text and axes as strings. Nothing is loaded from anywhere, so a page of them stands alone."""

from collections.abc import Sequence
from html import escape

INK, SOFT, RULE = "#1f2328", "#636c76", "#d8dee4"


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; content is markup already. Underscores in attribute names become dashes, None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_plain(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>{content}</{name}>" if content else f"<{name}{told}/>"


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """Text with its baseline at y; size 11 and soft ink unless told otherwise."""
    return tag("text", escape(words), x=x, y=y, **{"font_size": 11, "fill": SOFT, **attributes})


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": RULE, "stroke_width": 1, **attributes})


def rect(x: float, y: float, width: float, height: float, fill: str, **attributes: object) -> str:
    return tag("rect", x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), fill=fill, **attributes)


def titled(shape: str, words: str) -> str:
    """The shape with words that appear when the pointer rests on it."""
    return tag("g", tag("title", escape(words)) + shape)


def path(points: Sequence[tuple[float, float]], colour: str, **attributes: object) -> str:
    drawn = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("path", d=drawn, **{"fill": "none", "stroke": colour, "stroke_width": 1.8, **attributes})


def picture(width: float, height: float, content: str, words: str) -> str:
    """The whole drawing; words describe it to those who cannot see it."""
    return tag(
        "svg", content, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height, role="img", aria_label=words,
        xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def spread(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in their order, at least `distance` apart and between low and high if they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(wanted[i], low if not placed else placed[-1] + distance))
    limit = high
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], limit)
        limit = placed[k] - distance
    result = [0.0] * len(wanted)
    for place, i in zip(placed, order, strict=True):
        result[i] = place
    return result


def text_width(words: str, size: float = 11) -> float:
    """About how wide words are in a sans serif face."""
    return sum(0.30 if letter in "iljft.,:;'|! " else 0.85 if letter in "mwMW%@" else 0.58 for letter in words) * size


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(str(value))
