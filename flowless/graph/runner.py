"""Runs jobs side by side as far as they do not wait for each other; what is done already is left alone.

One process looks after all commands: without threads, so that a command can be told to end with it. A lock of the
folder of records is handed to the commands as well: while one of them still runs, though whoever started it was
killed, nobody else begins.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from command.exit_codes import ExitCode
from command.writing import temporary_name
from flowless.graph.job import Graph, Job, Step
from flowless.graph.ledger import Ledger

DONE, RUNNING, WAITING, FAILED, BLOCKED = "done", "running", "waiting", "failed", "blocked"
POLL_S = 0.02
LOOK_S = 5.0  # between looks at what other tasks of an array have finished
PATIENCE_S = 600.0  # that a failure told by another task before this one began is given to be mended
ENDING_S = 30.0  # that commands are given to end after SIGTERM
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_LIBC = ctypes.CDLL(None)


@dataclass
class Running:
    """A job with the command of it that runs now."""

    job: Job
    number: int
    process: subprocess.Popen[bytes]
    began: float
    log: IO[bytes]
    prints: Path | None  # where what it prints goes until it has ended well


@dataclass
class Runner:
    """state: of each job. said: of jobs that failed or wait, why."""

    ledger: Ledger
    workers: int = 1
    shard: int = 0
    prefix: tuple[str, ...] = (sys.executable, "-m")
    environment: dict[str, str] = field(default_factory=dict)
    changed: Callable[[Runner], None] = lambda _: None
    waits_for_all: bool = False  # also for what other tasks of an array do
    state: dict[str, str] = field(default_factory=dict, init=False)
    said: dict[str, str] = field(default_factory=dict, init=False)
    ran: list[str] = field(default_factory=list, init=False)
    _active: list[Running] = field(default_factory=list, init=False)
    _lock: int = field(default=-1, init=False)
    _began: float = field(default_factory=time.time, init=False)

    @property
    def graph(self) -> Graph:
        return self.ledger.graph

    def run(self) -> None:
        """Until all jobs of this shard are done, failed, or wait for one that failed. OSError for a full disk."""
        with self._alone():
            for job in self.graph.jobs.values():
                if job.shard == self.shard:
                    self.ledger.forget_failure(job)
            self.state = dict.fromkeys(self.graph.jobs, WAITING)
            self._look(fresh=False)
            self.changed(self)
            looked = time.monotonic()
            try:
                while self._left():
                    moved = self._end_those_that_ended() + self._begin_those_that_can()
                    if not self._active and not moved and time.monotonic() - looked > LOOK_S:
                        moved, looked = self._look(fresh=True), time.monotonic()
                    if moved:
                        self.changed(self)
                    elif self._left():
                        time.sleep(POLL_S)
            finally:
                self._stop()

    def _left(self) -> bool:
        states = (self.state[job.name] for job in self.graph.jobs.values() if self._minds(job))
        return any(state in (WAITING, RUNNING) for state in states)

    def _minds(self, job: Job) -> bool:
        return job.shard == self.shard or self.waits_for_all

    def _look(self, fresh: bool) -> int:
        """Finds out what is done, and what of other shards has failed; how many states that changed."""
        before = dict(self.state)
        for job in self.graph.jobs.values():
            if self.state[job.name] not in (WAITING, BLOCKED):
                continue
            above = [self.state[need] for need in job.needs]
            if all(state == DONE for state in above) and self.ledger.is_done(job, fresh and job.shard != self.shard):
                self.state[job.name] = DONE
            elif lost := [need for need in job.needs if self.state[need] in (FAILED, BLOCKED)]:
                self.state[job.name] = BLOCKED
                self.said[job.name] = (
                    f"waits for {', '.join(lost)}, which {'is' if len(lost) == 1 else 'are'} not there"
                )
            elif job.shard != self.shard and self._failed_elsewhere(job):
                self.state[job.name] = FAILED
        return sum(before[name] != state for name, state in self.state.items())

    def _failed_elsewhere(self, job: Job) -> bool:
        failure = self.ledger.record(job).get("failed")
        if not failure or (failure["time"] < self._began and time.time() < self._began + PATIENCE_S):
            return False
        self.said[job.name] = f"failed in shard {job.shard}: {failure['said']}"
        return True

    def _begin_those_that_can(self) -> int:
        begun = 0
        free = self.workers - sum(running.job.slots for running in self._active)
        for job in self.graph.jobs.values():
            if free <= 0:
                break
            if job.shard != self.shard or self.state[job.name] != WAITING:
                continue
            if any(self.state[need] != DONE for need in job.needs):
                continue
            slots = min(job.slots, self.workers)
            if slots > free:
                break  # it gets its turn as soon as those before it have ended
            begun += self._begin(job)
            free -= slots if self.state[job.name] == RUNNING else 0
        return begun

    def _begin(self, job: Job) -> int:
        """The next command of a job that is not done; 1."""
        number = self.ledger.first_left(job)
        if number is None:
            self.state[job.name] = DONE
            self._look(fresh=False)
            return 1
        step = job.steps[number]
        self.ledger.begins(job, number)
        self.ran.append(job.name)
        log = self.ledger.log(job).open("ab")
        log.write(f"$ {' '.join(words(self.prefix, step))}\n".encode(errors="replace"))
        log.flush()
        prints = None if step.prints is None else step.prints.with_name(temporary_name())
        for output in step.outputs:
            output.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            printed = log if prints is None else stack.enter_context(prints.open("wb"))
            process = subprocess.Popen(
                words(self.prefix, step),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C is for this process, which tells the others
                pass_fds=(self._lock,),
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        self._active.append(Running(job, number, process, time.monotonic(), log, prints))
        self.state[job.name] = RUNNING
        return 1

    def _end_those_that_ended(self) -> int:
        ended = [running for running in self._active if running.process.poll() is not None]
        for running in ended:
            self._active.remove(running)
            running.log.close()
            self._end(running)
        return len(ended)

    def _end(self, running: Running) -> None:
        job, step = running.job, running.job.steps[running.number]
        code = running.process.returncode
        if running.prints is not None and step.prints is not None:
            if code in step.passes:
                running.prints.replace(step.prints)
            else:
                with self.ledger.log(job).open("ab") as log:
                    log.write(running.prints.read_bytes())
            running.prints.unlink(missing_ok=True)
        lacking = [str(path) for path in step.outputs if not path.exists()]
        if code not in step.passes or lacking:
            why = f"ended with {code}" if code not in step.passes else f"ended well, but made no {', '.join(lacking)}"
            self.state[job.name] = FAILED
            self.said[job.name] = f"{step.command[0]} {why}: {last_line(self.ledger.log(job))} ({self.ledger.log(job)})"
            if code == ExitCode.IO_ERROR:  # no other job would fare better
                raise OSError(errno.ENOSPC, self.said[job.name])
            self.ledger.failed(job, self.said[job.name])
        else:
            self.ledger.finished(job, running.number, time.monotonic() - running.began)
            self.state[job.name] = WAITING
            self._begin(job)
        self._look(fresh=False)

    def _stop(self) -> None:
        """Ends the commands that still run: asked first, so that they keep what they have."""
        for running in self._active:
            with contextlib.suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + ENDING_S
        for running in self._active:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.1, until - time.monotonic()))
            running.process.kill()
            running.process.wait()
            running.log.close()
            if running.prints is not None:
                running.prints.unlink(missing_ok=True)
        self._active.clear()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits for commands of an earlier call that still run, and keeps others from beginning."""
        self.ledger.folder.mkdir(parents=True, exist_ok=True)
        name = self.ledger.folder / f"shard{self.shard}.lock"
        self._lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{name}: commands of an earlier call still run; waiting for them", file=sys.stderr, flush=True)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
            yield
        finally:
            os.close(self._lock)


def words(prefix: Sequence[str], step: Step) -> list[str]:
    """The command as it is called."""
    return [*prefix, *step.command, *step.how]


def last_line(log: Path) -> str:
    """What a command said last, but where its report is."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line and not line.startswith("report: ")), "")


def _end_with_parent() -> None:
    """In the command's process: SIGTERM when the one that started it is gone."""
    _LIBC.prctl(DEATH_SIGNAL, signal.SIGTERM)
