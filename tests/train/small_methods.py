"""Every method small, and batches for them: what `test_methods` and `test_every_method` start from."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from detect.model.fusion import FusionConfig
from train.data.dataset import Batch, TeacherView
from train.methods import METHODS
from train.methods.base import Method

STEPS, WIDTH = 32, 16
OPTIONS: dict[str, dict[str, object]] = {
    "actionformer": {"levels": 3, "window": 5, "heads": 2, "drop_path": 0.0, "normaliser": 10.0},
    # As for ActivityNet: longer samples than positions, stretched; named by the classifier beside it.
    "unnamed": {"levels": 3, "window": 5, "heads": 2, "drop_path": 0.0, "positions": 16, "names_classes": False},
    "afsd": {"length": STEPS, "levels": 3, "groups": 2, "unit": 0.5, "unit_doubles": True},
    "gtad": {"length": STEPS, "durations": 12, "groups": 4, "bins": 4, "hidden": 16, "map_width": 8},
    "tadtr": {"length": STEPS, "heads": 2, "encoder": 1, "decoder": 2, "queries": 5, "bins": 4, "dropout": 0.0},
    "tags": {
        "length": STEPS,
        "heads": 2,
        "head_width": 8,
        "tower": (16, 16, 16),
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
}


def detector(
    branches: tuple[str, ...], fusion: str = "gate", head: str = "actionformer", length: int | None = None
) -> Detector:
    """length: of the samples of a head that wants them of one length; the same detector for samples of any."""
    usual = None if length in (None, STEPS) else detector(branches, fusion, head)
    config = DetectorConfig(
        classes=("left", "right"),
        feature_dims={"rgb": 6, "rgb_motion": 4, "flow": 5},
        branches=branches,
        width=WIDTH,
        fusion=FusionConfig(kind=fusion),
        head=head,
        head_config={**OPTIONS.get(head, {}), **({} if length is None else {"length": length})},
        normalise=False,
    )
    model = Detector(config)
    if usual is not None:
        model.load_state_dict(grown(usual.state_dict(), model.state_dict()))
    return model


def grown(weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for longer samples, zero where there are more: of places in the sample, or of distances between them."""
    values = {}
    for name, value in weights.items():
        more = [new - old for new, old in zip(like[name].shape, value.shape, strict=True)]
        sides = [(k // 2, k // 2) if old == 2 * STEPS - 1 else (0, k) for k, old in zip(more, value.shape, strict=True)]
        values[name] = nn.functional.pad(value, [k for side in reversed(sides) for k in side])
    return values


def make(
    name: str,
    cues: tuple[str, ...] = ("rgb",),
    head: str = "actionformer",
    length: int | None = None,
    **options: object,
) -> Method:
    torch.manual_seed(0)
    kind = METHODS[name]
    student = detector(kind.branches(cues), head=head, length=length)
    return kind(student, kind.Options(**options)).train()


def batch_of(seed: int = 1, head: str = "actionformer", length: int | None = None) -> Batch:
    """Two labelled samples, the second of 20 steps; the teacher is a detector that watches flow.

    length: steps that the samples are padded to, for a head that wants them so long.
    """
    torch.manual_seed(seed)
    mask = torch.arange(STEPS) < torch.tensor([[STEPS], [20]])
    channels = {"rgb": 6, "flow": 5, "rgb_motion": 4}
    cues = {cue: torch.randn(2, d, STEPS) * mask[:, None] for cue, d in channels.items()}
    if length is not None:
        cues = {cue: nn.functional.pad(x, (0, length - STEPS)) for cue, x in cues.items()}
        mask = nn.functional.pad(mask, (0, length - STEPS))
    teacher = detector(("flow",), head=head, length=length).eval()
    with torch.no_grad():
        [features] = teacher.branch_features(cues, mask)
        view = TeacherView(features, teacher.predict_from([features], mask))
    targets: list[Targets | None] = [
        Targets(torch.tensor([[4.0, 11.0]]), torch.tensor([0])),
        Targets(torch.tensor([[2.0, 9.0]]), torch.tensor([1])),
    ]
    return Batch(("a", "b"), cues, mask, targets, torch.tensor([True, True]), {"motion": view})


def with_joint_teacher(batch: Batch, head: str = "actionformer") -> Batch:
    """The same with a two-stream teacher for the joint head."""
    torch.manual_seed(7)
    length = None if batch.mask.shape[1] == STEPS else batch.mask.shape[1]
    teacher = detector(("rgb", "flow"), head=head, length=length).eval()
    with torch.no_grad():
        return replace(batch, teachers={**batch.teachers, "joint": TeacherView(None, teacher(batch.cues, batch.mask))})


def reached(loss: Tensor, module: nn.Module) -> bool:
    grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return any(g is not None and bool(g.abs().sum() > 0) for g in grads)


def sums(losses: dict[str, Tensor], *prefixes: str) -> Tensor:
    return torch.stack([value for name, value in losses.items() if name.startswith(prefixes)]).sum()
