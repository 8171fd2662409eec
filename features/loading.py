"""Imported first by a command: a signal while its libraries are still loading ends it with 75, as later ones do.

torch takes seconds to load, and schedulers preempt when they like. Where the command is imported, by tests or by a
worker process, nothing is changed.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 75


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before anything began; repeat the command\n")
    os._exit(INTERRUPTED)  # no library that is half loaded gets to see an exception


def _is_run(command: str) -> bool:
    """Whether this process was started as python -m `command`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == command


if _is_run("train.run") or _is_run("detect.run"):
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(_number, _leave)
