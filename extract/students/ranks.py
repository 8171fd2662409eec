"""The processes that train one network together, as torchrun starts them; a single one where it did not."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from extract.pipeline.settings import SettingsError


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is. Each sees clips of its own; gradients are averaged over all."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and tells people."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """The clips that one of them takes of a step; SettingsError where they cannot be dealt out evenly."""
        if batch % self.size or batch // self.size < 2:
            raise SettingsError(
                f"--batch {batch}: {self.size} processes cannot share it evenly with two clips or more each. "
                f"Take a multiple of {self.size}, at least {2 * self.size}"
            )
        return batch // self.size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.size == 1:
            return
        there = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in there])
        dist.all_reduce(flat)
        for gradient, mean in zip(there, (flat / self.size).split([g.numel() for g in there]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def average_buffers(self, buffers: Iterable[Tensor]) -> None:
        """Of what batches left behind in a network, such as running means: each process saw others."""
        if self.size == 1:
            return
        for buffer in buffers:
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size

    def least(self, number: int) -> int:
        """The smallest of what the processes say."""
        if self.size == 1:
            return number
        said = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(said, dist.ReduceOp.MIN)
        return int(said)

    def any(self, asked: bool) -> bool:
        """Whether one of the processes says so."""
        return self.least(int(not asked)) == 0

    def from_first(self, numbers: dict[str, float]) -> dict[str, float]:
        """What the first says, to all; the others wait for it."""
        if self.size == 1:
            return numbers
        said = [numbers]
        dist.broadcast_object_list(said)
        return said[0]


ALONE = Ranks()


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """The ranks of this run and the device of this one: alone, or as the variables that torchrun sets tell."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()
