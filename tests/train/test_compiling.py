"""--compile: every head and method learns and detects as without, or says why it is not compiled."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TinyWorld
from small_methods import batch_of, detector, make
from torch import Tensor, nn

from detect import run as detect_run
from detect.deployed.detectors import load_detector
from detect.heads import HEADS
from detect.model.detector import DetectorError
from detect.precision import set_precision
from features.computing import compiling
from features.computing.compiling import Compiled, compile_parts, compile_whole
from train import run as train_run
from train.methods import METHODS

HEADS_AND_UNNAMED = [*HEADS, "unnamed"]


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is traced and differentiated as ever; kernels, which cost a minute, are torch's."""
    monkeypatch.setitem(HEADS, "unnamed", HEADS["actionformer"])  # as for ActivityNet
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch.compiler.reset()


def compiled_parts(network: nn.Module) -> list[Compiled]:
    return [part.forward for part in network.modules() if isinstance(part.forward, Compiled)]


def learnt(method: nn.Module, batch: object) -> tuple[Tensor, Tensor]:
    """Losses and gradients of two steps."""
    torch.manual_seed(0)
    losses = []
    for _ in range(2):
        found = method(batch)
        torch.stack(list(found.values())).sum().backward()
        losses.append(torch.stack([value.detach() for value in found.values()]))
    return torch.stack(losses), torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])


QUICK = {("supervised", "actionformer"), ("decomposed", "tags")}  # compiling costs seconds for each
EVERY = [(method, head) for method in METHODS for head in HEADS_AND_UNNAMED]


@pytest.mark.parametrize(
    ("method", "head"), [pytest.param(*one, marks=[] if one in QUICK else pytest.mark.slow) for one in EVERY]
)
def test_losses_and_gradients_are_those_without(method: str, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    batch = batch_of(head=head)
    expected = learnt(make(method, head=head), batch)
    learner = make(method, head=head)
    assert compile_parts(learner, "cpu") == len(compiled_parts(learner)) > (method in ("decomposed",))
    for found, value in zip(learnt(learner, batch), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5)
    assert all(part.compiled is not None for part in compiled_parts(learner))
    assert not capsys.readouterr().err


@pytest.mark.parametrize("head", HEADS_AND_UNNAMED)
def test_predictions_are_those_without_in_bfloat16_as_well(head: str) -> None:
    torch.manual_seed(0)
    model, batch = detector(("rgb", "rgb_motion"), head=head).eval(), batch_of(head=head)
    for precision in ("float32", "bfloat16"):
        set_precision(model, precision)
        torch.compiler.reset()
        with torch.inference_mode():
            expected = model(batch.cues, batch.mask)
            plain = [(part, part.forward) for part in model.modules() if getattr(part, "compiles", False)]
            compile_parts(model, "cpu")
            found = model(batch.cues, batch.mask)
        assert all(part.compiled is not None for part in compiled_parts(model))
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5 if precision == "float32" else 2e-2)
        for part, forward in plain:
            part.forward = forward


def test_where_nothing_can_be_compiled_a_line_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_compiler(graph: object, inputs: object) -> object:
        raise RuntimeError("\n  no C++ compiler was found\nat length")

    monkeypatch.setattr(compiling, "BACKEND", no_compiler)
    model = detector(("rgb",))
    assert compile_parts(model, "cpu") == 0 and not compiled_parts(model)
    said = capsys.readouterr().err
    assert said.startswith("--compile: goes on without: ") and "no C++ compiler was found" in said
    assert said.count("\n") == 1
    assert compile_whole(torch.sin, "sine", "cpu") is torch.sin


def test_a_part_that_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(graph: torch.fx.GraphModule, inputs: object) -> object:
        if any("cos" in str(node.target) for node in graph.graph.nodes):
            raise NotImplementedError("no cosines")
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", refuses)
    sine, cosine = (compile_whole(function, function.__name__, "cpu") for function in (torch.sin, torch.cos))
    x = torch.randn(3)
    for _ in range(2):
        assert torch.equal(sine(x), torch.sin(x)) and torch.equal(cosine(x), torch.cos(x))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("--compile: cos runs as it is: ") and "no cosines" in said


def test_an_error_of_the_part_itself_is_raised_and_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    product = compile_whole(torch.mm, "product", "cpu")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        product(torch.ones(2, 3), torch.ones(2, 3))
    assert torch.equal(product(torch.ones(2, 3), torch.ones(3, 2)), torch.full((2, 2), 3.0))
    assert not capsys.readouterr().err


def test_a_compiled_run_detects_what_the_plain_one_does(
    world: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, gone on with after a stop, and asked by this process and by two."""
    plain = world.arguments("--epochs", "2", out="plain")
    assert train_run.main(plain) == 0
    arguments = world.arguments("--epochs", "2", "--compile", out="compiled")
    assert train_run.main([*arguments, "--stop-after", "1"]) == 75
    assert train_run.main([*arguments, "--resume"]) == 0
    found = []
    for name, more in (("plain", []), ("compiled", []), ("compiled", ["--compile"])):
        out = tmp_path / f"{len(found)}.json"
        arguments = ["--detector", str(world.runs / name / "detector.pt"), "--features", str(world.features)]
        assert detect_run.main([*arguments, "--out", str(out), *more]) == 0
        found.append(json.loads(out.read_text())["results"])
    assert "runs as it is" not in capsys.readouterr().err
    assert found[0]
    for video in found[0]:
        scores = [sorted((action["score"] for action in one[video]), reverse=True)[:20] for one in found]
        assert scores[1] == pytest.approx(scores[0], abs=1e-3) and scores[2] == pytest.approx(scores[1], abs=1e-5)


def test_a_file_of_onnx_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="leave --compile out"):
        load_detector(tmp_path / "detector.onnx", compiled=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_kernels_of_inductor_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "inductor")
    if compiling.compiler_fails("cpu") is not None:
        pytest.skip("no C++ compiler")
    batch = batch_of()
    expected, learner = learnt(make("decomposed"), batch), make("decomposed")
    compile_parts(learner, "cpu")
    for found, value in zip(learnt(learner, batch), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-5)
    assert all(part.compiled is not None for part in compiled_parts(learner))
