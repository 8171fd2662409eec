"""TSM, Slow and SlowFast: equal to their publishers' code, in the layouts of their publishers' files."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from paper_weights import CLASSIFIERS, LAYOUTS, clip_by_rule, random_weights, weights_by_rule, with_counters
from PIL import Image
from torch import Tensor

from extract import rgb
from extract.backbones import BACKBONES, build_backbone, find_weights
from extract.backbones.checkpoints import WeightsError, write_state
from extract.backbones.libraries import import_library
from extract.backbones.papers import PAPERS
from extract.backbones.papers.slowfast import averaged
from extract.backbones.papers.tsm import shift

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = [kind.name for kind in PAPERS]

# Made by running the publishers' code (MIT's TSM, PyTorchVideo, PySlowFast, mmaction2) on the same weights and clips of
# this many pixels, both by rule: the first and last four numbers of the feature, and its norm.
FROZEN: dict[tuple[str, str, int], tuple[list[float], list[float], float]] = {
    ("tsm_r18", "rgb", 224): (
        [0.116828695, 0.184847668, 0.0943139419, 0.550500929],
        [0.0109702945, 0.0, 0.215566173, 0.112230755],
        6.1169143,
    ),
    ("tsm_r18", "flow", 64): (
        [0.115207985, 0.197392255, 0.0, 0.337369114],
        [0.0272103697, 0.0, 0.288340569, 0.0789231509],
        4.0871868,
    ),
    ("tsm_r50", "rgb", 64): (
        [0.206862226, 0.167674631, 0.118297391, 0.025635682],
        [0.0, 0.297977358, 0.111822344, 0.150739595],
        11.805052,
    ),
    ("slow_r50", "rgb", 64): ([0.0199120343, 0.0, 0.0210791882, 0.0], [0.0, 0.0, 0.0, 0.0596228465], 12.11878),
    ("slow_r50", "rgb", 256): (
        [0.0851881877, 1.16144474e-05, 0.0308260601, 0.0],
        [0.0, 0.0, 0.0, 0.0462281927],
        12.669649,
    ),
    ("slow_r50_mmaction", "flow", 64): (
        [0.0183849428, 0.0, 0.020377079, 0.0],
        [0.0, 0.0, 0.0, 0.0552444682],
        11.769151,
    ),
    ("slowfast_r50", "rgb", 64): (
        [0.425872207, 0.0153670553, 0.349481106, 0.0878090188],
        [9.16088595e-07, 0.000103858998, 0.209582403, 0.122813903],
        11.959778,
    ),
    ("slowfast_r50_mmaction", "rgb", 64): (
        [0.000976599404, 0.378712356, 0.0, 0.445959687],
        [1.91459822e-06, 0.000105862418, 0.209421158, 0.122614995],
        13.067781,
    ),
    ("slowfast_r50", "rgb", 256): (
        [0.450790197, 0.00896737166, 0.374216616, 0.087815851],
        [0.0, 0.003413653, 0.263445199, 0.16915594],
        12.411747,
    ),
    ("slowfast_r50_mmaction", "rgb", 256): (
        [0.000167220423, 0.375506312, 0.0, 0.422771484],
        [0.0, 0.00516286725, 0.256549001, 0.159911335],
        13.862752,
    ),
}
LARGE = 224  # pixels: seconds a clip


@pytest.mark.parametrize(
    ("name", "cue", "side"),
    [pytest.param(*key, marks=[pytest.mark.slow] if key[2] >= LARGE else []) for key in FROZEN],
)
def test_features_equal_those_of_the_published_code(name: str, cue: str, side: int) -> None:
    network = BACKBONES[name](cue)
    network.load_state_dict(weights_by_rule(network), strict=False)
    feature = network.eval().embed(clip_by_rule(network.steps or 0, side, cue))[0]
    first, last, norm = FROZEN[name, cue, side]
    assert feature.shape == (network.dim,)
    np.testing.assert_allclose([*feature[:4], *feature[-4:]], [*first, *last], rtol=1e-4, atol=1e-5)
    assert np.linalg.norm(feature) == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "millions", "convolutions"),
    [  # of the papers and publishers, without a classifier of 400: 2049 * 400 less, 513 * 400, 2305 * 400
        ("tsm_r18", 11.18, 20),
        ("tsm_r50", 23.51, 53),
        ("slow_r50", 32.45 - 0.82, 53),
        ("slow_r50_mmaction", 32.45 - 0.82, 53),
        ("slowfast_r50", 34.57 - 0.92, 53 * 2 + 4),
        ("slowfast_r50_mmaction", 34.57 - 0.92, 53 * 2 + 4),
    ],
)
def test_they_have_the_published_size(name: str, millions: float, convolutions: int) -> None:
    network = BACKBONES[name]("rgb")
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    layers = [layer for layer in network.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Conv3d))]
    assert len(layers) == convolutions


def test_every_eighth_channel_comes_from_the_next_frame_and_every_eighth_from_the_one_before() -> None:
    """Frame f of 3 has the value f + 1 in all of its 16 channels; the second clip ten times that."""
    frames = torch.arange(1.0, 4).view(3, 1, 1, 1).expand(3, 16, 2, 2)
    shifted = shift(torch.cat([frames, 10 * frames]), 3)[:, :, 0, 1]
    for start, scale in ((0, 1), (3, 10)):
        assert (shifted[start : start + 3, :2] / scale).T.tolist() == [[2, 3, 0]] * 2
        assert (shifted[start : start + 3, 2:4] / scale).T.tolist() == [[0, 1, 2]] * 2
        assert (shifted[start : start + 3, 4:] / scale).T.tolist() == [[1, 2, 3]] * 12


@pytest.mark.parametrize(
    ("name", "picked"),
    [
        ("slowfast_r50", [0, 4, 8, 13, 17, 22, 26, 31]),  # trunc(linspace(0, 31, 8))
        ("slowfast_r50_mmaction", [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_the_slow_pathway_sees_the_published_eight_of_32_frames(name: str, picked: list[int]) -> None:
    network = BACKBONES[name]("gradient")
    clip = torch.arange(32).view(1, 32, 1, 1, 1).expand(1, 32, 2, 2, 3).to(torch.int16)
    slow, fast = network.inputs(clip)
    assert fast.shape == (1, 3, 32, 2, 2) and slow.shape == (1, 3, 8, 2, 2)
    torch.testing.assert_close(slow, fast[:, :, picked])


@pytest.mark.parametrize("name", NAMES)
def test_64_frames_are_a_clip_of_which_those_published_are_read(name: str) -> None:
    kind = BACKBONES[name]
    assert (kind.window, list(kind.reads(64))) == (64, list(range(0, 64, 2 if "slowfast" in name else 8)))


def test_an_average_of_squares_weighs_the_middle_of_a_map_more() -> None:
    """3 x 3 pixels in squares of 2 x 2: four squares, the middle in all of them, a corner in one."""
    x = torch.zeros(1, 2, 1, 3, 3)
    x[0, 0, 0, 1, 1], x[0, 1, 0, 0, 0] = 1, 1
    assert averaged(x, 2).tolist() == [[1 / 4, 1 / 16]]
    torch.testing.assert_close(averaged(x, 0), torch.full((1, 2), 1 / 9))
    torch.testing.assert_close(averaged(x, 7), averaged(x, 0))  # a smaller map is averaged as it is


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        *((name, [0.45] * 3, [0.225] * 3) for name in ("slow_r50", "slowfast_r50")),
        *((n, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) for n in NAMES if n.endswith("mmaction") or "tsm" in n),
    ],
)
def test_red_green_and_blue_are_scaled_as_published_in_that_order(
    name: str, mean: list[float], std: list[float]
) -> None:
    network = BACKBONES[name]("rgb")
    clip = torch.tensor([51, 102, 204], dtype=torch.uint8).expand(1, network.steps or 0, 2, 2, 3)
    for x in network.inputs(clip):
        values = x.transpose(0, 1).flatten(1)[:, 0].tolist()
        assert values == pytest.approx([(v - m) / s for v, m, s in zip((0.2, 0.4, 0.8), mean, std, strict=True)])


@pytest.mark.parametrize("size", [(240, 321), (240, 320), (375, 500), (513, 512)])
def test_frames_reach_tsm_as_torchvision_resizes_and_crops_images(size: tuple[int, int]) -> None:
    """As MIT's GroupScale(256) and GroupCenterCrop(224)."""
    transforms: Any = import_library("torchvision.transforms")
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = transforms.CenterCrop(224)(transforms.Resize(256)(Image.fromarray(frame)))
    geometry = BACKBONES["tsm_r50"].geometry
    np.testing.assert_array_equal(geometry.crop_center(geometry.resize(frame)), np.asarray(expected))


