"""Packed networks: convolution, normalisation and ReLU in one, equal to the layers that they were."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extract.backbones import BACKBONES, PRECISIONS, build_backbone
from extract.backbones.i3d import Pool
from extract.backbones.layers.packed import X86, Packed, can_run, max_pool, pack
from extract.backbones.layers.padding import SameConv3d, pad_same

pytestmark = pytest.mark.skipif(not X86, reason="networks are packed on x86 alone")
CAST = {torch.float32: 2e-6, torch.bfloat16: 2e-2}  # relative error of a layer


def test_networks_are_packed_here() -> None:
    assert can_run(torch.float32) == torch.backends.mkldnn.is_available()


def with_statistics(network: nn.Module) -> nn.Module:
    """Normalisations as a training leaves them: scales of either sign, means far from 0."""
    generator = torch.Generator().manual_seed(1)

    def drawn(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.weight.data, layer.bias.data = drawn(layer.weight, -1.5, 1.5), drawn(layer.bias, -1, 1)
            layer.running_mean.copy_(drawn(layer.running_mean, -1, 1))
            layer.running_var.copy_(drawn(layer.running_var, 0.5, 2))
    return network.eval().requires_grad_(False)


def chains() -> Iterator[tuple[str, nn.Sequential, tuple[int, ...]]]:
    """Layers with the size of what they see."""
    yield "plain", nn.Sequential(nn.Conv3d(5, 7, 3, padding=1)), (2, 5, 4, 6, 5)
    yield "no bias, relu", nn.Sequential(nn.Conv3d(9, 4, 1, bias=False), nn.ReLU()), (1, 9, 3, 5, 5)
    yield (
        "norm, relu",
        nn.Sequential(nn.Conv3d(9, 4, (3, 1, 3), (1, 2, 1), (1, 0, 1)), nn.BatchNorm3d(4), nn.ReLU()),
        (2, 9, 4, 7, 9),
    )
    yield "norm alone", nn.Sequential(nn.Conv3d(9, 4, 3, bias=False), nn.BatchNorm3d(4)), (1, 9, 4, 5, 6)
    yield "groups", nn.Sequential(nn.Conv3d(8, 4, 3, padding=1, groups=4), nn.BatchNorm3d(4)), (1, 8, 4, 5, 6)
    yield "dilated", nn.Sequential(nn.Conv3d(8, 4, 3, padding=2, dilation=2), nn.ReLU()), (1, 8, 6, 7, 8)
    yield "two", nn.Sequential(nn.Conv3d(8, 6, 3), nn.ReLU(), nn.Conv3d(6, 4, 2), nn.BatchNorm3d(4)), (1, 8, 6, 7, 8)
    for width in (10, 11, 12, 13):  # pairs of pixels in bfloat16
        for kernel in (3, 4, 7):
            stem = nn.Conv3d(3, 16, (3, kernel, kernel), (1, 2, 2), (1, kernel // 2, kernel // 2), bias=False)
            yield f"stem {kernel} of {width}", nn.Sequential(stem, nn.BatchNorm3d(16), nn.ReLU()), (2, 3, 4, 11, width)
            same = nn.Sequential(SameConv3d(2, 16, kernel, 2, bias=False), nn.BatchNorm3d(16), nn.ReLU())
            yield f"same {kernel} of {width}", same, (1, 2, 9, 12, width)


@pytest.mark.parametrize("dtype", CAST, ids=str)
@pytest.mark.parametrize(("chain", "size"), [pytest.param(c, s, id=name) for name, c, s in chains()])
def test_a_packed_layer_gives_what_its_layers_give(
    chain: nn.Sequential, size: tuple[int, ...], dtype: torch.dtype
) -> None:
    if not can_run(dtype):
        pytest.skip(f"no {dtype} here")
    chain = with_statistics(nn.Sequential(*chain))  # type: ignore[assignment]
    x = torch.randn(size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = chain.double()(x.double())
        pack(chain.float(), dtype)
        made = chain(x.to(dtype))
    assert any(isinstance(layer, Packed) for layer in chain) and made.dtype == dtype
    assert made.shape == expected.shape
    assert (made.double() - expected).norm() <= CAST[dtype] * expected.norm()


def test_what_cannot_be_one_with_a_convolution_stays() -> None:
    class Twice(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv3d(3, 3, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.conv(x), self.relu(x)])

    network = with_statistics(
        nn.Sequential(Twice(3, 3, 1), nn.Conv3d(3, 3, 1), nn.Dropout(), nn.BatchNorm3d(3), Apart(),
                      nn.Conv3d(3, 3, 3, padding=1, padding_mode="circular"), nn.Conv3d(3, 3, 3, padding="same"))
    )  # fmt: skip
    x = torch.randn(1, 3, 4, 5, 6)
    with torch.no_grad():
        expected = network(x)
        pack(network, torch.float32)
        torch.testing.assert_close(network(x), expected)
    assert [type(layer) for layer in network[:4]] == [Twice, Packed, nn.Dropout, nn.BatchNorm3d]
    assert isinstance(network[4].relu, nn.ReLU) and isinstance(network[4].conv, Packed)
    assert not any(isinstance(layer, Packed) for layer in network[5:])


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3, 3), (1, 1, 1)), ((1, 3, 3), (1, 1, 1)), ((1, 3, 3), (1, 2, 2))])
@pytest.mark.parametrize("dtype", CAST, ids=str)
def test_the_pool_gives_the_very_numbers_of_torch(
    kernel: tuple[int, int, int], stride: tuple[int, int, int], dtype: torch.dtype
) -> None:
    x = torch.randn(2, 5, 6, 7, 9).to(dtype)
    expected = nn.functional.max_pool3d(x, kernel, stride)
    padded = nn.functional.max_pool3d(pad_same(x, kernel, stride), kernel, stride)
    with torch.inference_mode():
        for seen in (x, x.contiguous(memory_format=torch.channels_last_3d)):
            torch.testing.assert_close(max_pool(seen, kernel, stride), expected, rtol=0, atol=0)
        torch.testing.assert_close(Pool(kernel, stride)(seen), padded, rtol=0, atol=0)


def test_the_pool_learns_as_torch_does() -> None:
    x = torch.randn(1, 4, 5, 6, 7).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    max_pool(x, (3, 3, 3), (1, 1, 1)).square().sum().backward()
    again = x.detach().clone().requires_grad_()
    nn.functional.max_pool3d(again, 3, 1).square().sum().backward()
    torch.testing.assert_close(x.grad, again.grad)


PACKED = sorted(name for name, kind in BACKBONES.items() if kind.packs)


FAST = ("i3d_inception", "r2plus1d_18")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in PACKED])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_packed_backbone_gives_the_features_that_it_gave(name: str, precision: str, tmp_path: Path) -> None:
    if not can_run(PRECISIONS[precision]):
        pytest.skip(f"no {precision} here")
    weights = tmp_path / "w.pt"
    torch.save(with_statistics(build_backbone(name, "rgb", quiet=True)).state_dict(), weights)
    kind, side = BACKBONES[name], BACKBONES[name].geometry.crop
    clips = np.random.default_rng(0).integers(0, 256, (1, len(kind.reads(kind.window)), side, side, 3), dtype=np.uint8)
    plain = build_backbone(name, "rgb", weights, quiet=True)
    packed = build_backbone(name, "rgb", weights, precision=precision, quiet=True, packed=True)
    assert any(isinstance(layer, Packed) for layer in packed.modules())
    expected, made = plain.embed(clips), packed.embed(clips)
    error = np.linalg.norm(made - expected) / np.linalg.norm(expected)
    assert error < (1e-5 if precision == "float32" else 5e-2)
    if precision == "bfloat16":  # no further from float32 than the layers are in bfloat16
        layers = build_backbone(name, "rgb", weights, precision=precision, quiet=True).embed(clips)
        assert error <= 1.25 * np.linalg.norm(layers - expected) / np.linalg.norm(expected)
