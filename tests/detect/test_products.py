"""Large products: the numbers and gradients of torch's operators, and small ones left to these."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detect.model import products
from detect.model.branches import convolve_steps
from detect.model.detector import Detector, DetectorConfig
from features.computing.allocation import keep_freed_memory


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "CHANNELS", 1)
    monkeypatch.setattr(products, "ROWS", 0)
    if not (products.X86 and torch.backends.mkldnn.is_available()):
        pytest.skip("products are torch's own here")


def with_gradients(y: Tensor, *leaves: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad((y * torch.randn(y.shape)).sum(), leaves)]


def test_a_linear_map_and_its_gradients_are_those_of_torch(all_are_large: None) -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(s, requires_grad=True) for s in ((2, 7, 5), (4, 5), (4,)))
    assert products.is_large(x, 4, 5)
    ours = with_gradients(products.linear(x, weight, bias), x, weight, bias)
    for one, other in zip(ours, with_gradients(F.linear(x, weight, bias), x, weight, bias), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9])
def test_a_convolution_and_its_gradients_are_those_of_torch(steps: int, all_are_large: None) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, steps, 5, requires_grad=True), torch.randn(4, 5, 3, requires_grad=True)
    every = torch.ones(2, steps, 1)
    ours = with_gradients(products.convolve(x, every, weight), x, weight)
    plain = F.conv1d(x.transpose(1, 2), weight, padding=1).transpose(1, 2)
    for one, other in zip(ours, with_gradients(plain, x, weight), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_two_steps_of_a_convolution_are_what_can_be_worked_out_on_paper(all_are_large: None) -> None:
    x = torch.tensor([[[1.0], [2.0], [3.0]]])  # one channel, three steps
    taps = torch.tensor([[[1.0, 10.0, 100.0]]])
    every = torch.ones(1, 3, 1)
    assert products.convolve(x, every, taps).flatten().tolist() == pytest.approx([210.0, 321.0, 32.0])
    learnt = products.convolve(x, every, taps.requires_grad_())
    assert learnt.flatten().tolist() == pytest.approx([210.0, 321.0, 32.0])
    masked = products.convolve(x, torch.tensor([[[1.0], [0.0], [1.0]]]), taps.detach())
    assert masked.flatten().tolist() == pytest.approx([10.0, 301.0, 30.0])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 11, 601])
def test_without_gradient_four_steps_at_once_are_those_of_torch(steps: int, all_are_large: None) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, steps, 64), torch.randn(48, 64, 3) / 14
    keep = (torch.arange(steps) != steps // 2)[None, :, None].float()
    plain = F.conv1d((x * keep).transpose(1, 2).double(), weight.double(), padding=1).transpose(1, 2)
    found = products.convolve(x, keep, weight)
    assert (found - plain).norm() <= 3e-6 * plain.norm()
    torch.testing.assert_close(found, products._Convolution.apply(x * keep, weight), rtol=1e-4, atol=1e-4)


def test_what_is_kept_of_weights_is_theirs_as_they_are_now(all_are_large: None) -> None:
    torch.manual_seed(0)
    x, every = torch.randn(1, 9, 8), torch.ones(1, 9, 1)
    layer = torch.nn.Conv1d(8, 4, 3, padding=1, bias=False)

    def away(layer: torch.nn.Conv1d) -> float:
        with torch.no_grad():
            plain = layer(x.transpose(1, 2)).transpose(1, 2)
            return float((products.convolve(x, every, layer.weight) - plain).abs().max())

    before = len(products._KEPT)
    assert away(layer) < 1e-5
    with torch.no_grad():
        layer.weight.mul_(3)  # as an optimiser does
    assert away(layer) < 1e-5
    layer.load_state_dict({"weight": torch.randn(4, 8, 3)})
    assert away(layer) < 1e-5
    assert products.taps_of(layer.weight) is products.taps_of(layer.weight)
    layer.weight.data = torch.randn(4, 8, 3)
    assert away(layer) < 1e-5
    assert len(products._KEPT) == before + 1
    del layer
    gc.collect()
    assert len(products._KEPT) == before


def test_convolutions_of_many_channels_take_this_way_and_ignore_what_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 1100, 256), torch.randn(256, 256, 3) / 30, torch.randn(256)
    keep = (torch.arange(1100) < 900)[None, :, None].float()
    taken = []
    monkeypatch.setattr("detect.model.branches.convolve", lambda *a: taken.append(1) or products.convolve(*a))
    found = convolve_steps(x, keep, weight, bias)
    assert len(taken) == (products.X86 and torch.backends.mkldnn.is_available())
    plain = F.conv1d((x * keep).transpose(1, 2), weight, bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [64, 255])
def test_small_layers_keep_the_very_bits_of_torch(channels: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(8, 256, 1536), torch.randn(channels, 1536)
    assert not products.is_large(x, channels, 1536)
    assert torch.equal(products.linear(x, weight), F.linear(x, weight))
    assert not products.is_large(torch.randn(1, 512, 512), 512, 512)


def test_a_detector_that_takes_this_way_throughout_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    settings = {"levels": 3, "window": 5, "heads": 2}
    model = Detector(
        DetectorConfig(classes=("a", "b"), feature_dims={"rgb": 12}, branches=("rgb", "rgb"), width=16,
                       head_config=settings)
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("_path.scale"):
                value.fill_(1.0)
    cues, mask = {"rgb": torch.randn(2, 12, 40)}, torch.arange(40) < torch.tensor([[40], [31]])
    before = model(cues, mask)
    for name in ("CHANNELS", "ROWS"):
        monkeypatch.setattr(products, name, 0)
    after = model(cues, mask)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-4)


def test_keeping_freed_memory_changes_no_result() -> None:
    torch.manual_seed(0)
    x = torch.randn(2048, 512)
    before = x @ x.T
    assert keep_freed_memory() in (True, False)  # by the C library
    assert keep_freed_memory() in (True, False)
    assert torch.equal(x @ x.T, before)


def test_what_is_exported_holds_operators_of_torch_alone(all_are_large: None) -> None:
    torch.manual_seed(0)
    layer, x = products.Linear(8, 8).eval(), torch.randn(2, 9, 8)
    exported = torch.export.export(layer, (x,))
    called = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert called == ["aten.linear.default"]
