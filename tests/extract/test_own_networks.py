"""Networks of one's own that know nothing of us: factories, and files of TorchScript or torch.export."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from own_backbones import plain_net
from test_every_backbone import write_video
from torch import nn

import features
from extract import rgb
from extract.backbones import build_backbone, find_backbone, weights_sha256
from extract.backbones.base import BackboneError
from extract.backbones.checkpoints import WeightsError
from extract.backbones.own import Clips
from extract.pipeline.new_videos import Embedder
from extract.pipeline.settings import ClipSettings, SettingsError
from features.running.stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parents[2]
CLIPS = Clips(short_side=32, crop=32, window=8, steps=4, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
pytestmark = pytest.mark.usefixtures("one_thread")


def save(path: Path, kind: str = "torch.export", seed: int = 0, inside: dict[str, str] | None = None) -> Path:
    """plain_net in a file."""
    torch.manual_seed(seed)
    network, clip = plain_net().eval(), torch.zeros(2, 3, 4, 32, 32)
    inside = {"clips.json": CLIPS.to_json()} if inside is None else inside
    if kind == "TorchScript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is old
            torch.jit.trace(network, clip).save(str(path), _extra_files=inside)
    else:
        many = ({0: torch.export.Dim("clips")},) if kind == "torch.export" else None  # else: one clip, always
        program = torch.export.export(network, (clip if many else clip[:1],), dynamic_shapes=many)
        torch.export.save(program, path, extra_files=inside)
    return path


def random_clips(number: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 4, 32, 32, 3), dtype=np.uint8)


def by_hand(clips: np.ndarray, seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    network = plain_net().eval()
    x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3) / 255
    x = (x - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1, 1)) / 0.2
    with torch.no_grad():
        return network(x).flatten(1).numpy()


# Factories


def test_a_factory_gives_a_map_whose_shape_is_found_out() -> None:
    found = find_backbone("own_backbones:plain_net")
    assert (found.dim, found.map_shape, found.window, found.stride, found.steps) == (32, (8, 1, 2, 2), 8, 4, 4)
    np.testing.assert_allclose(
        build_backbone("own_backbones:plain_net", "rgb", quiet=True).embed(random_clips()),
        by_hand(random_clips(), seed=0), rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_a_class_of_modules_may_watch_flow_and_take_frames_first() -> None:
    made = build_backbone("own_backbones:OfFlow", "flow", quiet=True)
    flow = np.full((2, 8, 32, 32, 2), 5.0, np.float32)  # pixels: 5 / 20 / 0.5 reaches the network
    expected = made.network.layer(torch.full((2, 2), 0.5)).detach().numpy()  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(made.embed(flow), expected, rtol=1e-5)
    with pytest.raises(SettingsError, match="own_backbones:OfFlow: watches flow, and not rgb"):
        ClipSettings("rgb", backbone="own_backbones:OfFlow")


def test_its_weights_load_by_its_own_names_and_are_in_the_id(tmp_path: Path) -> None:
    torch.manual_seed(5)
    torch.save(plain_net().state_dict(), tmp_path / "w.pt")
    made = build_backbone("own_backbones:plain_net", "rgb", tmp_path / "w.pt")
    np.testing.assert_allclose(made.embed(random_clips()), by_hand(random_clips(), seed=5), rtol=1e-4, atol=1e-5)
    assert weights_sha256(made, None).startswith("own-")
    assert weights_sha256(made, None) != weights_sha256(build_backbone("own_backbones:plain_net", "rgb"), None)


def test_a_factory_whose_source_changes_makes_features_of_another_id(tmp_path: Path) -> None:
    code = """
        from torch import nn
        from extract.backbones.own import takes
        @takes(short_side=32, crop=32, window=8, mean=(0, 0, 0), std=(1, 1, 1))
        def net(): return nn.Sequential(nn.AvgPool3d(4), nn.Flatten(), nn.LazyLinear(FEATURES))
    """.replace("\n        ", "\n")
    ids = []
    for text in (code.replace("FEATURES", "3"), code.replace("FEATURES", "3") + "# changed\n"):
        (tmp_path / "changing.py").write_text(text)
        script = "from extract.pipeline.settings import ClipSettings as Made\n"
        script += "print(Made('rgb', backbone='changing:net').feature_id)"
        done = subprocess.run(
            [sys.executable, "-B", "-c", script], env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        ids.append(done.stdout.strip())
    assert len(set(ids)) == 2 and all(one.startswith("changing:net-rgb-") for one in ids)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("says_nothing", "does not say what clips its network takes: put @takes(short_side="),
        ("gives_tokens", "gave (1, 3, 8192) for one clip; expected features (1, D), or a map"),
        ("gives_no_network", "gave a int, and no torch.nn.Module"),
        ("fails_on_clips", "fails on a clip (1, 3, 8, 32, 32): RuntimeError"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, said: str) -> None:
    with pytest.raises(SettingsError) as told:
        ClipSettings("rgb", backbone=f"own_backbones:{name}")
    assert said in str(told.value) and len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"std": (0.2,)}, "mean and std: expected"),
        ({"crop": 64}, "crop 64 must be positive and at most short_side 32"),
        ({"steps": 9}, "window 8, stride 4, steps 9: cannot be"),
        ({"cues": ("depth",)}, "depth unknown: expected rgb, flow, gradient"),
    ],
)
def test_clips_that_cannot_be_are_refused(change: dict, said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        Clips(**{"short_side": 32, "crop": 32, "window": 8, "mean": (0,) * 3, "std": (1,) * 3, **change})


# Files


@pytest.mark.parametrize("kind", ["torch.export", "torch.export of one clip", "TorchScript"])
def test_features_of_a_file_equal_the_network_that_was_saved(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path / ("net.pt" if kind == "TorchScript" else "net.pt2"), kind, seed=3)
    made = build_backbone(str(path), "rgb")
    assert (made.name, made.dim, made.map_shape) == (path.name, 32, (8, 1, 2, 2))
    np.testing.assert_allclose(made.embed(random_clips()), by_hand(random_clips(), seed=3), rtol=1e-4, atol=1e-5)


def test_a_file_extracts_and_a_detector_makes_the_same_features_wherever_the_file_lies(tmp_path: Path) -> None:
    path, video = save(tmp_path / "net.pt2"), write_video(tmp_path / "v.mp4", 17)
    command = ["--videos", str(video), "--features", str(tmp_path / "f.h5"), "--device", "cpu", "--backbone", str(path)]
    assert rgb.main(command) == 0
    opened = features.open(tmp_path / "f.h5")
    said = opened.attributes("v", "rgb")
    assert (said["backbone"], said["weights_sha256"]) == (
        "net.pt2",
        weights_sha256(build_backbone(str(path), "rgb"), None),
    )
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / "net.pt2")
    ids = {"rgb": opened.feature_id("rgb")}
    made = Embedder(ids, 8, 4, own=[str(moved)])(video, Stopwatch())
    np.testing.assert_array_equal(made.features["rgb"], opened.read("v", "rgb"))
    with pytest.raises(SettingsError, match=r"made by net\.pt2, a backbone of somebody's own"):
        Embedder(ids, 8, 4)


def test_another_file_of_the_same_name_does_not_join_its_features(tmp_path: Path) -> None:
    ids = set()
    for seed in (0, 1):
        path = save(tmp_path / "net.pt2", seed=seed)
        sha = weights_sha256(build_backbone(str(path), "rgb"), None)
        ids.add(ClipSettings("rgb", backbone=str(path), weights_sha256=sha).feature_id)
    assert len(ids) == 2 and all(one.startswith("net.pt2-rgb-") for one in ids)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("weights", "is no TorchScript or torch.export program, or only a part of one. Weights alone go to --weights"),
        ("truncated", "is no TorchScript or torch.export program, or only a part of one"),
        ("silent", "does not say what clips it takes: save it with clips.json inside"),
        ("unknown", "clips.json: "),
        ("gone", "No such file or directory. Give the path of"),
    ],
)
def test_a_wrong_file_is_refused_by_one_line(
    wrong: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pt2"
    if wrong == "weights":
        torch.save(nn.Linear(1, 1).state_dict(), path)
    elif wrong != "gone":
        save(path, inside={"silent": {}, "unknown": {"clips.json": '{"size": 3}'}}.get(wrong))
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    command = ["--videos", str(tmp_path), "--features", str(tmp_path / "f.h5"), "--backbone", str(path)]
    assert rgb.main(command) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and str(path) in told and len(told.splitlines()) == 1, told


def test_weights_beside_a_file_that_holds_them_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt2")
    torch.save(plain_net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"net\.pt2 holds its weights itself: leave --weights out"):
        build_backbone(str(path), "rgb", tmp_path / "w.pt")
