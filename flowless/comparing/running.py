"""How a comparison runs: its world, its jobs, its plan in words, its report."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from command.exit_codes import ExitCode
from command.writing import write_json, write_text, write_whole
from detect.missing import SKIP
from evaluate.files.annotations import Annotations
from evaluate.files.detections import WITHOUT_FEATURES
from evaluate.files.reading import json_of
from flowless.comparing.asked import Asked, CompareError
from flowless.comparing.estimate import in_words, seconds_left
from flowless.comparing.plan import runs_by_name
from flowless.comparing.summary import (
    Finished,
    Summary,
    cost_reports,
    finished_runs,
    gains,
    measured_cost,
    page_of,
)
from flowless.comparing.told import Teller
from flowless.graph.job import Graph, Job, Step
from flowless.graph.ledger import Ledger
from flowless.graph.runner import BLOCKED, DONE, FAILED, Runner, words

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # of each job; as many jobs as --workers run side by side
TIMELINES = 2  # videos in the picture
PREFIX = (sys.executable, "-m")


def jobs_folder(out: Path) -> Path:
    return out / "jobs"


def make_world(args: argparse.Namespace, shard: int) -> bool:
    """The videos and annotations of --preset; False where they are not there and are not to be made, or failed."""
    out: Path = args.out
    command = ("extract.synthetic", "--out", str(out), "--preset", args.preset, "--seed", "0")
    step = Step(command, (out / "annotations.json",), how=("--workers", str(args.workers)), resumes=True, keeps=True)
    ledger = Ledger(Graph.of([Job("world", (step,), slots=args.workers)]), jobs_folder(out))
    ledger.refuse_others()
    if args.dry_run:
        there = ledger.is_done(ledger.graph.jobs["world"])
        print(f"{'done' if there else 'to do':<8}world\n        {' '.join(words(('python', '-m'), step))}")
        if not there:
            print("The rest is planned once the world is there.")
        return there
    runner = Runner(ledger, args.workers, shard, PREFIX, changed=Teller(None, list), waits_for_all=True)
    runner.run()
    for name, said in runner.said.items():
        print(f"not made: {name}: {said}", file=sys.stderr)
    return set(runner.state.values()) == {DONE}


def link_videos(folder: Path, videos: Mapping[str, Path]) -> None:
    """Links by id, and no others, so that a folder lists exactly these videos under the ids that they have."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / f"{name}{path.suffix}": path.absolute() for name, path in videos.items()}
    for old in folder.rglob("*"):
        if old.is_symlink() and old not in wanted:
            old.unlink()
    for link, path in wanted.items():
        if link.is_symlink() and link.readlink() == path:
            continue
        if link.exists() and not link.is_symlink():
            raise CompareError(f"{link}: is a file, where a link to {path} belongs. Move it away")
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


