"""Samples in another order of time, for heads that learn from these too: drawn with the sample, under every method."""

import dataclasses
from dataclasses import replace

import pytest
import torch
from conftest import TinyWorld
from small_methods import batch_of, make

from train.assemble import assemble, open_material
from train.config import Config
from train.dataset import Batch, RearrangedView, Samples
from train.log import read
from train.run import main

AFSD = ["--head", "afsd", "--set", "model.width=16", "--epochs", "1"]
SIZES = [
    "head.length=32",
    "head.levels=3",
    "head.groups=2",
    "head.consistency_weight=0.5",
    "sampling.min_overlap=0.2",  # actions of 5 to 9 steps, of which a crop leaves shorter ones
]


def run(world: TinyWorld, *more: str, out: str = "run") -> int:
    sizes = [word for value in SIZES for word in ("--set", value)]
    return main(world.arguments(*AFSD, *sizes, *more, out=out, small=False))


def samples_of(world: TinyWorld, **sampling: object) -> Samples:
    config = Config.read(world.runs / "run/config.json")
    config = replace(config, sampling=dataclasses.replace(config.sampling, **sampling))  # type: ignore[arg-type]
    return assemble(config, open_material(config.data), world.runs / "again")[1]


def test_a_run_learns_from_rearranged_samples_beside_its_own(world: TinyWorld) -> None:
    assert run(world) == 0
    [row] = read(world.runs / "run/log.csv")
    assert float(row["joint/consistency"]) > 0
    assert run(world, "--set", "head.consistency_weight=0", out="without") == 0
    assert "joint/consistency" not in read(world.runs / "without/log.csv")[0]


def test_rearranged_samples_are_the_samples_in_another_order(world: TinyWorld) -> None:
    assert run(world) == 0
    batch = next(iter(samples_of(world).batches(0)))
    view = batch.rearranged
    assert view is not None and len(view.rows) == len(view.order) == len(view.places) > 0
    moved = view.of(batch.cues["rgb"])
    for number, row in enumerate(view.rows.tolist()):
        length = int(batch.mask[row].sum())
        assert sorted(view.order[number].tolist()) == list(range(batch.mask.shape[1]))
        assert view.order[number, length:].tolist() == list(range(length, batch.mask.shape[1])), "padding stays"
        assert not torch.equal(moved[number], batch.cues["rgb"][row])
        for step, taken in enumerate(view.order[number].tolist()):
            assert torch.equal(moved[number, :, step], batch.cues["rgb"][row, :, taken])


def test_the_order_belongs_to_the_sample_whoever_makes_it(world: TinyWorld) -> None:
    assert run(world) == 0
    first, again, worker = (
        next(iter(samples_of(world, workers=workers).batches(0))).rearranged for workers in (0, 0, 1)
    )
    assert first is not None and again is not None and worker is not None
    assert torch.equal(first.order, again.order) and torch.equal(first.order, worker.order)
    assert torch.equal(first.places, worker.places)


@pytest.mark.parametrize("name", ["supervised", "direct", "decomposed", "augmented_rgb"])
def test_every_method_has_the_deployed_head_judge_them(name: str) -> None:
    plain = batch_of(head="afsd")
    order = torch.arange(32).roll(3)[None]
    view = RearrangedView(torch.tensor([0]), order, torch.tensor([[[2.0, 6.0], [9.0, 14.0], [6.25, 8.75]]]))
    method = make(name, head="afsd").eval()
    without, given = method(plain), method(with_view(plain, view))
    assert set(given) - set(without) == {"joint/consistency"}
    assert all(torch.equal(without[path], given[path]) for path in without)


def test_a_batch_in_which_nothing_can_be_rearranged_has_the_same_losses() -> None:
    nothing = RearrangedView(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 32, dtype=torch.int64), torch.zeros(0))
    found = make("decomposed", head="afsd")(with_view(batch_of(head="afsd"), nothing))
    assert found["joint/consistency"] == 0
    torch.stack(list(found.values())).sum().backward()


def with_view(batch: Batch, view: RearrangedView) -> Batch:
    return replace(batch, rearranged=view)


def test_a_head_without_such_a_loss_is_not_asked() -> None:
    view = RearrangedView(torch.tensor([0]), torch.arange(32)[None], torch.zeros(1, 3, 2))
    assert set(make("supervised")(with_view(batch_of(), view))) == {"joint/class", "joint/offset"}
