"""The process that does the jobs, one after another: `python -m features.running.child`, started by `supervisor`.

Requests come in as JSON lines on stdin, answers go out as JSON lines on what was stdout. Both are moved to descriptors
of their own before any task is imported, and stdout is pointed at stderr: native code may print what it likes.

    -> {"task": "extract.pipeline.tasks:extract_video", "payload": {...}}
    <- {"ready": ...}                       the task is imported: what came before was the start, and no hang
    <- {"beat": 120}                        frames done so far; also the heartbeat that the watchdog waits for
    <- {"done": {...}}                      the record that the task returned
    <- {"failed": {"cause": "VideoError", "message": ..., "detail": ..., "fatal": false, "tainted": false}}
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from command.writing import DISK_ERRORS

BEAT_S = 0.2  # heartbeats are sent at most this often
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Terminated(BaseException):
    """The supervisor asked the child to leave; unwinding removes temporary files."""


def main() -> int:
    requests, answers = _private_pipes()
    signal.signal(signal.SIGTERM, _terminate)
    for for_the_parent in (signal.SIGINT, signal.SIGUSR1):  # SLURM signals every process; the parent then tells us
        signal.signal(for_the_parent, signal.SIG_IGN)
    _die_with_parent()
    faulthandler.enable()
    try:
        for line in requests:
            request = json.loads(line)
            _send(answers, _perform(request["task"], request["payload"], answers))
    except (Terminated, BrokenPipeError):
        pass
    sys.stderr.flush()
    os._exit(0)  # a native library that hangs while it is unloaded must not keep the run waiting


def _perform(task: str, payload: dict[str, Any], answers: BinaryIO) -> dict[str, Any]:
    """Runs one task; whatever it raises becomes an answer."""
    beaten = 0.0

    def beat(frames_done: int) -> None:
        nonlocal beaten
        if time.monotonic() - beaten >= BEAT_S:
            beaten = time.monotonic()
            _send(answers, {"beat": int(frames_done)})

    _reset_peak_memory()
    try:
        module, _, name = task.partition(":")
        function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
        _send(answers, {"ready": task})
        record = dict(function(payload, beat))
        record.setdefault("peak_memory_bytes", _peak_memory())
        return {"done": json.loads(json.dumps(record, default=_plain))}
    except Terminated:
        raise
    except BaseException as error:
        failure = {
            "cause": type(error).__name__,
            "message": str(error) or repr(error),
            "detail": "".join(traceback.format_exception(error))[-4000:],
            "fatal": _is_disk_error(error),
            # Memory that ran out, or a broken CUDA context (RuntimeError), may spoil the next video too.
            "tainted": isinstance(error, (MemoryError, RuntimeError, SystemError)),
        }
        return {"failed": failure}


def _is_disk_error(error: BaseException | None) -> bool:
    """Whether the error, or what it was raised from, means that nothing more can be written.

    Decoders raise subclasses of OSError with EIO for damaged videos: only the plain class counts.
    """
    while error is not None:
        if type(error) is OSError and error.errno in DISK_ERRORS:
            return True
        error = error.__cause__
    return False


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _send(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays, and paths, as JSON."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _terminate(*_: object) -> None:
    raise Terminated


def _die_with_parent() -> None:
    """Linux: be killed when the supervisor is. Elsewhere the closed pipe ends the child after its job."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _reset_peak_memory() -> None:
    with suppress(OSError):  # without this right the peak is that of all jobs so far
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())
