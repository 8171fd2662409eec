"""Networks that compute in bfloat16: every head and method, within what rounding does, float32 at the edges."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TinyWorld
from small_methods import STEPS, batch_of, detector, make
from torch import Tensor

from detect import run as detect_run
from detect.heads import HEADS
from detect.model.detector import Detector
from detect.precision import exactly, in_float32, set_precision
from features.computing import precision
from train import run as train_run
from train.methods import METHODS
from train.recipes import RECIPES

HEADS_AND_UNNAMED = [*HEADS, "unnamed"]


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "unnamed", HEADS["actionformer"])  # as for ActivityNet


def flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.float().flatten() for value in values.values()])


@pytest.mark.parametrize("head", HEADS_AND_UNNAMED)
def test_in_bfloat16_every_head_says_nearly_what_it_says_in_float32(head: str) -> None:
    torch.manual_seed(0)
    model, batch = detector(("rgb", "rgb_motion"), head=head).eval(), batch_of(head=head)
    with torch.no_grad():
        before = model(batch.cues, batch.mask)
        set_precision(model, "bfloat16")
        said = model(batch.cues, batch.mask)
    assert said.keys() == before.keys()
    for name, value in said.items():
        assert value.dtype == before[name].dtype, f"{name} leaves the network as {value.dtype}"
        if value.is_floating_point():
            away = (value - before[name]).norm() / before[name].norm().clamp(min=1e-6)
            assert away < 0.05, f"{name}: {away}"  # bfloat16 holds three digits
    assert any(not torch.equal(said[name], before[name]) for name in said), "nothing was computed otherwise"


@pytest.mark.parametrize("head", HEADS_AND_UNNAMED)
@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(method: str, head: str) -> None:
    batch = batch_of(head=head)
    found = []
    for name in ("float32", "bfloat16"):
        learner = make(method, head=head)
        set_precision(learner, name)
        torch.manual_seed(0)
        losses = learner(batch)
        assert all(value.dtype == torch.float32 for value in losses.values())
        torch.stack(list(losses.values())).sum().backward()
        weights = list(learner.parameters())
        assert all(p.dtype == torch.float32 for p in weights)
        gradient = torch.cat([p.grad.flatten() for p in weights if p.grad is not None])
        assert torch.isfinite(gradient).all()
        found.append((torch.stack(list(losses.values())), gradient))
    (losses, gradient), (rounded, near) = found
    assert torch.allclose(rounded, losses, rtol=0.1, atol=0.05), f"{rounded} and {losses}"
    assert torch.nn.functional.cosine_similarity(near, gradient, dim=0) > 0.9


def test_in_float32_a_network_gives_the_very_bits_that_it_gives_without_a_precision() -> None:
    model, batch = detector(("rgb", "rgb_motion")).eval(), batch_of()
    before = model(batch.cues, batch.mask)
    set_precision(model, "bfloat16")
    set_precision(model, "float32")
    after = model(batch.cues, batch.mask)
    branches = [p.forward(batch.cues[c], batch.mask) for p, c in zip(model.projections, model.config.branches)]  # type: ignore[operator]  # noqa: B905
    assert model.fusion is not None
    plain = model.head.forward(model.fusion.forward(*branches, batch.mask), batch.mask)
    assert all(torch.equal(before[name], one[name]) for name in before for one in (after, plain))


def test_exactly_computes_in_float32_within_a_network_of_another_precision() -> None:
    one, other = torch.full((4, 4), 1 + 2**-12), torch.eye(4)  # bfloat16 would round the first to 1
    with torch.autocast("cpu", torch.bfloat16):
        rounded, exact = one @ other, exactly(torch.matmul, one, other)
    assert rounded.dtype == torch.bfloat16 and torch.equal(exact, one)
    assert in_float32({"a": torch.ones(1, dtype=torch.bfloat16), "b": torch.tensor([True])})["b"].dtype == torch.bool


def test_padding_changes_nothing_in_bfloat16_either() -> None:
    model, batch = detector(("rgb",)).eval(), batch_of()
    set_precision(model, "bfloat16")
    noise = batch.cues["rgb"] + 1e3 * ~batch.mask[:, None]
    with torch.no_grad():
        quiet, loud = model({"rgb": batch.cues["rgb"]}, batch.mask), model({"rgb": noise}, batch.mask)
    assert batch.mask.shape[1] == STEPS and torch.equal(flat(quiet), flat(loud))


def recorded(folder: Path) -> tuple[str, str]:
    """Of config.json and of detector.pt."""
    config = json.loads((folder / "config.json").read_text())
    return config["precision"], Detector.load(folder / "detector.pt").config.precision


def test_a_run_records_its_precision_goes_on_in_it_and_is_detected_with_in_it(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    arguments = world.arguments("--precision", "auto", "--epochs", "2")
    assert train_run.main([*arguments, "--stop-after", "1"]) == 75
    assert "large products in bfloat16" in capsys.readouterr().err
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    assert train_run.main([*arguments, "--resume"]) == 0  # where auto would be float32
    assert "only emulates it" in capsys.readouterr().err
    folder = world.runs / "run"
    assert recorded(folder) == ("bfloat16", "bfloat16")
    assert train_run.main([*arguments, "--resume", "--precision", "float32"]) == 2
    assert "precision was 'bfloat16', is 'float32'" in capsys.readouterr().err

    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    out = world.runs / "found.json"
    detect = ["--detector", str(folder / "detector.pt"), "--features", str(world.features), "--out", str(out)]
    assert detect_run.main(detect) == 0
    report = json.loads((world.runs / "found.report.json").read_text())
    assert {one["precision"] for one in report["videos"].values()} == {"bfloat16"}
    assert detect_run.main([*detect, "--precision", "float32"]) == 0
    report = json.loads((world.runs / "found.report.json").read_text())
    assert {one["precision"] for one in report["videos"].values()} == {"float32"}


def test_few_videos_are_learnt_from_in_float32_unless_asked(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    assert train_run.main(world.arguments("--epochs", "1")) == 0
    assert recorded(world.runs / "run") == ("float32", "float32")
    assert all(getattr(of_head["small"], "precision", "float32") == "float32" for of_head in RECIPES.values())


def test_auto_is_float32_where_the_processor_has_no_bfloat16_of_its_own(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    assert train_run.main(world.arguments("--epochs", "1", "--precision", "auto")) == 0
    assert recorded(world.runs / "run") == ("float32", "float32")
