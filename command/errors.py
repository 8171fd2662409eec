"""The base of this project's errors: what a command tells in one line instead of a traceback."""

import re

_REMEDY = re.compile(r"(?<!\.)\. (?=[A-Z])")  # the sentence after the first


class FlowlessError(Exception):
    """Something that the user can put right: the text names the thing, what was expected and what to do.

    The error classes of all packages derive from it. Commands print it as one line and end with exit code 2.
    """


def told_apart(message: str, remedy: str) -> tuple[str, str]:
    """What is wrong and what to do about it, as the message of an error says them; `remedy` where it tells none."""
    what, *rest = _REMEDY.split(message, maxsplit=1)
    return what, rest[0] if rest else remedy


class OutputError(FlowlessError):
    """An output that would replace what is read, or that cannot be a file."""
