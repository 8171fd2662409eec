"""The base of this project's errors: what a command tells in one line instead of a traceback."""

import re
import reprlib

_REMEDY = re.compile(r"(?<!\.)\. (?=[A-Z])")  # the sentence after the first
_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother = 2, 60, 60
_brief.maxdict = _brief.maxlist = _brief.maxtuple = 3


class FlowlessError(Exception):
    """Something that the user can put right: the text names the thing, what was expected and what to do.

    The error classes of all packages derive from it. Commands print it as one line and end with exit code 2.
    """


def told_apart(message: str, remedy: str) -> tuple[str, str]:
    """What is wrong and what to do about it, as the message of an error says them; `remedy` where it tells none."""
    what, *rest = _REMEDY.split(message, maxsplit=1)
    return what, rest[0] if rest else remedy


def shown(value: object) -> str:
    """A value in a few words for a message, whatever it is: deep, endless, or a number of a million digits."""
    try:
        return _brief.repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"


class OutputError(FlowlessError):
    """An output that would replace what is read, or that cannot be a file."""
