"""One thing that is wrong with features, annotations or videos, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)  # stops a run; spoils its result; worth knowing
SHOWN = 3  # videos named in a line


@dataclass(frozen=True)
class Finding:
    """kind: a short name that stays the same, for programs. videos: all that are concerned."""

    kind: str
    severity: str
    what: str
    remedy: str
    videos: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.severity}: {self.kind}: {self.what}{some(self.videos)}"
        return f"{told}{' ' if told.endswith('?') else '. '}{self.remedy}"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "remedy": self.remedy,
            "count": len(self.videos),
            "videos": list(self.videos),
        }


def some(videos: Iterable[str]) -> str:
    """ " (v1, v2, v3 and 9 more)", or nothing."""
    names = list(videos)
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" ({', '.join(names[:SHOWN])}{more})"
