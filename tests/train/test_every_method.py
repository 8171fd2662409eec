"""What holds for every training method under every head: padding, background, rows without labels, stopping."""

import copy
import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import TinyWorld, write_features
from query_head import NamelessQueryHead, QueryHead
from small_methods import STEPS, batch_of, grown, make, sums, with_joint_teacher
from step_head import StepHead
from torch import nn

import features
from detect.heads import HEADS
from detect.heads.actionformer.head import ActionFormer
from detect.heads.base import Croppable, Targets
from detect.model.detector import Detector
from features.storage.store import build_index
from train.data.dataset import Batch, Samples, TeacherView
from train.log import read
from train.methods.base import Method
from train.run import main

KINDS = [
    ("supervised", ("rgb",)),
    ("supervised", ("rgb", "flow")),
    ("supervised", ("rgb", "rgb_motion")),
    ("direct", ("rgb",)),
    ("direct", ("rgb_motion",)),
    ("augmented_rgb", ("rgb",)),
    ("decomposed", ("rgb",)),
    ("decomposed", ("rgb", "rgb_motion")),
]
EVERY = pytest.mark.parametrize(("name", "cues"), KINDS, ids=lambda v: v if isinstance(v, str) else "+".join(v))
OF_TRUTH, OF_TEACHERS = ("joint/", "appearance/", "motion/"), ("distill/", "distill_joint/")


@pytest.fixture(params=[*HEADS, "unnamed", "steps", "queries", "nameless"])
def head(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(HEADS, "unnamed", ActionFormer)  # as for ActivityNet
    monkeypatch.setitem(HEADS, "steps", StepHead)
    monkeypatch.setitem(HEADS, "queries", QueryHead)
    monkeypatch.setitem(HEADS, "nameless", NamelessQueryHead)
    return str(request.param)


def losses_of(method: Method, batch: Batch) -> dict[str, torch.Tensor]:
    """Of a copy, so that the normaliser of `method` stays where it is."""
    return copy.deepcopy(method)(batch)


def positives_of(method: Method, batch: Batch) -> list[int]:
    """What the normaliser of a copy is told in one step."""
    told, method = [], copy.deepcopy(method)
    update = method.normaliser.update
    method.normaliser.update = lambda positives: told.append(positives) or update(positives)  # type: ignore[method-assign]
    method(batch)
    return told


def half_labelled(head: str, length: int | None = None) -> Batch:
    """The second row has no labels."""
    batch = with_joint_teacher(batch_of(head=head, length=length), head)
    return replace(batch, targets=[batch.targets[0], None], labelled=torch.tensor([True, False]))


def only_row(batch: Batch, row: int, head: nn.Module) -> Batch:
    rows = slice(row, row + 1)
    views = {
        role: TeacherView(
            None if view.features is None else view.features[rows], {k: v[rows] for k, v in view.predictions.items()}
        )
        for role, view in batch.teachers.items()
    }
    cues = {cue: x[rows] for cue, x in batch.cues.items()}
    return Batch(batch.videos[rows], cues, batch.mask[rows], batch.targets[rows], batch.labelled[rows], views)


@EVERY
def test_padding_a_batch_further_changes_no_loss(name: str, cues: tuple[str, ...], head: str) -> None:
    method, batch = make(name, cues, head).eval(), half_labelled(head)
    if method.detector.head.sample.length is not None:  # the same in samples of another length, the teachers' too
        longer, padded = make(name, cues, head, length=STEPS + 8).eval(), half_labelled(head, STEPS + 8)
        longer.load_state_dict(grown(method.state_dict(), longer.state_dict()))
    else:
        longer, padded = method, padded_by(8, batch, method.detector.head)
    here, there = losses_of(method, batch), losses_of(longer, padded)
    assert here.keys() == there.keys()
    for path in here:
        assert there[path].item() == pytest.approx(here[path].item(), rel=1e-4, abs=1e-5), path


def padded_by(steps: int, batch: Batch, head: nn.Module) -> Batch:
    assert isinstance(head, Croppable)
    length = batch.mask.shape[1] + steps

    def wider(view: TeacherView) -> TeacherView:
        features = view.features if view.features is None else nn.functional.pad(view.features, (0, steps))
        rows = [{name: value[i : i + 1] for name, value in view.predictions.items()} for i in range(2)]
        return TeacherView(features, head.stack(rows, length))

    return replace(
        batch,
        cues={cue: nn.functional.pad(x, (0, steps)) for cue, x in batch.cues.items()},
        mask=nn.functional.pad(batch.mask, (0, steps)),
        teachers={role: wider(view) for role, view in batch.teachers.items()},
    )


@EVERY
def test_a_labelled_video_without_actions_is_taught_as_background(name: str, cues: tuple[str, ...], head: str) -> None:
    nothing = Targets(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    batch = replace(batch_of(head=head), targets=[nothing, nothing])
    method = make(name, cues, head)
    losses = method(batch)
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["joint/class"] > 0 and losses.get("joint/offset", torch.tensor(0)) == 0
    assert positives_of(method, batch) == [0]
    sums(losses, "joint/").backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.detector.head.parameters())


@EVERY
def test_a_sample_of_one_step_is_taught_and_detected_in(name: str, cues: tuple[str, ...], head: str) -> None:
    batch = with_joint_teacher(batch_of(head=head), head)
    first = torch.arange(STEPS) < torch.tensor([[STEPS], [1]])
    action = Targets(torch.tensor([[-0.5, 0.5]]), torch.tensor([1]))
    batch = replace(
        batch,
        cues={cue: x * first[:, None] for cue, x in batch.cues.items()},
        mask=first,
        targets=[batch.targets[0], action],
    )
    method = make(name, cues, head)
    losses = method(batch)
    assert all(torch.isfinite(value) for value in losses.values())
    sums(losses, "").backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
    detector = method.eval().detector
    for found in detector.head.decode(detector(batch.cues, batch.mask)):
        assert torch.isfinite(found.segments).all() and torch.isfinite(found.scores).all()


@EVERY
def test_ground_truth_about_rows_without_labels_has_no_effect_whatever_it_says(
    name: str, cues: tuple[str, ...], head: str
) -> None:
    method, batch = make(name, cues, head).eval(), half_labelled(head)
    said = losses_of(method, batch)
    for targets in (
        Targets(torch.tensor([[1.0, 18.0], [3.0, 5.0]]), torch.tensor([0, 1])),
        Targets(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)),
    ):
        changed = losses_of(method, replace(batch, targets=[batch.targets[0], targets]))
        assert all(torch.equal(said[path], changed[path]) for path in said)


