"""Many videos, many workers, one commit each: runs jobs and reports what became of every one.

    work = [Job(key="v1", task=extract_video, payload={"path": "v1.mp4", ...}, weight=1500), ...]
    report = jobs.run(work, command="extract.rgb", report_path=..., store=store, done=is_there, **jobs.options(args))
    print(report)
    return report.exit_code

A task is a function `task(payload, beat) -> record` at the top of an importable module (not the one that is run as the
command), or, where the caller should not import it, its reference "package.module:function". It works in a child
process, calls beat(frames_done), its heartbeat, at least every few seconds, commits its own output (write_part) and
returns what the report should say of it: duration_s, frames, bytes, seconds by stage, device. record["notes"], a list
of lines, is told to the user, each line once. A task that does several jobs at once returns {"jobs": [...]}, one entry
each: key, video and record, or key, video, cause and message of a failure; and, where it uses a GPU, at_work_s and
wall_s: the seconds in which the GPU was at work for it, of how many. Whatever a task raises costs its video
alone, except an OSError that says the disk takes nothing more.

Exit codes: 0 all done, 3 finished with failures, 74 the disk is full, 75 interrupted (repeat the command).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from command.exit_codes import ExitCode
from command.signals import Interrupted, interruptible
from command.writing import sweep_abandoned
from features.files.layout import StoreError, parts_folder
from features.files.report_file import read_report
from features.running.engines import ENGINES, EngineError
from features.running.options import add_arguments, options, parse_shard
from features.running.report import Ledger, RunReport, write_report
from features.running.shares import share
from features.running.supervisor import Job, Limits, Outcome, Task
from features.storage.index import build_index, refuse_losing

__all__ = ["Job", "RunReport", "add_arguments", "in_bundles", "options", "parse_shard", "run", "share", "write_report"]


Failure = Mapping[str, str]  # video, cause, message
Plan = Callable[[], tuple[Iterable[Job], Sequence[Failure]]]


def run(
    work: Iterable[Job] | Plan,
    *,
    command: str,
    report_path: Path | str,
    store: Path | str | None = None,
    done: Callable[[Job], bool] | None = None,
    failures: Sequence[Failure] = (),
    bundled: Callable[[list[Job]], list[Job]] = list,
    engine: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    shard: tuple[int, int] | None = None,
    threads: int = 1,
    hang_s: float = 120.0,
    max_memory_gb: float = 0.0,
    retries: int = 0,
    skip_failed: bool = False,
    dry_run: bool = False,
    unit: str = "frame",
    device: str = "cpu",
    seconds_per_unit: float | None = None,
    bytes_per_unit: float | None = None,
) -> RunReport:
    """Does all jobs that are not done yet, and never raises for one of them.

    work: all jobs, done or not, so that each shard of an array takes the same share whenever it starts; or a function
        that finds them out, and the failures: then a signal while it plans ends the run like any other.
    done: says which are to be skipped. failures: videos that failed before they became jobs (video, cause, message).
    bundled: makes fewer jobs of those that are left to do, each with what it is made of as its `parts`.
    store: the feature store that the tasks write to; its leftovers are swept and its index is written at the end.
        StoreError if it is a single file, which an index would overwrite.
    seconds_per_unit, bytes_per_unit: guesses for dry_run, used where no earlier run has left better ones.
    """
    report = RunReport(command, Path(report_path), unit)
    ledger = Ledger(report.path, command, device, threads)
    try:
        with interruptible(ignore_later=True):  # children are stopped, index and report written
            jobs, failures = work() if callable(work) else (work, failures)
            for failure in failures:
                _note(report, ledger, _early(failure))
            todo = _plan(share(list(jobs), *(shard or (0, 1))), done, skip_failed, report)
            if dry_run:
                report.planned = _forecast(todo, report, seconds_per_unit, bytes_per_unit)
                return report
            if store is not None and todo:
                report.fatal = _prepare(Path(store))
            if not report.fatal:
                limits = Limits(hang_s, int(max_memory_gb * 1e9), threads, retries)
                chosen = (limits, engine or ("loky" if workers > 1 else "serial"), workers, scheduler, report, ledger)
                failed = _work(bundled(todo), *chosen)
                if not report.fatal:
                    _work([part for job in failed for part in job.parts], *chosen)
    except Interrupted:
        report.interrupted = True
    except EngineError as error:
        report.refused = str(error)
        return report
    _finish(report, ledger, None if store is None else Path(store))
    return report


def in_bundles(
    work: Sequence[Job], weight: int, together: Callable[[dict[str, Any]], tuple[Task, dict[str, Any]]]
) -> list[Job]:
    """The same work in fewer jobs, in order, each of at most so much weight, or of one job that has more.

    together: task and payload of a bundle, from the payloads of its jobs by key.
    """
    bundles: list[list[Job]] = []
    for job in work:
        if not bundles or sum(one.weight for one in bundles[-1]) + job.weight > weight:
            bundles.append([])
        bundles[-1].append(job)
    return [_bundle(parts, together) for parts in bundles]


def _bundle(parts: Sequence[Job], together: Callable[[dict[str, Any]], tuple[Task, dict[str, Any]]]) -> Job:
    """One job of several; alone, each part is a bundle of its own."""
    task, payload = together({job.key: job.payload for job in parts})
    videos = " ".join(dict.fromkeys(job.video or job.key for job in parts))
    if len(parts) == 1:
        return Job(parts[0].key, task, payload, parts[0].weight, videos)
    alone = tuple(_bundle([part], together) for part in parts)
    return Job(f"{parts[0].key}+{len(parts)}", task, payload, sum(job.weight for job in parts), videos, alone)


def _plan(jobs: list[Job], done: Callable[[Job], bool] | None, skip_failed: bool, report: RunReport) -> list[Job]:
    """What is left to do; counts the rest as skipped."""
    keys = {job.key for job in jobs}
    if len(keys) != len(jobs):
        raise ValueError("two jobs have the same key")
    given_up: set[str] = set()
    if skip_failed:
        given_up = {one.get("key", one["video"]) for one in read_report(report.path).get("failures", [])}
    todo = [job for job in jobs if job.key not in given_up and not (done is not None and done(job))]
    report.skipped = len(jobs) - len(todo)
    return todo


def _prepare(store: Path) -> str:
    """Why no part can be written here, found out before hours of work and not after; empty if parts can."""
    refuse_losing(store)
    folder = parts_folder(store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(folder)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(4096))
    except OSError as error:
        return f"cannot write into {folder}: {error.strerror}"
    return ""


def _work(
    todo: list[Job],
    limits: Limits,
    engine: str,
    workers: int,
    scheduler: str | None,
    report: RunReport,
    ledger: Ledger,
) -> list[Job]:
    """Deals out the jobs and takes in their outcomes until all are there, or the disk is full.

    Returns those that failed and have parts, of which the report says nothing yet.
    """
    if not todo:
        return []
    if workers > 1 or engine != "serial":
        todo = sorted(todo, key=lambda job: -job.weight)  # a long video begun last would keep everyone waiting
    by_key = {job.key: job for job in todo}
    weights = {job.key: job.weight for job in todo}
    failed = []
    began = time.monotonic()
    with _progress(sum(weights.values()), report) as bar:
        shown = [0]  # frames of the running job that the bar shows already

        def on_beat(frames: int) -> None:
            bar.update(frames - shown[0])
            shown[0] = frames

        outcomes = ENGINES[engine](todo, limits, workers, scheduler, on_beat)
        try:
            for outcome in outcomes:
                bar.update(weights[outcome.key] - shown[0])
                shown[0] = 0
                if outcome.record is None and not outcome.fatal and by_key[outcome.key].parts:
                    failed.append(by_key[outcome.key])
                    continue
                report.units += weights[outcome.key] if outcome.record is not None else 0
                _note(report, ledger, outcome)
                if outcome.fatal:
                    report.fatal = outcome.message
                    break
                _save(report, ledger, hurry=False)
                if report.fatal:
                    break
        finally:
            outcomes.close()  # type: ignore[attr-defined]  # every engine is a generator
            report.seconds += time.monotonic() - began
    return failed


def _note(report: RunReport, ledger: Ledger, outcome: Outcome) -> None:
    if outcome.fatal:
        return  # the disk failed, not the video
    if outcome.record is not None and "jobs" in outcome.record:
        report.at_work_s += outcome.record.get("at_work_s", 0.0)
        report.wall_s += outcome.record.get("wall_s", 0.0)
        for one in outcome.record["jobs"]:
            _note(report, ledger, Outcome(**one))
        return
    if outcome.record is not None:
        report.done += 1
        record = dict(outcome.record)
        report.notes += [note for note in record.pop("notes", []) if note not in report.notes]
        ledger.add(Outcome(outcome.key, outcome.video, record={"device": "cpu", "threads": 1, **record}))
        return
    report.failed += 1
    failure = {"video": outcome.video, "cause": outcome.cause, "message": outcome.message}
    report.failures.append(failure)
    ledger.add(outcome)
    tqdm.write(f"{outcome.cause}: {outcome.video}: {outcome.message}", file=sys.stderr)


def _early(failure: Mapping[str, str]) -> Outcome:
    return Outcome(failure["video"], failure["video"], cause=failure["cause"], message=failure["message"])


def _save(report: RunReport, ledger: Ledger, hurry: bool = True) -> None:
    try:
        ledger.save({"done": report.done, "skipped": report.skipped, "failed": report.failed}, hurry)
    except OSError as error:
        report.fatal = report.fatal or f"cannot write {report.path}: {error.strerror}"


def _finish(report: RunReport, ledger: Ledger, store: Path | None) -> None:
    """Writes report and index, also after an interrupt or on a full disk: what is done should be found."""
    _save(report, ledger)
    if store is None:
        return
    try:
        sweep_abandoned(
            parts_folder(store),
            patience_s=3.0 if report.exit_code in (ExitCode.IO_ERROR, ExitCode.INTERRUPTED) else 0.0,
        )
        if any(parts_folder(store).glob("*/*.h5")):
            build_index(store)
    except OSError as error:
        report.fatal = report.fatal or f"cannot write {store}: {error.strerror}"
    except StoreError as error:
        report.failed += 1
        report.failures.append({"video": str(store), "cause": "StoreError", "message": str(error)})


def _forecast(todo: list[Job], report: RunReport, seconds_per_unit: float | None, bytes_per_unit: float | None) -> str:
    """What --dry-run prints: jobs, frames, core-hours and bytes, from earlier records if there are any."""
    records = read_report(report.path).get("videos", {}).values()
    known = sum(record.get("frames", 0) for record in records)
    if known:
        seconds_per_unit = (
            sum(sum(record.get("seconds", {}).values()) for record in records) / known or seconds_per_unit
        )
        bytes_per_unit = sum(record.get("bytes", 0) for record in records) / known or bytes_per_unit
    units = sum(job.weight for job in todo)
    text = f"{len(todo)} to do, {report.skipped} skipped, {report.failed} failed; {units:,} {report.unit}s"
    text += f", {units * seconds_per_unit / 3600:,.2f} core-hours" if seconds_per_unit else ", core-hours unknown"
    if bytes_per_unit:
        folder = next(folder for folder in report.path.absolute().parents if folder.exists())
        free = shutil.disk_usage(folder).free
        text += f", {units * bytes_per_unit / 1e9:,.3f} GB of {free / 1e9:,.1f} GB free"
        text += " (NOT ENOUGH ROOM)" if units * bytes_per_unit > free else ""
    return text + "".join(f"\n  {job.weight:>9,} {report.unit}s  {job.key}" for job in todo)


def _progress(total: int, report: RunReport) -> tqdm:
    quiet = not sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=report.command,
        unit=f" {report.unit}s",
        unit_scale=True,
        mininterval=30.0 if quiet else 0.2,  # a log file needs a line now and then, not a moving bar
        maxinterval=60.0 if quiet else 10.0,
        dynamic_ncols=True,
    )
