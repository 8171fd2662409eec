"""Seconds of compute by stage: process CPU time on the CPU, synchronised wall time on CUDA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Adds up what each stage of a job costs.

        watch = Stopwatch()
        for frame in watch.iterate("decode", read_frames(path)):
            with watch("flow"):
                ...
        watch.seconds  # {"decode": 1.2, "flow": 40.1}

    A stage inside another one pauses the outer one, so the stages add up to the whole. On the CPU the seconds are those
    of the process (all its threads, waiting left out), so they hold on a busy machine; on CUDA the device is waited for
    before the clock is read.
    """

    def __init__(self, device: str = "cpu", clock: Callable[[], float] | None = None) -> None:
        """clock: instead of that of the device, such as of one thread alone."""
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0
        self._device, self._clock = device, clock

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._switch()
        self._running.append(stage)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def iterate(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the items, timing only what producing them takes."""
        source = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    def _switch(self) -> None:
        """Books the time since the last switch to the innermost running stage."""
        now = self._now()
        if self._running:
            stage = self._running[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

    def _now(self) -> float:
        if self._clock is not None:
            return self._clock()
        if not self._device.startswith("cuda"):
            return time.process_time()
        import torch

        torch.cuda.synchronize(self._device)
        return time.perf_counter()