@EVERY
def test_ground_truth_terms_are_those_of_the_labelled_rows_alone(name: str, cues: tuple[str, ...], head: str) -> None:
    method, batch = make(name, cues, head).eval(), half_labelled(head)
    both, alone = losses_of(method, batch), losses_of(method, only_row(batch, 0, method.detector.head))
    for path in both:
        if path.startswith(OF_TRUTH):
            assert both[path].item() == pytest.approx(alone[path].item(), rel=1e-5, abs=1e-6), path
    assert positives_of(method, batch) == positives_of(method, only_row(batch, 0, method.detector.head))


@EVERY
def test_rows_without_labels_are_reached_by_the_teachers_and_never_by_ground_truth(
    name: str, cues: tuple[str, ...], head: str
) -> None:
    method, batch = make(name, cues, head).eval(), half_labelled(head)
    inputs = [batch.cues[cue].requires_grad_() for cue in cues]
    losses = method(batch)

    def reaches(prefixes: tuple[str, ...], row: int) -> bool:
        grads = torch.autograd.grad(sums(losses, *prefixes), inputs, retain_graph=True, allow_unused=True)
        return any(g is not None and bool(g[row].abs().sum() > 0) for g in grads)

    assert reaches(OF_TRUTH, 0) and not reaches(OF_TRUTH, 1)
    if name != "supervised":
        assert reaches(("distill/",), 1) and reaches(("distill_joint/",), 1)


@pytest.mark.parametrize(("name", "cues"), [kind for kind in KINDS if kind[0] != "supervised"])
def test_a_joint_teacher_speaks_to_the_deployed_head_and_can_be_weighed(
    name: str, cues: tuple[str, ...], head: str
) -> None:
    batch = half_labelled(head)
    once, thrice, never = (make(name, cues, head, joint_weight=w)(batch) for w in (1.0, 3.0, 0.0))
    said = [path for path in once if path.startswith("distill_joint")]
    assert "distill_joint/class" in said and len(said) > 1
    assert all(thrice[path].item() == pytest.approx(3 * once[path].item(), rel=1e-5) for path in said)
    assert not any(path.startswith("distill_joint") for path in never)
    method = make(name, cues, head)
    sums(method(batch), "distill_joint").backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.detector.head.parameters())


