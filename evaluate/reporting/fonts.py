"""Fonts for names in any script: matplotlib's own knows Latin, Greek and Cyrillic; others are looked for.

families, note = families_for(["反手击球", "Dive"])
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font

PLAIN = "DejaVu Sans"  # comes with matplotlib
LAST_RESORT = "Last Resort"  # draws a box with the name of the script for any letter: no answer
SHOWN = 5  # missing characters that the note lists


def families_for(texts: Iterable[str]) -> tuple[list[str], str | None]:
    """Font families, the first that has a letter draws it; and a sentence where no font of this machine has some."""
    wanted = {letter for text in texts for letter in text if letter.isprintable() and not letter.isspace()}
    families = [PLAIN]
    missing = wanted - _letters(findfont(FontProperties(family=PLAIN)))
    while missing:
        entry, gained = _best_font(frozenset(missing))
        if entry is None:
            break
        families.append(entry.name)
        missing -= gained
    if not missing:
        return families, None
    some = " ".join(sorted(missing)[:SHOWN]) + (" ..." if len(missing) > SHOWN else "")
    scripts = ", ".join(sorted({_script(letter) for letter in missing}))
    return families, (
        f"no font on this machine has {len(missing)} of the characters to draw ({some}; {scripts}): they appear as "
        f"boxes in the picture. Install a font that has them, such as Noto Sans, and draw it again"
    )


def _best_font(missing: frozenset[str]) -> tuple[FontEntry | None, frozenset[str]]:
    """The installed font that has most of the letters; among equals, an upright sans serif."""
    best: tuple[FontEntry | None, frozenset[str]] = (None, frozenset())
    entries = [entry for entry in fontManager.ttflist if not entry.name.startswith(LAST_RESORT)]
    entries.sort(key=lambda e: (e.style != "normal", "Sans" not in e.name, e.weight != 400, e.name))
    for entry in entries:
        gained = missing & _letters(entry.fname)
        if len(gained) > len(best[1]):
            best = (entry, gained)
        if len(gained) == len(missing):
            break
    return best


@lru_cache(maxsize=256)
def _letters(path: str) -> frozenset[str]:
    """All characters of a font file; none of one that cannot be read."""
    try:
        return frozenset(chr(code) for code in get_font(path).get_charmap() if code <= 0x10FFFF)
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _script(letter: str) -> str:
    """ "CJK", "ARABIC", "THAI": how the Unicode name of a letter begins."""
    return unicodedata.name(letter, "unnamed").split(" ")[0].split("-")[0]
