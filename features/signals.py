"""A request to stop: Ctrl-C, or a scheduler's SIGTERM or SIGUSR1, noticed at the end of the step in progress."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class StopSignal:
    """Within `with StopSignal() as stop:`, stop.asked turns true at the first signal; a second one ends the process."""

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
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
