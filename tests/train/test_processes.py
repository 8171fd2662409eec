"""Several processes: the losses of the shares of a batch add up to the loss of the whole, and so do their gradients."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TinyWorld
from small_methods import batch_of, make, with_joint_teacher
from torch import Tensor

from detect.heads import HEADS
from features.running.ranks import ALONE, Ranks
from train.config import TrainingError
from train.data.dataset import Batch, RearrangedView, TeacherView
from train.log import Values
from train.methods import METHODS
from train.methods.base import Method
from train.run import main

ROOT = Path(__file__).resolve().parents[2]
TWENTY_STEPS = ["--epochs", "20", "--set", "sampling.batch_size=5", "--set", "model.dropout=0"]  # shares of 3 and 2
TWENTY_STEPS += ["--set", "head.drop_path=0", "--set", "optimiser.threads=1"]


class Told(Ranks):
    """A rank that hears what the others said in an earlier pass over the same batch: no processes are needed."""

    def __init__(self, rank: int, heard: list[list[Tensor]]) -> None:
        object.__setattr__(self, "rank", rank)
        object.__setattr__(self, "size", 2)
        object.__setattr__(self, "heard", heard)
        object.__setattr__(self, "said", [])

    def all_of(self, value: Tensor) -> list[Tensor]:
        self.said.append(value.detach().clone())  # type: ignore[attr-defined]
        place = len(self.said) - 1  # type: ignore[attr-defined]
        return [said[place] for said in self.heard] or [value.detach()]  # type: ignore[attr-defined]

    def sum(self, value: Tensor) -> Tensor:
        return torch.stack(self.all_of(value)).sum(0)

    def rows(self, value: Tensor) -> tuple[Tensor, int]:
        parts = self.all_of(value)
        return torch.cat(parts), sum(map(len, parts[: self.rank])) if len(parts) > 1 else 0


def share_of(batch: Batch, rows: list[int]) -> Batch:
    def of(view: TeacherView) -> TeacherView:
        features = None if view.features is None else view.features[rows]
        return TeacherView(features, {name: value[rows] for name, value in view.predictions.items()})

    view = batch.rearranged
    if view is not None:
        kept = [n for n, row in enumerate(view.rows.tolist()) if row in rows]
        moved = torch.tensor([rows.index(int(view.rows[n])) for n in kept], dtype=torch.int64)
        view = RearrangedView(moved, view.order[kept], view.places[kept])
    return replace(
        batch,
        videos=tuple(batch.videos[row] for row in rows),
        cues={cue: x[rows] for cue, x in batch.cues.items()},
        mask=batch.mask[rows],
        targets=[batch.targets[row] for row in rows],
        labelled=batch.labelled[rows],
        teachers={role: of(teacher) for role, teacher in batch.teachers.items()},
        rearranged=view,
    )


def whole_batch(head: str, method: str) -> Batch:
    """Three labelled rows and, for a method that distils, one without labels."""
    one, other = (with_joint_teacher(batch_of(seed=seed, head=head), head) for seed in (3, 4))
    views = {
        role: TeacherView(
            None if view.features is None else torch.cat([view.features, other.teachers[role].features]),  # type: ignore[list-item]
            {name: torch.cat([x, other.teachers[role].predictions[name]]) for name, x in view.predictions.items()},
        )
        for role, view in one.teachers.items()
    }
    targets = [*one.targets, *other.targets]
    targets[3] = None if METHODS[method].needs_teacher else targets[3]
    return Batch(
        ("a", "b", "c", "d"),
        {cue: torch.cat([x, other.cues[cue]]) for cue, x in one.cues.items()},
        torch.cat([one.mask, other.mask]),
        targets,
        torch.tensor([target is not None for target in targets]),
        views if METHODS[method].needs_teacher else {},
    )


def learnt(method: Method, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    losses = method(batch)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in losses.items()}, gradients


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("name", list(METHODS))
def test_losses_and_gradients_of_uneven_shares_add_up_to_those_of_the_whole_batch(name: str, head: str) -> None:
    batch = whole_batch(head, name)
    losses, gradients = learnt(make(name, head=head).eval(), batch)
    shares = [share_of(batch, [0, 2, 3]), share_of(batch, [1])]
    heard: list[list[Tensor]] = []
    for _ in range(2):  # first each speaks, then each hears what all have said
        said, found = [], []
        for rank, share in enumerate(shares):
            method, ranks = make(name, head=head).eval(), Told(rank, heard)
            method.among(ranks)
            found.append(learnt(method, share))
            said.append(ranks.said)  # type: ignore[attr-defined]
        heard = said
    assert len(heard[0]) == len(heard[1]) > 0  # else ranks would wait for each other
    for term, value in losses.items():
        assert torch.allclose(sum(part[0][term] for part in found), value, rtol=1e-4, atol=1e-6), term
    for weight, value in gradients.items():
        added = sum(part[1].get(weight, torch.zeros(())) for part in found)
        assert torch.allclose(added, value, rtol=1e-3, atol=1e-5), weight


def test_alone_nothing_is_asked_of_others() -> None:
    count, rows = torch.tensor(3), torch.ones(2, 4)
    assert ALONE.sum(count) is count and ALONE.rows(rows) == (rows, 0) and ALONE.all("x") == ["x"]
    assert ALONE.first and ALONE.any(True) and not ALONE.any(False) and ALONE.share([1, 2]) == [1, 2]


def test_shares_have_every_sample_once() -> None:
    shares = [Ranks(rank, 3).share(list(range(8))) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(8))
    assert {len(share) for share in shares} == {2, 3}


def test_values_read_now_and_then_are_those_read_at_each_step() -> None:
    at_once, later = {}, {}  # type: ignore[var-annotated]
    for sums, values in ((at_once, Values(1)), (later, Values(4))):
        for step in range(10):
            losses = {"loss": torch.tensor(0.1 * step), "joint/class": torch.tensor(0.3 * step)}
            values.keep(step, losses, torch.tensor(1.0 / (step + 1)), ("a",), sums)
        values.read(sums)
    assert at_once == later and list(later) == ["loss", "joint/class", "gradient_norm"]


def test_a_step_that_is_not_finite_is_named_though_later_ones_were_made_before_it_is_read() -> None:
    values = Values(4)
    for step, value in enumerate([1.0, float("nan"), 2.0]):
        values.keep(step, {"loss": torch.tensor(value)}, torch.tensor(1.0), (f"v{step}",), {})
    with pytest.raises(TrainingError, match=r"step 1: .* on \['v1'\]"):
        values.read({})


def torchrun(world: TinyWorld, *more: str, out: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*launch, "-m", "train.run", *world.arguments(*more, out=out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def rows(world: TinyWorld, out: str) -> list[dict[str, float]]:
    with (world.runs / out / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["supervised", "decomposed"])
def test_two_processes_cut_in_the_middle_learn_what_one_does(world: TinyWorld, method: str) -> None:
    options = list(TWENTY_STEPS)
    if method == "decomposed":
        assert main(world.arguments(*TWENTY_STEPS, "--cues", "flow", "--epochs", "2", out="flow")) == 0
        options += ["--method", "decomposed", "--teacher", str(world.runs / "flow/detector.pt")]
    assert main(world.arguments(*options, out="one")) == 0
    assert torchrun(world, *options, "--stop-after", "9", out="two").returncode != 0
    assert not (world.runs / "two/detector.pt").exists() and len(rows(world, "two")) == 9
    ended = torchrun(world, *options, "--resume", out="two")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("20 steps") == 1
    one, two = rows(world, "one"), rows(world, "two")
    assert len(one) == len(two) == 20
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one_and_is_told(
    world: TinyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.arguments(*TWENTY_STEPS, out="one")) == 0
    torchrun(world, *TWENTY_STEPS, "--stop-after", "9", out="two")
    assert main(world.arguments(*TWENTY_STEPS, "--resume", out="two")) == 0
    assert "of 2 processes, goes on in 1" in capsys.readouterr().err
    assert rows(world, "two")[-1] == pytest.approx(rows(world, "one")[-1], rel=1e-6)


@pytest.mark.slow
def test_more_processes_than_a_batch_has_samples_are_refused_in_one_line(world: TinyWorld) -> None:
    ended = torchrun(world, "--set", "sampling.batch_size=1", "--epochs", "1", out="two")
    assert ended.returncode != 0
    assert ended.stderr.count("a batch has 1 samples with labels, fewer than the 2 processes") == 1
    assert not (world.runs / "two/last.pt").exists()
