"""Ctrl-C, SIGTERM and SIGUSR1 (SLURM's warning before a time limit): raised at once, or noticed after a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(KeyboardInterrupt):
    """The command was asked to stop. The text, if there is one, tells how far it came."""


@contextmanager
def interruptible(*, ignore_later: bool = False) -> Iterator[None]:
    """Turns the first signal into Interrupted.

    ignore_later: further signals do not disturb the clearing up; otherwise they act as they did before the block.
    Outside the main thread, which alone is sent signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def interrupt(*_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN if ignore_later else before[number])
        raise Interrupted

    try:
        for number in STOP_SIGNALS:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, before[number])


class StopSignal:
    """Within `with StopSignal() as stop:`, stop.asked turns true at the first signal, and the step in progress ends.

    A second signal acts as it did before the block.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # no other thread is sent signals
            for number in STOP_SIGNALS:
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
