"""Which tasks of an array do which work: equal shares, the same whenever each of them starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from features.files.known import file_state
from features.running.supervisor import Job

Shard = tuple[int, int]  # which, of how many


def deal(weights: Mapping[str, int], index: int, count: int) -> set[str]:
    """The names in share `index` of `count`: heaviest first, each to the share with least in it."""
    loads = [0] * count
    mine = set()
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        least = loads.index(min(loads))
        loads[least] += max(weights[name], 1)
        if least == index:
            mine.add(name)
    return mine


def share(jobs: Sequence[Job], index: int, count: int) -> list[Job]:
    """The jobs of shard `index` of `count`, balanced by weight; order is kept."""
    mine = deal({job.key: job.weight for job in jobs}, index, count)
    return [job for job in jobs if job.key in mine]


def share_files(files: Mapping[str, Path], shard: Shard | None) -> dict[str, Path]:
    """The files of a shard, balanced by size: known without opening one, so that each task plans its own alone."""
    if shard is None:
        return dict(files)
    mine = deal(_sizes(files), *shard)
    return {name: path for name, path in files.items() if name in mine}


def larger_than_a_share(files: Mapping[str, Path], shard: Shard | None) -> dict[str, Path]:
    """The files that would keep one task busy for longer than all others, if it had to do them alone."""
    if shard is None:
        return {}
    sizes = _sizes(files)
    return {name: path for name, path in files.items() if sizes[name] * shard[1] > sum(sizes.values())}


def _sizes(files: Mapping[str, Path]) -> dict[str, int]:
    return {name: _size(path) for name, path in files.items()}


def _size(path: Path) -> int:
    try:
        return file_state(path).size
    except OSError:
        return 0  # it costs a failure, whoever gets it
