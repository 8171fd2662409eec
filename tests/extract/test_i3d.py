"""Inception I3D: equal to the published code, padded by definition, and loading three published layouts strictly."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from extract.backbones.checkpoints import WeightsError
from extract.backbones.i3d import I3D, MIXED, Mixed, Unit, pad_same

# Made by running piergiaj's pytorch_i3d.py (the code that rgb_imagenet.pt was published with) on `weights_by_rule` and
# `clip_by_rule`: the first eight of the 1024 features and the norm of all.
PUBLISHED = {
    "rgb": (
        [0.107223332, 0.472793788, 0.00160394155, 0.019705927, 0.0, 0.0, 0.0, 0.188671738],
        31.717815,
    ),
    "flow": (
        [0.127855122, 0.460409522, 0.0, 0.022018391, 0.0, 0.0, 0.0, 0.182062298],
        31.527893,
    ),
}


def weights_by_rule(network: I3D) -> dict[str, Tensor]:
    """Weights anyone can make again: RandomState(k) draws the k-th tensor in order of name."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items() if "tracked" not in name}
    weights = {}
    for k, (name, shape) in enumerate(sorted(shapes.items())):
        normal = np.random.RandomState(k).standard_normal(tuple(shape))
        if len(shape) == 5:
            value = normal * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("running_var"):
            value = 1 + 0.1 * np.abs(normal)
        else:
            value = 0.1 * normal + name.endswith("bn.weight")
        weights[name] = torch.from_numpy(value).float()
    return weights


def clip_by_rule(cue: str) -> np.ndarray:
    random = np.random.RandomState(1000)
    if cue == "rgb":
        return random.randint(0, 256, (1, 16, 224, 224, 3)).astype(np.uint8)
    return random.uniform(-20, 20, (1, 16, 224, 224, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return weights_by_rule(I3D("rgb"))


@pytest.mark.parametrize("cue", ["rgb", "flow"])
def test_features_equal_those_of_the_published_code(cue: str) -> None:
    network = I3D(cue)
    network.load_state_dict(weights_by_rule(network), strict=False)
    features = network.eval().embed(clip_by_rule(cue))
    assert features.shape == (1, 1024)
    first, norm = PUBLISHED[cue]
    np.testing.assert_allclose(features[0, :8], first, rtol=1e-4, atol=1e-5)
    assert np.linalg.norm(features) == pytest.approx(norm, rel=1e-4)


def test_it_has_the_published_size() -> None:
    network = I3D("rgb")
    assert (
        sum(parameter.numel() for parameter in network.parameters()) == 12_287_264
    )  # 12.70 M with a classifier of 400
    assert sum(isinstance(layer, torch.nn.Conv3d) for layer in network.modules()) == 57


def test_the_map_shrinks_as_published(weights: dict[str, Tensor]) -> None:
    network = I3D("rgb")
    x = torch.zeros(1, 3, 16, 64, 64)
    sizes = {}
    with torch.no_grad():
        for name, layer in network.named_children():
            x = layer(x)
            sizes[name] = tuple(x.shape[1:])
    assert sizes["Conv3d_1a_7x7"] == (64, 8, 32, 32)
    assert sizes["MaxPool3d_2a_3x3"] == (64, 8, 16, 16)
    assert sizes["Conv3d_2c_3x3"] == (192, 8, 16, 16)
    assert sizes["Mixed_3c"] == (480, 8, 8, 8)
    assert sizes["Mixed_4f"] == (832, 4, 4, 4)
    assert sizes["Mixed_5c"] == (1024, 2, 2, 2)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "front", "back"),
    [(224, 7, 2, 2, 3), (16, 7, 2, 2, 3), (15, 7, 2, 3, 3), (112, 3, 2, 0, 1), (7, 3, 1, 1, 1), (9, 2, 2, 0, 1)],
)
def test_padding_is_decided_by_the_size_that_arrives(
    size: int, kernel: int, stride: int, front: int, back: int
) -> None:
    padded = pad_same(torch.ones(1, 1, size, 4, 4), (kernel, 1, 1), (stride, 1, 1))[0, 0, :, 0, 0]
    assert padded.tolist() == [0.0] * front + [1.0] * size + [0.0] * back


def test_a_unit_is_convolution_by_definition_then_normalisation_then_relu() -> None:
    torch.manual_seed(0)
    unit = Unit(2, 3, 3, 2).eval()
    torch.nn.init.normal_(unit.bn.running_mean)
    torch.nn.init.uniform_(unit.bn.running_var, 0.5, 2)
    torch.nn.init.normal_(unit.bn.bias)
    x = torch.randn(1, 2, 5, 4, 7, dtype=torch.float64)
    unit.double()
    out = unit(x)
    assert out.shape == (1, 3, 3, 2, 4)  # ceil(size / 2)
    weight, front = unit.conv3d.weight, (1, 0, 1)  # totals 2, 1, 2
    for t, i, j in [(0, 0, 0), (1, 1, 2), (2, 1, 3), (2, 0, 1)]:
        total = torch.zeros(3, dtype=torch.float64)
        for dt in range(3):
            for di in range(3):
                for dj in range(3):
                    place = (2 * t + dt - front[0], 2 * i + di - front[1], 2 * j + dj - front[2])
                    if all(0 <= p < n for p, n in zip(place, x.shape[2:], strict=True)):
                        total += weight[:, :, dt, di, dj] @ x[0, :, place[0], place[1], place[2]]
        normal = (total - unit.bn.running_mean) / torch.sqrt(unit.bn.running_var + 1e-3)
        torch.testing.assert_close(out[0, :, t, i, j], torch.relu(normal + unit.bn.bias))


