"""Asks whether processes are gone."""

import time
from collections.abc import Iterable

import psutil


def living(pids: Iterable[int], within_s: float = 5.0) -> list[int]:
    """Those of the processes that still live after at most within_s; a zombie that nobody has reaped is dead."""
    deadline = time.monotonic() + within_s
    while True:
        left = [pid for pid in pids if _lives(pid)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
