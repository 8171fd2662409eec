"""Times as people write them: 12.5, 12,5, 1:23.5, 00:01:23, 12:01:23 AM, 83 s, 1.2E+01."""

import re
from math import isfinite

from evaluate.files.tables import COMMA

CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)(?:\s*([ap])\.?m\.?)?", re.IGNORECASE)
UNIT = re.compile(r"\s*(?:s|sec|secs|seconds?)$", re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+")
MILLIS_AFTER_COLON = re.compile(r"(\d+):(\d{2}):(\d{2}):(\d{1,3})")


class NoTime(ValueError):
    """Text that is no time; the text says why, and what would be."""


def is_clock(text: str) -> bool:
    """Whether it is written with colons, so that it cannot be a number of frames."""
    return CLOCK.fullmatch(text.strip()) is not None


def parse_time(text: str) -> float:
    """The number of seconds (or frames) that is meant. Raises NoTime."""
    text = text.strip().strip("'")  # Excel's mark of "this is text"
    if not text:
        raise NoTime("empty")
    if text.startswith("#"):
        raise NoTime(f"{text} is an error of the spreadsheet")
    if MILLIS_AFTER_COLON.fullmatch(text):
        raise NoTime(f"{text!r} may end in frames or in milliseconds: write hh:mm:ss.mmm")
    if clock := CLOCK.fullmatch(text):
        return _of_clock(text, clock)
    number = UNIT.sub("", text)
    if THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif COMMA.fullmatch(number):
        number = number.replace(",", ".")
    try:
        value = float(number)
    except ValueError:
        raise NoTime(f"{text!r} is no time: expected seconds, mm:ss or hh:mm:ss") from None
    if not isfinite(value):
        raise NoTime(f"{text!r} is no time")
    return value


def _of_clock(text: str, clock: re.Match[str]) -> float:
    hours, minutes, seconds = int(clock[1] or 0), int(clock[2]), float(clock[3].replace(",", "."))
    if seconds >= 60 or (clock[1] and minutes >= 60):
        raise NoTime(f"{text!r}: minutes and seconds go to 59")
    if clock[4]:  # a time of day, as spreadsheets show 00:01:23
        if clock[4].lower() == "p" or hours > 12:
            raise NoTime(f"{text!r} is a time of day: format the column as text, or as hh:mm:ss")
        hours %= 12
    return 3600.0 * hours + 60.0 * minutes + seconds
