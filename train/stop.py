"""When a run should stop before its last epoch: Ctrl-C, a scheduler's warning, or as many epochs as were asked for."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from train.checkpoint import Run


class Stop:
    """Asked after every step. The first signal lets the step in progress end; a second one kills as usual.

    Before there are steps, while data and networks are got ready, a signal raises KeyboardInterrupt.
    """

    def __init__(self, after_epochs: int | None = None) -> None:
        self.after_epochs = after_epochs
        self.asked = False
        self.stepping = False
        self.before: dict[int, object] = {}

    def __call__(self, run: Run) -> bool:
        return self.asked or (self.after_epochs is not None and run.epoch >= self.after_epochs)

    def after_steps(self) -> Stop:
        """From here on there are steps, after each of which it is asked."""
        self.stepping = True
        return self

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if not self.stepping:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        while self.before:
            number, handler = self.before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            self.before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
