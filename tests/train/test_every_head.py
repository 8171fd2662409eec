"""What every head promises whatever calls it: a function of its arguments, sample by sample, deaf to the mask."""

import pytest
import torch
from small_methods import STEPS, batch_of, detector

from detect.heads import HEADS
from detect.heads.base import Predictions


@pytest.fixture(params=[*HEADS, "unnamed"])
def head(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(HEADS, "unnamed", HEADS["actionformer"])  # as for ActivityNet
    return str(request.param)


def differ(one: Predictions, other: Predictions) -> float:
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def test_called_on_streams_one_by_one_it_says_what_it_says_of_all_at_once(head: str) -> None:
    """As a shared head is called on appearance, motion and both, three times a step."""
    model = detector(("rgb",), head=head).eval().head
    batch = batch_of(head=head)
    torch.manual_seed(3)
    streams = [torch.randn(2, model.in_channels, STEPS) * batch.mask[:, None] for _ in range(3)]
    with torch.no_grad():
        together = model(torch.cat(streams), batch.mask.repeat(3, 1))
        for number, stream in enumerate(streams):
            alone = model(stream, batch.mask)
            rows = {name: value[2 * number : 2 * number + 2] for name, value in together.items()}
            assert differ(alone, rows) < 1e-4


def test_calling_and_judging_it_changes_nothing_in_it(head: str) -> None:
    model = detector(("rgb",), head=head).train().head
    batch = batch_of(head=head)
    features = torch.randn(2, model.in_channels, STEPS) * batch.mask[:, None]
    before = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    targets = [t for t in batch.targets if t is not None]
    for _ in range(3):
        said = model(features, batch.mask)
        model.loss(said, model.assign(said, targets), 5.0)
        model.distill(said, model.for_student(said))
        model.decode(said)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_what_lies_under_the_mask_changes_no_loss_and_no_candidate(head: str) -> None:
    model = detector(("rgb",), head=head).eval().head
    batch = batch_of(head=head)
    targets = [t for t in batch.targets if t is not None]
    features = torch.randn(2, model.in_channels, STEPS)
    results = []
    for noise in (0.0, 1.0, 1e3):
        with torch.no_grad():
            said = model(features * batch.mask[:, None] + noise * ~batch.mask[:, None], batch.mask)
            losses = model.loss(said, model.assign(said, targets), 5.0)
            found = [sorted(one.scores.tolist())[-5:] for one in model.decode(said)]
        results.append(([value.item() for value in losses.values()], found))
    for losses, found in results[1:]:
        assert losses == pytest.approx(results[0][0], rel=1e-4, abs=1e-6)
        assert all(a == pytest.approx(b, rel=1e-4) for a, b in zip(found, results[0][1], strict=True))
