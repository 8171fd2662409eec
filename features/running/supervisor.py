"""Runs a job in a child process and survives whatever becomes of it.

Each worker keeps one child for many jobs, since importing a network library costs seconds. A child that crashes, hangs
or outgrows its memory is killed; that costs its job, and the next job gets a fresh child.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TAIL_CHARACTERS = 2000  # of what the child wrote on stderr, kept with a failure
RETRIED = {"Crash", "Hang", "OutOfMemory", "MemoryError"}  # causes that may go away by themselves
LEAVE_S = 3.0  # for a child to remove its temporary files before it is killed
LOOK_S = 0.25  # how often a child is looked after, heartbeat or not
START_S = 600.0  # for a child to import its task: seconds on a quiet machine, minutes on a busy one with a slow disk
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


Task = Callable[[dict[str, Any], Callable[[int], None]], dict[str, Any]]  # (payload, beat) -> record; see `jobs`


@dataclass(frozen=True)
class Job:
    """One piece of work, usually a video."""

    key: str  # unique in the run
    task: Task | str  # a function of an importable module; on its way to other processes, its reference
    payload: dict[str, Any]  # JSON
    weight: int  # frames: the unit of progress and of balanced shards
    video: str = ""  # the video it belongs to, where that is not the key (chunks of a long video)
    parts: tuple[Job, ...] = ()  # the same work job by job, which is done where all of it at once fails

    def __post_init__(self) -> None:
        reference(self.task)  # refused where the job is made rather than in each child

    def __reduce__(self) -> tuple[type[Job], tuple[Any, ...]]:
        """Workers get the reference: only the child has to import the task, and with it a network library."""
        return Job, (self.key, reference(self.task), self.payload, self.weight, self.video)


def reference(task: Task | str) -> str:
    """How a child is told a task: "package.module:function". ValueError for a function that it could not import."""
    if isinstance(task, str):
        return task
    module, name = task.__module__, task.__qualname__
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not task:
        raise ValueError(
            f"task {module}:{name} cannot be imported by a child process: define it at the top of a module"
        )
    return f"{module}:{name}"


@dataclass(frozen=True)
class Limits:
    """What a child may do, and where it runs."""

    hang_s: float = 120.0  # without a heartbeat
    memory_bytes: int = 0  # resident; 0: no limit
    threads: int = 1
    retries: int = 0  # after a crash, a hang or an overrun of memory; never after a plain exception
    folder: str = field(default_factory=lambda: str(Path.cwd()))
    python_path: tuple[str, ...] = field(default_factory=lambda: tuple(path or str(Path.cwd()) for path in sys.path))


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a record when done, otherwise a cause, a message and details."""

    key: str
    video: str
    record: dict[str, Any] | None = None
    cause: str = ""
    message: str = ""
    detail: str = ""
    fatal: bool = False  # the disk will take nothing more: stop the run


def supervise(job: Job, limits: Limits, on_beat: Callable[[int], None] | None = None) -> Outcome:
    """Runs one job to its end, good or bad. Raises nothing but an interrupt, and then the child is gone."""
    video = job.video or job.key
    outcome = Outcome(job.key, video)
    for _ in range(limits.retries + 1):
        try:
            child = _child(limits)
            outcome, usable = child.run(job, on_beat or (lambda frames: None))
            if not usable:
                stop_child()
            if outcome.cause not in RETRIED:
                return outcome
        except Exception as error:
            stop_child()
            outcome = Outcome(job.key, video, cause=type(error).__name__, message=f"no child process: {error}")
        except BaseException:
            stop_child()
            raise
    return outcome


_children: dict[tuple[int, int], Child] = {}


def _child(limits: Limits) -> Child:
    """The child of this process and thread, started if there is none alive."""
    mine = (os.getpid(), threading.get_ident())
    child = _children.get(mine)
    if child is not None and (child.limits != limits or child.process.poll() is not None):
        stop_child()
        child = None
    if child is None:
        child = _children[mine] = Child(limits)
    return child


def stop_child() -> None:
    """Ends the child of this thread, if it has one."""
    child = _children.pop((os.getpid(), threading.get_ident()), None)
    if child is not None:
        child.stop()


@atexit.register
def _stop_children() -> None:
    for (process, _), child in list(_children.items()):
        if process == os.getpid():
            child.stop()