# Weights


@pytest.mark.parametrize(("name", "publisher", "count"), [(*key, count) for key, (_, count, _) in LAYOUTS.items()])
def test_every_published_layout_loads_strictly(name: str, publisher: str, count: int, tmp_path: Path) -> None:
    """Random weights, saved in that layout with all that the publisher's file has beside them."""
    layout, _, examples = LAYOUTS[name, publisher]
    expected = random_weights(BACKBONES[name]("rgb"))
    state = layout(with_counters(expected)) | CLASSIFIERS[publisher](BACKBONES[name].dim)
    assert examples <= state.keys() and len(state) == count
    wrapper = "model_state" if publisher in ("PyTorchVideo", "PySlowFast") else "state_dict"
    content = state if publisher == "torchvision" else {"epoch": 3, wrapper: state, "meta": {"version": "1.0"}}
    torch.save(content, tmp_path / "w.pth")
    loaded = build_backbone(name, "rgb", tmp_path / "w.pth").state_dict()
    assert all(torch.equal(loaded[tensor], value) for tensor, value in expected.items())
    assert {tensor for tensor in loaded if "tracked" not in tensor} == expected.keys()


@pytest.mark.parametrize("name", ["tsm_r18", "slowfast_r50_mmaction"])
def test_what_a_training_of_ours_writes_loads_again(name: str, tmp_path: Path) -> None:
    before = build_backbone(name, "flow", quiet=True)
    write_state(tmp_path / "w.pt", before.state_dict(), "{}")
    after = build_backbone(name, "flow", tmp_path / "w.pt")
    assert all(torch.equal(x, after.state_dict()[tensor]) for tensor, x in before.state_dict().items())


