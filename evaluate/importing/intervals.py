"""What every reader of foreign annotations gives: labelled intervals, and what was wrong, line by line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from command.errors import FlowlessError
from evaluate.files.reading import decoded

SECONDS, FRAMES = "s", "frames"


class ImportingError(FlowlessError):
    """A file that cannot be read at all; the text names the file and the remedy."""


class Interval(NamedTuple):
    """One labelled stretch of a video, times as its file has them, not yet compared with the video."""

    video: str  # as it is written: a path, a file's name, an id
    start: float
    end: float  # exclusive
    label: str
    place: str  # "line 3", "tier 'gesture', annotation a7"
    unit: str = SECONDS
    extra: Mapping[str, str] = {}  # further columns, by name
    file: Path = Path()


class LineFlaw(NamedTuple):
    """Something that is wrong at one place of a file, and what to do about it."""

    file: Path
    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.place}" if self.place else f"{self.file}"
        return f"{place}: {self.what}. {self.remedy}"


@dataclass
class Imported:
    """What one file holds."""

    format: str
    intervals: list[Interval] = field(default_factory=list)
    flaws: list[LineFlaw] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    subsets: dict[str, str] = field(default_factory=dict)  # by video, where the file tells them
    videos: dict[str, None] = field(default_factory=dict)  # all that the file names, also those without an action


def readable_text(path: Path, remarks: list[str]) -> str:
    """Text in UTF-8, in what Windows calls Unicode, or in Windows' own Western encoding, which is said."""
    content = path.read_bytes()
    if content[:4] == b"PK\x03\x04" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise ImportingError(
            f"{path}: a workbook, not text. Save the sheet in Excel or LibreOffice as 'CSV UTF-8 (.csv)' and give that"
        )
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace").lstrip("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:
            return decoded(content, path, ImportingError)
        remarks.append(f"{path}: not UTF-8; read as Windows-1252. If names look wrong, save it as 'CSV UTF-8'")
        return content.decode("cp1252", errors="replace")