class Child:
    """A running `python -m features.running.child` and the pipes to it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        folder = limits.folder if Path(limits.folder).is_dir() else None  # on another machine it may not exist
        python_path = [path for path in limits.python_path if Path(path).exists()]
        self.words = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed in stop)
        fcntl.fcntl(self.words, fcntl.F_SETFL, os.O_APPEND)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "features.running.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            bufsize=0,
            cwd=folder,
            env={
                **os.environ,
                **dict.fromkeys(THREAD_VARIABLES, str(limits.threads)),
                "PYTHONPATH": os.pathsep.join(python_path),
            },
            start_new_session=True,  # Ctrl-C in the terminal goes to the parent alone
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.unread = b""

    def run(self, job: Job, on_beat: Callable[[int], None]) -> tuple[Outcome, bool]:
        """The outcome of a job, and whether the child can be given another one."""
        os.ftruncate(self.words.fileno(), 0)
        video = job.video or job.key
        try:
            self.requests.write(json.dumps({"task": reference(job.task), "payload": job.payload}).encode() + b"\n")
        except BrokenPipeError:
            return self._crash(job, 0), False
        frames, silent_s, started = 0, 0.0, False
        before = looked = time.monotonic()
        while True:
            ended = self.process.poll() is not None  # asked before reading, so that no last words are missed
            message = self._receive(0.0 if ended else LOOK_S)
            if message is None and ended:
                return self._crash(job, frames), False
            now = time.monotonic()
            # A frozen machine (a closed lid, a suspended SLURM job) is no silence of the child's.
            silent_s = silent_s + min(now - before, 2 * LOOK_S) if message is None else 0.0
            before = now
            if now - looked >= LOOK_S:
                looked = now
                outcome = self._overrun(job, frames, silent_s, started)
                if outcome is not None:
                    return outcome, False
            if message is None:
                continue
            started = started or "ready" in message
            if "beat" in message:
                frames = message["beat"]
                on_beat(frames)
            elif "done" in message:
                return Outcome(job.key, video, record=message["done"]), True
            elif "failed" in message:
                failure = dict(message["failed"])
                tainted = failure.pop("tainted")
                failure["detail"] += self._last_words()
                return Outcome(job.key, video, **failure), not tainted

    def stop(self) -> None:
        """Asks the child to leave, then kills it and whatever it started."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(LEAVE_S)
        self._signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel, on a dead network disk: leave it there
            self.process.wait(LEAVE_S)
        for stream in (self.requests, self.answers, self.words):
            with suppress(OSError):
                stream.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _receive(self, wait_s: float) -> dict[str, Any] | None:
        """The next message of the child, or None if none came in time. Lines that are no message are passed over."""
        deadline = time.monotonic() + wait_s
        while True:
            while b"\n" in self.unread:
                line, self.unread = self.unread.split(b"\n", 1)
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if isinstance(message, dict):
                    return message
            ready, _, _ = select.select([self.answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self.answers.fileno(), 1 << 16)
            if not data:  # closed: the process is ending, or has closed its pipe and must be watched on
                time.sleep(0.01)
                return None
            self.unread += data

    def _overrun(self, job: Job, frames: int, silent_s: float, started: bool) -> Outcome | None:
        """A child that has been silent for too long or grown too large is killed; None if it is neither."""
        video = job.video or job.key
        place = f"at {frames} of {job.weight}" if started else "while it was starting"
        if silent_s > (self.limits.hang_s if started else max(START_S, self.limits.hang_s)):
            self._signal(signal.SIGKILL)
            message = f"no heartbeat for {silent_s:.0f} s {place}; killed. If the video is only slow, raise --hang-s."
            return Outcome(job.key, video, cause="Hang", message=message, detail=self._last_words())
        try:
            used = psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:
            return None
        if 0 < self.limits.memory_bytes < used:
            self._signal(signal.SIGKILL)
            message = f"{used / 1e9:.1f} GB of memory {place}, more than --max-memory-gb allows; killed."
            return Outcome(job.key, video, cause="OutOfMemory", message=message, detail=self._last_words())
        return None

    def _crash(self, job: Job, frames: int) -> Outcome:
        status = self.process.wait()
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        guess = " (the system kills what uses most memory: try fewer --workers)" if status == -signal.SIGKILL else ""
        words = self._last_words().split("\nExtension modules:")[0]
        said = words.split("Fatal Python error")[0].strip()  # from there on it is faulthandler's traceback
        last = f"; last words: {said.splitlines()[-1]}" if said else ""
        message = f"the process {how} at {frames} of {job.weight}{guess}{last}"
        return Outcome(job.key, job.video or job.key, cause="Crash", message=message, detail=words)

    def _last_words(self) -> str:
        size = os.fstat(self.words.fileno()).st_size
        words = os.pread(self.words.fileno(), TAIL_CHARACTERS, max(0, size - TAIL_CHARACTERS))
        text = words.decode(errors="replace").strip()
        return f"\n{text}" if text else ""
