"""Jobs: commands, the files that they make, and the jobs that come before them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from command.errors import FlowlessError


class GraphError(FlowlessError):
    """Jobs that cannot be run as they are: names, circles, or outputs that were made with other settings."""


Watch = str | Path | Callable[[], str]  # a word, a file by its content, or something that is asked each time


@dataclass(frozen=True)
class Step:
    """One command. Its outputs appear whole or not at all, as everything that this project writes does."""

    command: tuple[str, ...]  # a module and its arguments: what decides the outputs
    outputs: tuple[Path, ...]
    how: tuple[str, ...] = ()  # arguments that change nothing of the outputs: --workers 8, --resume
    made_from: tuple[Path, ...] = ()  # files that no job makes; with others these would be other outputs
    of: tuple[str, ...] = ()  # words that decide as well, and are no arguments
    watches: tuple[Watch, ...] = ()  # what it reads besides: with another state of them it is called again
    resumes: bool = False  # repeated, the command goes on and leaves alone what is finished
    keeps: bool = False  # outputs that took long: with other settings they are refused, not made again
    prints: Path | None = None  # the file that what it prints is kept in
    passes: tuple[int, ...] = (0,)  # exit codes after which the outputs are good


@dataclass(frozen=True)
class Job:
    """Steps that are done one after the other, once all that it needs is done."""

    name: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    results: tuple[Path, ...] = ()  # what it is made for: where these are without a record, it may be taken for done
    slots: int = 1  # of the workers that it keeps busy
    shard: int = 0  # the task of an array that does it
    kind: str = ""  # jobs of one kind take about as long
    seconds: float = 0.0  # guess, of one worker
    size: float = 0.0  # guess, bytes of what it makes

    @property
    def file_name(self) -> str:
        """The name as part of a file's name."""
        plain = re.sub(r"[^A-Za-z0-9.+=-]+", "_", self.name).strip("_")
        return plain if plain == self.name else f"{plain}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Graph:
    """Jobs by name in the order given, but each after those that it needs.

    GraphError where names are twice, unknown, or in a circle.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)

    @staticmethod
    def of(jobs: Iterable[Job]) -> Graph:
        given: dict[str, Job] = {}
        for job in jobs:
            if job.name in given:
                raise GraphError(f"two jobs are called {job.name!r}")
            given[job.name] = job
        for job in given.values():
            if unknown := [name for name in job.needs if name not in given]:
                raise GraphError(f"{job.name}: needs {', '.join(unknown)}, which there is not")
        ordered: dict[str, Job] = {}

        def put(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                raise GraphError(f"jobs wait for each other in a circle: {', '.join(sorted(set(above)))}")
            if name not in ordered:
                for need in given[name].needs:
                    put(need, (*above, name))
                ordered[name] = given[name]

        for name in given:
            put(name, ())
        return Graph(ordered)

    def settings(self) -> dict[str, tuple[str, ...]]:
        """By job, for each step a digest of all that decides its outputs: its command, its files, the jobs before."""
        read: dict[Path, str] = {}
        made: dict[str, tuple[str, ...]] = {}
        for name, job in self.jobs.items():
            before = sorted({made[need] for need in job.needs})  # shares of one job are alike
            digests: list[str] = []
            for step in job.steps:
                for path in step.made_from:
                    read.setdefault(path, content_of(path))
                files = [read[path] for path in step.made_from]
                digests.append(digest([*step.command], [*step.of], files, before, digests))
            made[name] = tuple(digests)
        return made


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_of(path: Path) -> str:
    """The sha256 of a file, "" of none; of a folder, of the names, sizes and times of what is in it."""
    if path.is_dir():
        return digest([state_of(each) for each in sorted(path.rglob("*")) if each.is_file()])
    try:
        return _sha256(path, tuple(map(str, state_of(path))))
    except OSError:
        return ""


@lru_cache(maxsize=4096)
def _sha256(path: Path, state: tuple[str, ...]) -> str:
    """state: size and time, so that a file that stays the same is read once."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def state_of(path: Path) -> list[object]:
    """Name, size and time of a file; only the name of one that is not there."""
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), status.st_size, status.st_mtime_ns]


def is_whole(path: Path) -> bool:
    """Whether an output is there: a file that is not empty, and JSON that is JSON."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
            return True
        return path.stat().st_size > 0
    except (OSError, ValueError):
        return False


def all_whole(paths: Sequence[Path]) -> bool:
    return all(is_whole(path) for path in paths)
