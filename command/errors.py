"""The base of this project's errors: what a command tells in one line instead of a traceback."""


class FlowlessError(Exception):
    """Something that the user can put right: the text names the thing, what was expected and what to do.

    The error classes of all packages derive from it. Commands print it as one line and end with exit code 2.
    """


class OutputError(FlowlessError):
    """An output that would replace what is read, or that cannot be a file."""
