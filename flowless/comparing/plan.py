"""The jobs of a comparison: features, a student, trainings with detections and scores, and the pages about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from detect.missing import SKIP
from features.running.shares import deal
from flowless.comparing.asked import DISTILL, NO_STUDENT, SHIPPED, TWIN, Asked
from flowless.comparing.estimate import Estimate
from flowless.comparing.methods import FIRST, Method
from flowless.comparing.runs import Judged, Material, run_steps
from flowless.comparing.watches import Files
from flowless.graph.job import Graph, Job, Step


def plan(asked: Asked, estimate: Estimate) -> Graph:
    """Features, where there are videos, then the runs of every head, seed and method."""
    made = list(feature_jobs(asked, estimate)) if asked.videos else []
    return Graph.of([*made, *run_jobs(asked, estimate)])


def feature_jobs(asked: Asked, estimate: Estimate) -> Iterator[Job]:
    """Flow, the networks' features, and the student with its own."""
    rgb = ("extract.rgb",)
    yield from _shared(asked, estimate, "rgb features", "rgb", (*rgb, *_weights(asked, "rgb")), ())
    if "flow" in asked.cues:
        yield from _shared(asked, estimate, "flow", "tvl1", _tvl1(asked), (), asked.flow)
    for cue in asked.cues:
        of_flow = cue == "flow"
        command = ("extract.motion", "--cue", cue, *(("--flow", str(asked.flow)) if of_flow else ()))
        needs = _shares("flow", asked.shards) if of_flow else ()
        yield from _shared(asked, estimate, f"{cue} features", cue, (*command, *_weights(asked, cue)), needs)
    if asked.student == NO_STUDENT:
        return
    needs, weights, stream = (), None, "rgb_motion" if asked.student == DISTILL else "rgb_twin"
    if asked.student in (DISTILL, TWIN):
        weights = asked.out / f"{'student' if asked.student == DISTILL else 'twin'}.pt"
        yield _teaching(asked, estimate, weights)
        needs = ("student",)
    elif asked.student != SHIPPED:
        weights = Path(asked.student)
    command = (*rgb, "--stream", stream, *(("--weights", str(weights)) if weights else ()))
    yield from _shared(asked, estimate, "student features", "student", command, needs)


def _shared(
    asked: Asked,
    estimate: Estimate,
    name: str,
    kind: str,
    command: Sequence[str],
    needs: Sequence[str],
    output: Path | None = None,
) -> Iterator[Job]:
    """A command over all videos; a job for each share of an array, in which each does its part of the videos."""
    where = () if output is not None else ("--features", str(asked.features), "--backbone", asked.network.name)
    command = (*command, "--videos", *asked.videos, *where)
    weights = tuple(Path(command[n + 1]) for n, word in enumerate(command) if word == "--weights")
    device = () if output is not None or asked.device is None else ("--device", asked.device)
    for shard, share in enumerate(_shares(name, asked.shards)):
        part = ("--shard", f"{shard}/{asked.shards}") if asked.shards > 1 else ()
        step = Step(
            tuple(command),
            (output or asked.features,),
            how=("--workers", str(asked.workers), *device, *part),
            made_from=tuple(path for path in weights if asked.out not in path.parents),
            watches=(Files(tuple(asked.listed.values())),),
            resumes=True,
            passes=(0, 3) if asked.missing == SKIP else (0,),
        )
        seconds, size = estimate.of_features(kind)
        yield Job(
            share, (step,), tuple(needs), slots=asked.workers, shard=shard, kind=kind,
            seconds=seconds / asked.shards, size=size / asked.shards,
        )  # fmt: skip


def _shares(name: str, shards: int) -> tuple[str, ...]:
    return (name,) if shards == 1 else tuple(f"{name}, share {n + 1} of {shards}" for n in range(shards))


def _tvl1(asked: Asked) -> tuple[str, ...]:
    geometry = asked.network.kind.geometry
    return ("flow.tvl1", "--out", str(asked.flow), "--size", str(geometry.short_side), "--crop", str(geometry.crop))


def _weights(asked: Asked, cue: str) -> tuple[str, ...]:
    path = asked.network.weights.get(cue)
    return () if path is None else ("--weights", str(path))


