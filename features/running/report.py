"""What a run did, video by video: the table printed at its end, and the JSON beside the store.

    features/thumos.reports/extract.rgb.json      {"schema": "flowless/report/1", "command", "machine", "counts",
                                                   "failures": [...], "videos": {"v1": {"seconds": {...}, ...}}}

Records of earlier runs stay in the file, so that a resumed run still tells the whole cost.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command.exit_codes import ExitCode
from command.writing import locked, write_whole
from features.files.report_file import SCHEMA, read_report
from features.running.supervisor import Outcome

ADDED = {
    "frames",
    "bytes",
}  # numbers of a record that add up over the jobs of a video; of the others the largest counts


@dataclass
class RunReport:
    """The numbers of one run; str() is the table that a command prints last."""

    command: str
    path: Path
    unit: str = "frame"
    done: int = 0
    skipped: int = 0
    failed: int = 0
    units: int = 0  # frames of the jobs done
    seconds: float = 0.0
    at_work_s: float = 0.0  # of the time of workers that use a GPU, wall_s, that in which they waited for it
    wall_s: float = 0.0
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what tasks wanted said, each once
    fatal: str = ""  # why the run stopped before its end
    interrupted: bool = False
    refused: str = ""  # why nothing could be begun
    planned: str = ""  # what --dry-run found

    @property
    def exit_code(self) -> int:
        """Of the command: 2, 74, 75, 3 or 0, the gravest that applies."""
        if self.refused:
            return ExitCode.COULD_NOT_BEGIN
        if self.fatal:
            return ExitCode.IO_ERROR
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.FAILURES if self.failed else ExitCode.DONE

    def __str__(self) -> str:
        if self.refused:
            return f"EngineError: {self.refused}"
        if self.planned:
            return f"{self.command}: {self.planned}"
        rate = f", {self.units / self.seconds:,.0f} {self.unit}s/s" if self.seconds > 0 and self.units else ""
        lines = [
            f"{self.command}: {self.done} done, {self.skipped} skipped, {self.failed} failed"
            f" in {self.seconds:.0f} s ({self.units:,} {self.unit}s{rate})"
        ]
        if self.wall_s > 0:
            more = "; more --workers would fill the rest" if self.at_work_s < 0.8 * self.wall_s else ""
            lines.append(f"  the GPU was at work {self.at_work_s / self.wall_s:.0%} of the workers' time{more}")
        lines += [f"  note: {note}" for note in self.notes]
        for cause, count in Counter(failure["cause"] for failure in self.failures).most_common():
            first = next(failure for failure in self.failures if failure["cause"] == cause)
            lines.append(f"  {count} x {cause}, e.g. {first['video']}: {first['message'].splitlines()[0]}")
        if self.fatal:
            lines.append(f"  stopped: {self.fatal}. Make room and repeat the command; what is done stays done.")
        elif self.interrupted:
            lines.append("  interrupted: repeat the command to go on; what is done stays done.")
        lines.append(f"  report: {self.path}")
        return "\n".join(lines)


class Ledger:
    """The report file while a run goes on: records come in by job and are merged with what the file holds."""

    def __init__(self, path: Path, command: str, device: str = "cpu", threads: int = 1) -> None:
        self.path = path
        self.command = command
        self.machine = {"processor": _processor(), "cores": _cores(), "device": device, "threads": threads}
        self._records: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, dict[str, str]] = {}
        self._saved, self._cost_s = 0.0, 0.0

    def add(self, outcome: Outcome) -> None:
        """Notes an outcome; writes the file unless that was done a moment ago."""
        if outcome.record is not None:
            self._records[outcome.key] = {"video": outcome.video, **outcome.record}
            self._failures.pop(outcome.key, None)
        else:
            failure = {"video": outcome.video, "cause": outcome.cause, "message": outcome.message}
            self._failures[outcome.key] = failure | ({"detail": outcome.detail} if outcome.detail else {})

    def save(self, counts: Mapping[str, int], hurry: bool = True) -> None:
        """Writes the file; without hurry only if a while has passed since the last time (it is written whole)."""
        began = time.monotonic()
        if not hurry and began - self._saved < max(1.0, 20 * self._cost_s):
            return
        with locked(self.path.parent):
            known = read_report(self.path)
            jobs = {**_jobs(known), **self._records}
            failures = {failure.get("key", failure["video"]): failure for failure in known.get("failures", [])}
            mended = {*self._records, *(record["video"] for record in self._records.values())}
            failures = {key: failure for key, failure in failures.items() if key not in mended}
            failures |= {key: {**failure, "key": key} for key, failure in self._failures.items()}
            report = {
                "schema": SCHEMA,
                "command": self.command,
                "machine": self.machine,
                "counts": dict(counts),
                "failures": [failures[key] for key in sorted(failures)],
                "videos": _by_video(jobs),
                # Chunks of a video are also kept one by one: a later run may add to them.
                "jobs": {key: jobs[key] for key in sorted(jobs) if jobs[key]["video"] != key},
            }
            write_whole(self.path, json.dumps(report, indent=1, sort_keys=True).encode() + b"\n")
        self._saved, self._cost_s = time.monotonic(), time.monotonic() - began


def write_report(
    path: Path | str,
    command: str,
    records: Mapping[str, dict[str, Any]],
    failures: Sequence[Mapping[str, str]] = (),
    skipped: int = 0,
    device: str = "cpu",
    threads: int = 1,
) -> Path:
    """Writes (merges) the report of a command that did its videos itself. failures: video, cause, message."""
    ledger = Ledger(Path(path), command, device, threads)
    for video, record in records.items():
        ledger.add(Outcome(video, video, record=record))
    for failure in failures:
        ledger.add(Outcome(failure["video"], failure["video"], cause=failure["cause"], message=failure["message"]))
    ledger.save({"done": len(records), "skipped": skipped, "failed": len(failures)})
    return Path(path)


def _jobs(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The records of a report by job: chunks where they are kept, whole videos elsewhere."""
    jobs = dict(report.get("jobs", {}))
    chunked = {record["video"] for record in jobs.values()}
    return jobs | {
        video: {"video": video, **record} for video, record in report.get("videos", {}).items() if video not in chunked
    }


def _by_video(jobs: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One record a video: seconds by stage, frames and bytes are sums over its jobs, other numbers maxima."""
    videos: dict[str, dict[str, Any]] = {}
    for key in sorted(jobs):
        record = {name: value for name, value in jobs[key].items() if name != "video"}
        total = videos.setdefault(jobs[key]["video"], {})
        for name, value in record.items():
            if name == "seconds":
                total[name] = {
                    stage: total.get(name, {}).get(stage, 0.0) + value.get(stage, 0.0)
                    for stage in sorted({*total.get(name, {}), *value})
                }
            elif name in ADDED:
                total[name] = total.get(name, 0) + value
            elif isinstance(value, (int, float)) and isinstance(total.get(name), (int, float)):
                total[name] = max(total[name], value)
            else:
                total[name] = value
    return videos


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
