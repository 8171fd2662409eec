"""Three ways to carry jobs to their supervisors: one after another, worker processes, or a dask cluster.

Every engine yields outcomes as they come, in any order, and never raises for a job; closing it ends the work.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import joblib
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from command.errors import FlowlessError
from features.running.supervisor import Job, Limits, Outcome, stop_child, supervise


class EngineError(FlowlessError):
    """An engine that cannot be had: not installed, or no scheduler where one was named."""


LOST_WORKERS = 3  # worker processes that may vanish without a single outcome in between


def serial(
    jobs: Sequence[Job], limits: Limits, workers: int, scheduler: str | None, on_beat: Callable[[int], None]
) -> Iterator[Outcome]:
    """In this process; the only engine that reports progress within a job."""
    try:
        for job in jobs:
            yield supervise(job, limits, on_beat)
    finally:
        stop_child()


def loky(
    jobs: Sequence[Job], limits: Limits, workers: int, scheduler: str | None, on_beat: Callable[[int], None]
) -> Iterator[Outcome]:
    """Worker processes of this machine. A worker that vanishes costs nothing: its job is dealt out again."""
    remaining = {job.key: job for job in jobs}
    lost = 0
    try:
        while remaining:
            parallel = joblib.Parallel(workers, backend="loky", return_as="generator_unordered", batch_size=1)
            try:
                with _outcomes(parallel, list(remaining.values()), limits) as outcomes:
                    for outcome in outcomes:
                        lost = 0
                        del remaining[outcome.key]
                        yield outcome
            except TerminatedWorkerError as error:
                lost += 1
                if lost > LOST_WORKERS:
                    yield from _give_up(remaining, error)
                    return
    finally:
        executor = reusable_executor._executor
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


def dask(
    jobs: Sequence[Job], limits: Limits, workers: int, scheduler: str | None, on_beat: Callable[[int], None]
) -> Iterator[Outcome]:
    """Workers of a dask cluster: of the scheduler named by address or file, else one of this machine."""
    remaining = {job.key: job for job in jobs}
    with _client(workers, scheduler), joblib.parallel_config("dask", wait_for_workers_timeout=300):
        parallel = joblib.Parallel(-1, return_as="generator_unordered", batch_size=1)
        try:
            with _outcomes(parallel, jobs, limits) as outcomes:
                for outcome in outcomes:
                    del remaining[outcome.key]
                    yield outcome
        except Exception as error:  # whatever a dying scheduler or network makes of it
            yield from _give_up(remaining, error)


Engine = Callable[[Sequence[Job], Limits, int, str | None, Callable[[int], None]], Iterator[Outcome]]
ENGINES: dict[str, Engine] = {"serial": serial, "loky": loky, "dask": dask}


@contextmanager
def _outcomes(parallel: joblib.Parallel, jobs: Sequence[Job], limits: Limits) -> Iterator[Iterator[Outcome]]:
    """The outcomes as joblib gets them; leaving early cancels what is running, which joblib would warn of."""
    outcomes = parallel(joblib.delayed(_supervise_quietly)(job, limits) for job in jobs)
    try:
        yield outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes.close()


def _supervise_quietly(job: Job, limits: Limits) -> Outcome:
    """supervise, in a worker process: Ctrl-C or SLURM's warning is for the parent, which then ends the workers."""
    if threading.current_thread() is threading.main_thread():
        for for_the_parent in (signal.SIGINT, signal.SIGUSR1):
            signal.signal(for_the_parent, signal.SIG_IGN)
    return supervise(job, limits)


def _give_up(remaining: dict[str, Job], error: Exception) -> Iterator[Outcome]:
    message = f"the workers were lost before this could be done: {error}. Repeat the command."
    for job in remaining.values():
        yield Outcome(job.key, job.video or job.key, cause="WorkersLost", message=message)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise EngineError("--engine dask needs distributed: pip install 'flowless[cluster]'") from error
    if scheduler is None:
        # Nannies count the memory of a worker without its child, and a dashboard would claim a port.
        kind: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
        with LocalCluster(n_workers=workers, host="127.0.0.1", **kind) as cluster, Client(cluster) as client:
            yield client
        return
    place: dict[str, Any] = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    try:
        client = Client(**place, timeout=30)
    except (OSError, ValueError) as error:
        raise EngineError(f"--scheduler {scheduler}: no dask scheduler answers there ({error})") from error
    with client:
        yield client
