"""What of the jobs is done: told by their outputs and by a record of what these were made with.

A record is a file for each job, written whole. What a killed process leaves is never taken for more than it is:

- A step whose command cannot go on where it stopped is noted before it begins, after outputs of other settings were
  taken away. Outputs that are there under this note are therefore its own, and whole; without them it is not done.
- A step that goes on (`Step.resumes`) is noted as finished after its end. Killed in between, it is called again and
  finds that nothing is left.

An output without a record is someone else's: `adopt` takes it as done, for folders that are older than records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command.writing import write_json
from flowless.graph.job import Graph, GraphError, Job, Step, all_whole, content_of, digest

SCHEMA = "flowless/job/1"


@dataclass
class Ledger:
    """The records of a graph's jobs in a folder."""

    graph: Graph
    folder: Path
    adopt: bool = False
    settings: dict[str, tuple[str, ...]] = field(init=False)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.settings = self.graph.settings()

    def path(self, job: Job) -> Path:
        return self.folder / f"{job.file_name}.json"

    def log(self, job: Job) -> Path:
        return self.folder / f"{job.file_name}.log"

    def record(self, job: Job, fresh: bool = False) -> dict[str, Any]:
        """What the file says; of another kind, or damaged, as if there were none. fresh: as it is by now."""
        if fresh or job.name not in self._records:
            try:
                read = json.loads(self.path(job).read_bytes())
                good = isinstance(read, dict) and read.get("schema") == SCHEMA and isinstance(read.get("steps"), dict)
            except (OSError, ValueError):
                good = False
            self._records[job.name] = read if good else {"schema": SCHEMA, "job": job.name, "steps": {}}
        return self._records[job.name]

    def is_done(self, job: Job, fresh: bool = False) -> bool:
        return self.first_left(job, fresh) is None

    def first_left(self, job: Job, fresh: bool = False) -> int | None:
        """The first step that is to be run, None if all are done."""
        record = self.record(job, fresh)
        if self.adopt and not record["steps"] and job.results and all_whole(job.results):
            return None
        for number, step in enumerate(job.steps):
            if not self._step_done(job, number, step):
                return number
        return None

    def _step_done(self, job: Job, number: int, step: Step) -> bool:
        noted = self.record(job)["steps"].get(str(number))
        if not all_whole(step.outputs):
            return False
        if noted is None:
            return self.adopt or (step.keeps and not step.resumes)
        same = noted.get("settings") == self.settings[job.name][number] and noted.get("watched") == watched(step)
        return same and (bool(noted.get("finished")) or not step.resumes)

    def refuse_others(self) -> None:
        """GraphError where outputs that took long were made with other settings than are asked for now."""
        for job in self.graph.jobs.values():
            for number, step in enumerate(job.steps):
                noted = self.record(job)["steps"].get(str(number))
                if not step.keeps or noted is None or noted.get("settings") == self.settings[job.name][number]:
                    continue
                if any(path.exists() for path in step.outputs):
                    raise GraphError(
                        f"{job.name}: {step.outputs[0]} was made with other settings or data "
                        f"({difference(noted.get('command', []), step.command)}). Name another --out, or take "
                        f"{step.outputs[0].parent} away to make it again"
                    )

    def begins(self, job: Job, number: int) -> None:
        """Before a step's command is called."""
        step = job.steps[number]
        note: dict[str, Any] = {
            "settings": self.settings[job.name][number],
            "watched": watched(step),
            "command": list(step.command),
        }
        steps = self.record(job)["steps"]
        if step.resumes:
            before = steps.get(str(number), {})
            note["seconds"] = before.get("seconds") if before.get("settings") == note["settings"] else None
        else:
            for path in step.outputs:  # of other settings; whatever stands here from now on is this step's
                path.unlink(missing_ok=True)
        self._write(job, {**steps, str(number): {**note, "finished": False}})

    def finished(self, job: Job, number: int, seconds: float) -> None:
        """After a step's command has ended well. seconds: that it took; of one that went on, all its calls together."""
        steps = self.record(job)["steps"]
        noted = steps[str(number)]
        spent = seconds + (noted.get("seconds") or 0.0)
        self._write(job, {**steps, str(number): {**noted, "finished": True, "seconds": round(spent, 3)}})

    def failed(self, job: Job, said: str) -> None:
        """Tells the other tasks of an array that this job will not be there."""
        self._write(job, self.record(job)["steps"], {"said": said, "time": time.time()})

    def forget_failure(self, job: Job) -> None:
        if "failed" in self.record(job):
            self._write(job, self.record(job)["steps"])

    def seconds(self, job: Job) -> float | None:
        """How long a job took that is done; None where it is not known."""
        noted = [each.get("seconds") for each in self.record(job)["steps"].values()]
        return sum(noted) if len(noted) == len(job.steps) and all(noted) else None

    def _write(self, job: Job, steps: Mapping[str, Any], failed: Mapping[str, Any] | None = None) -> None:
        record = {"schema": SCHEMA, "job": job.name, "steps": dict(steps)}
        if failed is not None:
            record["failed"] = dict(failed)
        write_json(self.path(job), record)
        self._records[job.name] = record


def watched(step: Step) -> str:
    """A digest of the state of what a step watches."""
    return digest(
        [one if isinstance(one, str) else content_of(one) if isinstance(one, Path) else one() for one in step.watches]
    )


def difference(before: list[str], now: tuple[str, ...]) -> str:
    """What a command had that it has no more, and has now, in words."""
    gone = [word for word in before if word not in now]
    new = [word for word in now if word not in before]
    if not gone and not new:
        return "another file, or another job before it"
    return f"then {' '.join(gone) or 'less'}, now {' '.join(new) or 'less'}"
