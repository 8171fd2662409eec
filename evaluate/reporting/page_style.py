"""The pieces that a report page is set from: its style sheet, sections, figures and tables."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { --ink: #1f2328; --soft: #636c76; --rule: #d8dee4; --wash: #f6f8fa; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: white; color: var(--ink); line-height: 1.5;
  font: 15px/1.5 "Source Sans 3", "Source Sans Pro", "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { max-width: 888px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); font-weight: 650; }
h3 { font-size: 15px; margin: 18px 0 4px; font-weight: 650; }
h3 .note { font-weight: 400; }
h3 + figure { margin-top: 4px; }
p { margin: 4px 0 12px; max-width: 54em; }
p.facts, figcaption, .note { color: var(--soft); font-size: 13px; }
figure { margin: 12px 0 20px; }
figcaption { margin-bottom: 6px; max-width: none; }
svg { display: block; max-width: 100%; height: auto;
  font-family: "Source Sans 3", "Source Sans Pro", "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
.pair { display: flex; gap: 24px; flex-wrap: wrap; }
.pair > figure { flex: 1 1 400px; min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0 14px; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 0 4px 17px; text-align: right; white-space: nowrap; }
th { line-height: 1.25; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 1.5px solid var(--ink); font-weight: 600; vertical-align: bottom; }
tbody td { border-bottom: 1px solid var(--rule); }
tbody tr:last-child td { border-bottom: 1.5px solid var(--ink); }
td.best { font-weight: 700; }
td.faint { color: var(--soft); }
.run { white-space: nowrap; margin-right: 0.9em; }
.chip { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
ul { margin: 4px 0 12px; padding-left: 18px; color: var(--soft); font-size: 13px; }
@page { size: A4; margin: 14mm 13mm; }
@media print {
  body { font-size: 9.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 18px; }
  h1 { font-size: 20pt; }
  h2 { font-size: 13.5pt; }
  h2, h3, figcaption, section > p, .legend { break-after: avoid; }
  figure, table, p, .keep { break-inside: avoid; }
  .pair { flex-wrap: nowrap; gap: 16px; }
  .pair > figure { flex-basis: 0; }
  .wide { overflow: visible; }
  table { font-size: 9pt; }
  p.facts, figcaption, .note, ul { font-size: 8.5pt; }
  th, td { padding-left: 14px; }
}
"""


def document(title: str, style: str, body: str) -> str:
    """The whole file."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, lead: str, *content: str) -> str:
    """A heading, a paragraph that says how to read what follows (markup), and what follows."""
    told = f"<p>{lead}</p>" if lead else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{told}\n" + "\n".join(content) + "\n</section>"


def figure(chart: str, caption: str = "", kind: str = "chart") -> str:
    """A chart under its caption (markup)."""
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{told}{chart}</figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], best: Sequence[Sequence[bool]] = ()) -> str:
    """A table of markup cells; best marks cells to be set bold."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    lines = []
    for i, row in enumerate(rows):
        marks = best[i] if best else [False] * len(row)
        cells = (f'<td class="best">{c}</td>' if m else f"<td>{c}</td>" for c, m in zip(row, marks, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def chip(colour: str, name: str) -> str:
    """A name after a small square of its colour, never torn apart."""
    return f'<span class="run"><span class="chip" style="background:{colour}"></span>{escape(name)}</span>'


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A fraction in percent with a true minus sign; a dash for nothing."""
    if value is None or value != value:
        return "–"
    return f"{100 * value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
