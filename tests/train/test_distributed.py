"""A method under DistributedDataParallel: what is called is `forward`, so that gradients of the ranks are averaged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from small_methods import batch_of, make, with_joint_teacher
from torch.nn.parallel import DistributedDataParallel

from train.data.dataset import Batch


def batch_of_rank(rank: int) -> Batch:
    """Either rank has one labelled row and one without labels, of its own."""
    batch = with_joint_teacher(batch_of(seed=10 + rank))
    return replace(batch, targets=[batch.targets[0], None], labelled=torch.tensor([True, False]))


def gradients(method: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n.removeprefix("module."): p.grad for n, p in method.named_parameters() if p.grad is not None}


def work(rank: int, name: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    method = DistributedDataParallel(make(name).eval(), find_unused_parameters=True)
    torch.stack(list(method(batch_of_rank(rank)).values())).sum().backward()
    torch.save(gradients(method), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_from_the_mean_of_both_their_gradients(tmp_path: Path) -> None:
    name = "decomposed"
    torch.multiprocessing.spawn(work, (name, str(tmp_path)), nprocs=2)  # type: ignore[attr-defined]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = []
    for rank in range(2):
        method = make(name).eval()
        torch.stack(list(method(batch_of_rank(rank)).values())).sum().backward()
        alone.append(gradients(method))
    assert first.keys() == second.keys() == alone[0].keys()
    for weight in first:
        assert torch.equal(first[weight], second[weight]), weight
        mean = (alone[0][weight] + alone[1][weight]) / 2
        assert torch.allclose(first[weight], mean, rtol=1e-4, atol=1e-6), weight
        assert not torch.allclose(alone[0][weight], alone[1][weight], rtol=1e-4, atol=1e-9), weight