@EVERY
def test_calling_a_method_gives_its_losses(name: str, cues: tuple[str, ...], head: str) -> None:
    method, batch = make(name, cues, head).eval(), half_labelled(head)
    called, asked = copy.deepcopy(method)(batch), copy.deepcopy(method).losses(batch)
    assert called.keys() == asked.keys() and all(torch.equal(called[path], asked[path]) for path in called)


# ---- whole runs

SIZES_OF = {
    "actionformer": ["head.levels=3", "head.window=5", "head.heads=2"],
    "unnamed": [
        "head.levels=3",
        "head.window=5",
        "head.heads=2",
        "head.positions=16",
        "head.names_classes=false",
    ],
    "afsd": ["head.length=16", "head.levels=3", "head.groups=2", "head.consistency_weight=0.1"],
    "gtad": [
        "head.length=16",
        "head.durations=8",
        "head.groups=4",
        "head.bins=4",
        "head.hidden=16",
        "head.map_width=8",
    ],
    "tadtr": ["head.length=48", "head.heads=2", "head.encoder=1", "head.decoder=2", "head.queries=5", "head.bins=4"],
    "tags": ["head.length=16", "head.heads=2", "head.head_width=8", "head.tower=[16,16,16]"],
    "steps": [],
    "queries": ["head.length=16"],  # of videos of 40 steps and more
    "nameless": ["head.length=16"],
}


def start(world: TinyWorld, head: str, out: str, *more: str) -> int:
    sizes = [word for value in ["model.width=16", *SIZES_OF[head]] for word in ("--set", value)]
    return main(world.arguments("--head", head, *sizes, *more, out=out, small=False))


@pytest.fixture
def student_world(world: TinyWorld, head: str) -> TinyWorld:
    """With a stream rgb_motion, as a motion student would write it, and the teachers in runs/flow and runs/two."""
    store = features.open(world.features)
    for video in store.videos:
        rgb, flow = store.read(video, "rgb"), store.read(video, "flow")
        write_features(world.features, video, "rgb_motion", (rgb + flow) / 2, cue="rgb")
    build_index(world.features)
    assert start(world, head, "flow", "--cues", "flow", "--epochs", "1") == 0
    assert start(world, head, "two", "--cues", "rgb,flow", "--epochs", "1") == 0
    return world


def interrupted_at(step: int) -> Callable[[Samples, list], object]:
    collate, calls = Samples.collate, []

    def interrupting(self: Samples, samples: list) -> object:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return collate(self, samples)

    return interrupting


@pytest.mark.parametrize(
    ("name", "cues"),
    [
        ("supervised", "rgb,rgb_motion"),
        ("direct", "rgb"),
        ("augmented_rgb", "rgb"),
        ("decomposed", "rgb"),
        ("decomposed", "rgb,rgb_motion"),
    ],
)
def test_a_run_cut_within_an_epoch_goes_on_bit_for_bit_also_with_unlabelled_videos(
    student_world: TinyWorld, head: str, monkeypatch: pytest.MonkeyPatch, name: str, cues: str
) -> None:
    runs = student_world.runs
    taught = ["--teacher", str(runs / "flow/detector.pt"), "--joint-teacher", str(runs / "two/detector.pt")]
    options = ["--method", name, "--cues", cues, "--train-videos", "5", "--epochs", "3", "--set", "model.dropout=0.2"]
    options += ["--set", "sampling.batch_size=2"]
    if name != "supervised":
        options += [*taught, "--unlabelled-subset", "Training"]
    assert start(student_world, head, "straight", *options) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "collate", interrupted_at(3))  # of 2 steps an epoch
        assert start(student_world, head, "cut", *options) == 75
    assert main(["--resume", "--out", str(runs / "cut")]) == 0
    one, other = (Detector.load(runs / run / "detector.pt").state_dict() for run in ("straight", "cut"))
    assert all(torch.equal(one[weight], other[weight]) for weight in one)
    assert (runs / "straight/log.csv").read_text() == (runs / "cut/log.csv").read_text()
    columns = set(read(runs / "cut/log.csv")[0])
    assert ("distill_joint/class" in columns) is (name != "supervised")
