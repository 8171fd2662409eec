"""Imported first by every package: a signal while a command loads its libraries ends it with 75, as later ones do.

torch takes seconds to load, and schedulers preempt when they like. Only `python -m package.command` is meant: where
the packages are imported, by a script, a test or a worker process, nothing is changed.
"""

import os
import re
import signal
import sys
from types import FrameType

from command.exit_codes import ExitCode
from command.signals import STOP_SIGNALS

PACKAGES = {"flow", "extract", "features", "detect", "train", "evaluate", "flowless"}
WORKER = "features.running.child"  # is told by its parent when to stop


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before anything began; repeat the command\n")
    os._exit(ExitCode.INTERRUPTED)  # no library that is half loaded gets to see an exception


def _started() -> str:
    """The module that this process was started with by `python -m`, or "".

    While the package that holds it is imported, sys.argv[0] is "-m" and the name stands in the arguments only.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return str(spec.name)
    if sys.argv[:1] != ["-m"]:
        return ""
    words = iter(sys.orig_argv[1:])
    return next((next(words, "") for word in words if re.fullmatch(r"-[a-zA-Z]*m", word)), "")


def loaded() -> None:
    """The command has its libraries, and handles signals itself from here on."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is _leave:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


if _started().partition(".")[0] in PACKAGES and _started() != WORKER:
    for _number in STOP_SIGNALS:
        signal.signal(_number, _leave)
