"""What is told while a comparison goes on: a table that fills, in its file and in the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from command.writing import write_text
from flowless.comparing.estimate import in_words, seconds_left
from flowless.graph.runner import BLOCKED, DONE, FAILED, RUNNING, WAITING, Runner


@dataclass
class Teller:
    """Called whenever a job's state changes. lines: the tables of what is done so far."""

    table: Path | None
    lines: Callable[[], list[str]]
    title: str = "Comparison"
    _shown: int = field(default=0, init=False)  # lines in the terminal, to be written over
    _done: list[str] | None = field(default=None, init=False)
    _lines: list[str] = field(default_factory=list, init=False)
    _waits: str = field(default="", init=False)
    _before: dict[str, str] = field(default_factory=dict, init=False)

    def __call__(self, runner: Runner) -> None:
        done = [name for name, state in runner.state.items() if state == DONE]
        if done != self._done:  # tables are looked up only when there is something new in them
            self._done, self._lines = done, self.lines()
        progress, lines = progress_of(runner), self._lines
        if self.table is not None:
            write_text(self.table, "\n".join([f"# {self.title}", "", progress, "", *lines, ""]))
        if sys.stderr.isatty():
            self._rewrite([*lines, progress])
        else:
            self._events(runner)
        self._before = dict(runner.state)

    def _rewrite(self, lines: list[str]) -> None:
        width = shutil.get_terminal_size().columns
        back = f"\x1b[{self._shown}F\x1b[J" if self._shown else ""
        sys.stderr.write(back + "".join(f"{line[: width - 1]}\n" for line in lines))
        sys.stderr.flush()
        self._shown = len(lines)

    def _events(self, runner: Runner) -> None:
        """A line for each job that began or ended, as a log file wants it."""
        for name, state in runner.state.items():
            if state == self._before.get(name) or not self._before:
                continue
            if state in (RUNNING, FAILED, BLOCKED) or (state == DONE and self._before.get(name) == RUNNING):
                why = f": {runner.said[name]}" if name in runner.said and state != DONE else ""
                print(f"{time.strftime('%H:%M:%S')} {state:<8}{name}{why}", file=sys.stderr, flush=True)
        waits = waited_for(runner)
        if waits and waits != self._waits:
            print(f"{time.strftime('%H:%M:%S')} {waits}", file=sys.stderr, flush=True)
        self._waits = waits


def progress_of(runner: Runner) -> str:
    """ "12 of 40 jobs done, 2 running (...), about 3 h left"."""
    jobs = runner.graph.jobs
    count = Counter(runner.state.values())
    said = [f"{count[DONE]} of {len(jobs)} jobs done"]
    if count[RUNNING]:
        said.append(f"running: {', '.join(name for name, state in runner.state.items() if state == RUNNING)}")
    if waits := waited_for(runner):
        said.append(waits)
    if count[FAILED] or count[BLOCKED]:
        said.append(f"{count[FAILED]} failed, {count[BLOCKED]} wait for them in vain")
    left = [jobs[name] for name, state in runner.state.items() if state in (WAITING, RUNNING)]
    if left:
        seconds = seconds_left(runner.ledger, left) / max(1, runner.workers)
        said.append(f"about {in_words(seconds)} left")
    return ", ".join(said)


def waited_for(runner: Runner) -> str:
    """What this shard has nothing to do before, in words; "" while something runs here, or nothing is left."""
    jobs = runner.graph.jobs
    waiting = [jobs[name] for name, state in runner.state.items() if state == WAITING]
    elsewhere = [job for job in waiting if job.shard != runner.shard]
    ready = any(job not in elsewhere and all(runner.state[need] == DONE for need in job.needs) for job in waiting)
    minds = runner.waits_for_all or len(elsewhere) < len(waiting)
    if RUNNING in runner.state.values() or not elsewhere or ready or not minds:
        return ""
    some = ", ".join(f"{job.name} (shard {job.shard})" for job in elsewhere[:3])
    return f"waiting for {some}{' ...' * (len(elsewhere) > 3)}"
