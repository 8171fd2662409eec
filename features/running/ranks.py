"""The processes that train one network together, as torchrun starts them; a single one where it did not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from command.errors import FlowlessError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is. What they say to one another they must all say, in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and tells people."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum of what the ranks have, without gradient, on the device of `value`; `value` itself is kept."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def any(self, asked: bool) -> bool:
        """Whether one of the ranks says so; between processors, so that no accelerator is waited for."""
        return (self.size > 1 and bool(self.sum(torch.tensor(int(asked))))) or asked

    def rows(self, value: Tensor) -> tuple[Tensor, int]:
        """The rows (N, ...) of all ranks, without gradient, and which of them is the first of this one's."""
        if self.size == 1:
            return value, 0
        counts = [int(n) for n in self.all(len(value))]
        padded = value.new_zeros(max(counts), *value.shape[1:])
        padded[: len(value)] = value.detach()
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded)
        return torch.cat([x[:n] for x, n in zip(found, counts, strict=True)]), sum(counts[: self.rank])

    def all(self, value: T) -> list[T]:
        """What each rank says, by rank; anything that can be pickled."""
        if self.size == 1:
            return [value]
        said: list[Any] = [None] * self.size
        dist.all_gather_object(said, value)
        return said

    def barrier(self) -> None:
        """Waits until every rank is here."""
        self.any(False)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The block is done by the first rank, then by the others: what it writes they find."""
        if not self.first:
            self.barrier()
        try:
            yield
        finally:
            if self.first:
                self.barrier()

    def together(self, work: Callable[[], T]) -> T:
        """What `work` gives. Where it fails on any rank it ends on all, and the first tells why."""
        if self.size == 1:
            return work()
        error: FlowlessError | None = None
        try:
            done = work()
        except FlowlessError as failure:
            error = failure
        said = self.all("" if error is None else str(error))
        if not any(said):
            return done
        if not self.first:
            raise SystemExit(2)
        raise error or FlowlessError(next(f"rank {rank}: {text}" for rank, text in enumerate(said) if text))

    def share(self, items: list[T]) -> list[T]:
        """This rank's items, such as those of a batch; together the ranks have each once."""
        return items[self.rank :: self.size]


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks of this run: alone, or as the variables that torchrun sets tell."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Ranks(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def device_of_rank(name: str, ranks: Ranks) -> str:
    """Of several processes on one machine each takes the GPU of its own number."""
    if ranks.size > 1 and (name == "auto" or name.startswith("cuda")) and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name
