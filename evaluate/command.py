"""How the commands of this room end: the exit code, and one line instead of a traceback.

| code | is |
|---|---|
| 0 | done |
| 2 | could not begin: an input that cannot be taken as it is, or an output that would replace one |
| 74 | a file, or what is printed, could not be written: the disk is full, the folder forbidden |
| 75 | interrupted by Ctrl-C: repeat the command |
| 141 | whoever read what is printed has gone away, as `| head` does |
"""

import contextlib
import os
import sys
from collections.abc import Callable

from evaluate.annotation_files import AnnotationError
from evaluate.cost_records import CostError
from evaluate.detections import DetectionError
from evaluate.protocols import ProtocolError
from evaluate.writing import OutputError

REFUSALS = (AnnotationError, DetectionError, ProtocolError, CostError, OutputError)
COULD_NOT_BEGIN, NOT_WRITTEN, INTERRUPTED, NOBODY_LISTENS = 2, 74, 75, 141


def ended(work: Callable[[], int]) -> int:
    """Do the work and return the exit code; whatever ends it early is told on stderr in a line."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(
            AttributeError, ValueError
        ):  # names that the terminal cannot show are no reason to stop
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = work()
        sys.stdout.flush()
        return code
    except REFUSALS as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return COULD_NOT_BEGIN
    except BrokenPipeError:
        _hush()
        return NOBODY_LISTENS
    except OSError as error:
        _hush()
        place = f"{error.filename}: " if error.filename else ""
        print(f"OSError: {place}could not be written: {error.strerror or error}", file=sys.stderr)
        return NOT_WRITTEN
    except KeyboardInterrupt:
        _hush()
        print("interrupted: repeat the command", file=sys.stderr)
        return INTERRUPTED


def _hush() -> None:
    """What is left to print goes nowhere, so that the interpreter does not stumble over it when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