def _teaching(asked: Asked, estimate: Estimate, weights: Path) -> Job:
    """A student taught on the training videos, by the first motion cue."""
    command = ["extract.distill", "--features", str(asked.features), "--videos", str(training_folder(asked.out))]
    command += ["--stream", asked.cues[0], "--out", str(weights)]
    command += ["--twin"] if asked.student == TWIN else []
    command += ["--init", str(asked.network.weights["rgb"])] if "rgb" in asked.network.weights else []
    how = [] if asked.device is None else ["--device", asked.device]
    step = Step(
        tuple(command),
        (weights,),
        how=(*how, "--workers", str(asked.workers), "--threads", str(asked.workers)),
        made_from=(asked.network.weights["rgb"],) if "rgb" in asked.network.weights else (),
        of=tuple(estimate.train_videos),
        keeps=True,
    )
    seconds, size = estimate.of_student()
    needs = _shares(f"{asked.cues[0]} features", asked.shards)
    return Job("student", (step,), needs, slots=asked.workers, kind="student", seconds=seconds, size=size)


def training_folder(out: Path) -> Path:
    """Where links to the training videos lie, so that a student is taught on no other."""
    return out / "training_videos"


def run_folder(asked: Asked, method: Method, head: str, seed: int) -> Path:
    root = asked.out / "runs"
    return (root if head == FIRST else root / head) / f"seed{seed}" / method.folder


def run_name(method: Method, head: str, seed: int) -> str:
    return f"{method.name}, seed {seed}" if head == FIRST else f"{method.name}, {head}, seed {seed}"


def runs_by_name(asked: Asked) -> dict[str, tuple[Method, str, int]]:
    """Method, head and seed of every run, by its name."""
    return {run_name(m, h, s): (m, h, s) for h in asked.heads for s in asked.seeds for m in asked.methods}


def run_jobs(asked: Asked, estimate: Estimate) -> Iterator[Job]:
    """Teachers of all seeds before their students, each with its detections and scores."""
    made = []
    for head in asked.heads:
        for taught in (False, True):
            for seed in asked.seeds:
                for method in asked.methods:
                    if bool(method.teachers) == taught:
                        made.append(_run(asked, estimate, method, head, seed))
    shard = {
        name: n for n in range(asked.shards) for name in deal({job.name: 1 for job in made}, n, asked.shards)
    }  # as many to each, whenever each starts
    for job in made:
        yield Job(**{**vars(job), "shard": shard[job.name]})


def _run(asked: Asked, estimate: Estimate, method: Method, head: str, seed: int) -> Job:
    folder = run_folder(asked, method, head, seed)
    by_name = {one.name: one for one in asked.methods}
    teachers = {
        option: (run_folder(asked, by_name[name], head, seed) / "detector.pt", by_name[name])
        for option, name in method.teachers
    }
    options = ["--head", head, "--seed", str(seed), *asked.train]
    options += ["--train-subset", asked.train_subset] if asked.train_subset != "Training" else []
    options += [word for _, teacher in teachers.values() for word in ("--cue", teacher.streams[-1])]
    train_videos, test_videos = tuple(estimate.train_videos), tuple(estimate.test_videos)
    material = Material(
        asked.features, asked.annotations, train_videos, asked.missing, asked.device, asked.tiou
    )  # fmt: skip
    judged = Judged(asked.subset, test_videos, folder / "detections.json", folder / "metrics.json")
    steps = run_steps(method, folder, material, options, teachers, [judged])
    seconds, size = estimate.of_run(head)
    streams = {*method.streams, *(stream for _, teacher in teachers.values() for stream in teacher.streams)}
    needs = (*_features_of(asked, streams), *(run_name(by_name[name], head, seed) for _, name in method.teachers))
    return Job(run_name(method, head, seed), steps, needs, kind=f"run of {head}", seconds=seconds, size=size)


def _features_of(asked: Asked, streams: set[str]) -> list[str]:
    """The jobs that make these streams; none where they are there already."""
    if not asked.videos:
        return []
    made = {stream: f"{stream} features" for stream in ("rgb", *asked.cues)}
    names = dict.fromkeys(made.get(stream, "student features") for stream in sorted(streams))
    return [share for name in names for share in _shares(name, asked.shards)]
