"""Ctrl-C, SIGTERM and SIGUSR1 (SLURM's warning before a time limit) end a command in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """The command was asked to stop."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns the first signal into Interrupted; later ones must not disturb the clearing up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    before = {number: signal.getsignal(number) for number in numbers}

    def interrupt(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    try:
        for number in numbers:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