def dry_run(asked: Asked, graph: Graph) -> int:
    """Prints every job, done or left, with its commands; hours and bytes of what is left."""
    ledger = Ledger(graph, jobs_folder(asked.out))
    ledger.refuse_others()
    done: set[str] = set()
    for job in graph.jobs.values():
        first = ledger.first_left(job) if done.issuperset(job.needs) else 0
        if first is None:
            done.add(job.name)
            print(f"done    {job.name}")
            continue
        print(f"to do   {job.name} ({in_words(seconds_left(ledger, [job]))})")
        for step in job.steps[first:]:
            print(f"        {' '.join(words(('python', '-m'), step))}")
    left = [job for job in graph.jobs.values() if job.name not in done]
    hours = seconds_left(ledger, left) / 3600
    size = sum(job.size for job in left)
    above = next(folder for folder in (asked.out.absolute(), *asked.out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(above).free
    print(
        f"{len(graph.jobs)} jobs, {len(done)} of them done; left: about {hours:,.2f} hours of one CPU core, "
        f"{hours / asked.workers / asked.shards:,.2f} with {asked.workers * asked.shards} workers; "
        f"about {size / 1e9:,.2f} GB of {free / 1e9:,.1f} GB free{' (NOT ENOUGH ROOM)' * (size > free)}"
    )
    return ExitCode.DONE


def run_all(asked: Asked, graph: Graph, shard: int) -> Runner:
    """Does what is left of this shard's share; the first shard waits for all others, for it writes the report."""
    ledger = Ledger(graph, jobs_folder(asked.out))
    ledger.refuse_others()
    names = runs_by_name(asked)

    def lines() -> list[str]:
        done = [run for name, run in names.items() if runner.state.get(name) == DONE]
        summary = Summary(asked, finished_runs(asked, done), {}, None, {}, {})
        return [
            line
            for head in summary.heads
            for line in ([f"Head {head}", ""] * (len(asked.heads) > 1)) + summary.lines(head)
        ]

    table = asked.out / "table.md" if shard == 0 else None
    teller = Teller(table, lines)
    runner = Runner(ledger, asked.workers, shard, PREFIX, ONE_THREAD, teller, waits_for_all=shard == 0)
    runner.run()
    return runner


def report(asked: Asked, runner: Runner, truth: Annotations, no_file: Sequence[str]) -> int:
    """Pages, table and JSON of what is done; the exit code."""
    failed = {name: runner.said[name] for name, state in runner.state.items() if state in (FAILED, BLOCKED)}
    names = runs_by_name(asked)
    runs = finished_runs(asked, [run for name, run in names.items() if runner.state[name] == DONE])
    if runner.shard != 0:
        mine = {name: said for name, said in failed.items() if runner.graph.jobs[name].shard == runner.shard}
        tell_failed(mine, asked.missing)
        return ExitCode.FAILURES if mine else ExitCode.DONE
    tell_failed(failed, asked.missing)
    if not runs:
        raise CompareError(f"no run has ended well: {next(iter(failed.values()), 'none was asked for')}")
    reports = cost_reports(asked, runs)
    pages = make_pages(asked, runs, reports)
    missing = {"had no file": list(no_file)} | missing_features(runs, no_file)
    summary = Summary(asked, runs, gains(asked, runs, truth), measured_cost(reports), missing, failed)
    write_text(asked.out / "table.md", summary.markdown())
    write_json(asked.out / "results.json", summary.to_json())
    first = next(iter(pages.values()))
    write_whole(asked.out / "timeline.png", first.with_suffix(".png").read_bytes())
    made = [asked.out / name for name in ("report.html", "table.md", "results.json")]
    picture = asked.out / "accuracy.png"
    if summary.draw(picture):
        made.append(picture)
    else:
        picture.unlink(missing_ok=True)  # of another time, when the cost was known
    if len(pages) == 1:
        write_whole(asked.out / "report.html", first.read_bytes())
        print(first.with_suffix(".txt").read_text(encoding="utf-8").rstrip())
    else:
        links = {key: page.relative_to(asked.out).as_posix() for key, page in pages.items()}
        write_text(asked.out / "report.html", summary.page(links))
        print(summary.markdown().rstrip())
    for note in summary.notes():
        print(f"note: {note}", file=sys.stderr)
    print(*made, sep=", ", file=sys.stderr)
    return ExitCode.FAILURES if failed else ExitCode.DONE


def tell_failed(failed: Mapping[str, str], missing: str) -> None:
    """One line each, and the way on."""
    for name, said in failed.items():
        print(f"not made: {name}: {said}", file=sys.stderr)
    if missing != SKIP and any(f"ended with {int(ExitCode.FAILURES)}" in said for said in failed.values()):
        print("Repair what could not be read and repeat the command, or go on with --missing skip", file=sys.stderr)


def make_pages(asked: Asked, runs: Sequence[Finished], cost: Sequence[str]) -> dict[tuple[str, int], Path]:
    """A page of evaluate.report for each head and seed, and a picture of the first."""
    jobs, pages = [], {}
    for head in asked.heads:
        for seed in asked.seeds:
            of_both = [run for run in runs if (run.head, run.seed) == (head, seed)]
            if not of_both:
                continue
            page = pages[head, seed] = page_of(asked, head, seed)
            given = [f"{run.method.name}={run.detections}" for run in of_both]
            command = ["evaluate.report", "--annotations", str(asked.annotations), "--subset", asked.subset]
            command += ["--runs", *given, *(["--tiou", asked.tiou] if asked.tiou else [])]
            command += ["--cost", *cost] if cost else []
            picture, printed = page.with_suffix(".png"), page.with_suffix(".txt")
            command += ["--timeline", str(picture), "--timeline-videos", str(TIMELINES), "--out", str(page)]
            watches = (asked.annotations, *(run.detections for run in of_both))
            step = Step(tuple(command), (page, picture, printed), watches=watches, prints=printed)
            jobs.append(Job(f"page of {head}, seed {seed}", (step,)))
    runner = Runner(Ledger(Graph.of(jobs), jobs_folder(asked.out)), asked.workers, 0, PREFIX, ONE_THREAD)
    runner.run()
    for name, said in runner.said.items():
        raise CompareError(f"{name}: {said}")
    return pages


def missing_features(runs: Sequence[Finished], known: Sequence[str]) -> dict[str, list[str]]:
    """Videos that detectors were asked for and had no features of, by why in words."""
    found: dict[str, list[str]] = {}
    for run in runs:
        note = json_of(run.detections, CompareError).get("note", {})
        names = [name for name in note.get(WITHOUT_FEATURES, []) if name not in known]
        if names:
            found.setdefault(f"had no features of {' and '.join(run.method.streams)}", names)
    return found