def test_branches_are_joined_in_the_published_order() -> None:
    torch.manual_seed(0)
    mixed = Mixed(6, (1, 2, 3, 4, 5, 7)).eval()
    x = torch.randn(1, 6, 4, 5, 5)
    out = mixed(x)
    assert out.shape[1] == mixed.channels == 1 + 3 + 5 + 7
    pooled = torch.nn.functional.max_pool3d(torch.nn.functional.pad(x, [1] * 6), 3, 1)
    torch.testing.assert_close(out[:, :1], mixed.b0(x))
    torch.testing.assert_close(out[:, 1:4], mixed.b1b(mixed.b1a(x)))
    torch.testing.assert_close(out[:, 4:9], mixed.b2b(mixed.b2a(x)))
    torch.testing.assert_close(out[:, 9:], mixed.b3b(pooled))


def test_a_window_that_the_pool_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 9 frames, not 8"):
        I3D("rgb")(torch.zeros(1, 3, 8, 224, 224))


# Published layouts


def as_piergiaj(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        **weights,
        "logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1),
        "logits.conv3d.bias": torch.zeros(400),
    }


def as_hassony2(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the class in hassony2's i3dpt.py makes them."""
    branches = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1"}
    branches |= {"b2a": "branch_2.0", "b2b": "branch_2.1", "b3b": "branch_3.1"}
    state = {}
    for name, tensor in weights.items():
        layer, *rest = name.split(".")
        rest = [branches.get(part, {"bn": "batch3d"}.get(part, part)) for part in rest]
        state[".".join([layer[0].lower() + layer[1:], *rest])] = tensor
    state["conv3d_0c_1x1.conv3d.weight"] = torch.zeros(400, 1024, 1, 1, 1)
    state["conv3d_0c_1x1.conv3d.bias"] = torch.zeros(400)
    return state


def with_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    norms = [name for name in state if name.endswith("running_mean")]
    return {**state, **{name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in norms}}


@pytest.mark.parametrize(
    ("layout", "examples"),
    [
        (as_piergiaj, {"Conv3d_1a_7x7.bn.running_var", "Mixed_3b.b1a.conv3d.weight", "logits.conv3d.bias"}),
        (
            lambda weights: with_counters(as_hassony2(weights)),
            {"conv3d_1a_7x7.batch3d.running_var", "mixed_5c.branch_3.1.conv3d.weight", "conv3d_0c_1x1.conv3d.bias"},
        ),
        (
            lambda weights: {"state_dict": {f"module.{name}": x for name, x in as_hassony2(weights).items()}},
            set(),
        ),
        (lambda weights: {f"_model.{name}": x for name, x in as_piergiaj(weights).items()}, set()),
    ],
    ids=["piergiaj", "hassony2 and video_features", "wrapped by DataParallel", "inside AFSD"],
)
def test_published_layouts_load_strictly(
    tmp_path: Path,
    weights: dict[str, Tensor],
    layout: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    examples: set[str],
) -> None:
    published = layout(weights)
    assert examples <= published.keys()
    torch.save(published, tmp_path / "w.pt")
    network = I3D("rgb")
    network.load(tmp_path / "w.pt")
    loaded = network.state_dict()
    for name, tensor in weights.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)


def test_a_published_file_holds_287_tensors(weights: dict[str, Tensor]) -> None:
    assert len(as_piergiaj(weights)) == len(as_hassony2(weights)) == 57 * 5 + 2
    assert len(with_counters(as_hassony2(weights))) == 344
    assert len(MIXED) == 9


@pytest.mark.parametrize("layout", [as_piergiaj, as_hassony2])
def test_what_does_not_fit_is_named(
    tmp_path: Path, weights: dict[str, Tensor], layout: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    state = layout(weights)
    lost = next(name for name in state if "4d" in name and name.endswith("conv3d.weight"))
    del state[lost]
    state["surprise.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"1 missing \(Mixed_4d\.b\w+\.conv3d\.weight\); 1 unexpected \(surprise"):
        I3D("rgb").load(tmp_path / "w.pt")


def test_weights_of_another_cue_are_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, tmp_path / "rgb.pt")
    expected = re.escape("Conv3d_1a_7x7.conv3d.weight (64, 3, 7, 7, 7) instead of (64, 2, 7, 7, 7)")
    with pytest.raises(WeightsError, match=rf"1 of another shape \({expected}\).*flow 2"):
        I3D("flow").load(tmp_path / "rgb.pt")


def test_a_file_that_is_no_checkpoint_runs_nothing_and_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"weight": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "text.pt").write_text("not found")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in [("trap", "not a checkpoint"), ("text", "not a checkpoint"), ("list", "holds no state_dict")]:
        with pytest.raises(WeightsError, match=rf"{name}\.pt: {message}"):
            I3D("rgb").load(tmp_path / f"{name}.pt")
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(WeightsError, match="no such file"):
        I3D("rgb").load(tmp_path / "gone.pt")