class Opens:
    """Code that reading a pickle would run."""

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return (os.mkdir, ("sprung",))


def published(name: str, publisher: str, cue: str = "rgb") -> dict[str, Tensor]:
    return LAYOUTS[name, publisher][0](dict(BACKBONES[name](cue).state_dict()))


WRONG: list[tuple[str, str, Callable[[], Any], str]] = [
    ("another network", "tsm_r18", lambda: published("slow_r50", "PyTorchVideo"), "does not fit tsm_r18: 1.. missing"),
    ("another depth", "tsm_r18", lambda: published("tsm_r50", "MIT"), "does not fit tsm_r18: .*unex.*of another sh"),
    ("another publisher", "slow_r50", lambda: published("slow_r50_mmaction", "mmaction2"),
     "is laid out as mmaction2 publishes, .* of slow_r50: use --backbone slow_r50_mmaction"),
    ("another publisher yet", "slow_r50_mmaction", lambda: published("slow_r50", "PySlowFast"),
     "is laid out as PySlowFast publishes, .* use --backbone slow_r50$"),
    ("another cue", "tsm_r18", lambda: published("tsm_r18", "MIT", "flow"),
     r"1 of another shape \(conv1.weight \(64, 2, 7, 7\) instead of \(64, 3, 7, 7\)\)"),
    ("code", "tsm_r18", lambda: {"weights": Opens()}, "mkdir, which only running code could read, so it was left unr"),
    ("truncated", "tsm_r18", lambda: published("tsm_r18", "torchvision"), "the file may be half downloaded"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "name", "made", "said"), WRONG, ids=[one[0] for one in WRONG])
def test_wrong_weights_are_refused_by_one_line(
    wrong: str,
    name: str,
    made: Callable[[], Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    torch.save(made(), path)
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    command = ["--videos", ".", "--features", "f.h5", "--backbone", name, "--weights", str(path), "--device", "cpu"]
    assert rgb.main(command) == 2
    told = capsys.readouterr().err.strip()
    assert re.search(said, told) and str(path) in told and len(told.splitlines()) == 1, told
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize("name", NAMES)
def test_default_is_the_publishers_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(WeightsError) as refused:
        find_weights(name, Path("DEFAULT"), "rgb")
    told = str(refused.value)
    assert re.search(
        rf"the weights of {name} cannot be fetched from here \(no route to host\)\. Fetch https://\S+ where", told
    )
    assert f"put it at {tmp_path}/checkpoints/" in told and len(told.splitlines()) == 1
    assert ("no weights of Kinetics are published" in capsys.readouterr().err) is (name == "tsm_r18")
