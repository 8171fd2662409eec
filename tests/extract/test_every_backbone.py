"""Every backbone, those that ship and two of one's own that are unlike them, behind the same interface."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch

import features
from extract import distill, rgb
from extract.backbones import BACKBONES, build_backbone, find_backbone
from extract.backbones.base import Backbone
from extract.backbones.checkpoints import read_state, write_state
from extract.cues.cue import CUES, SourceOptions
from extract.pipeline import embedding
from extract.pipeline.embedding import Network, embed_streams, embed_video
from extract.pipeline.new_videos import Embedder
from extract.pipeline.plan import computed_motion
from extract.pipeline.settings import ClipSettings, SettingsError
from features.running.stopwatch import Stopwatch
from features.storage.grid import num_clips
from features.storage.store import Part, build_index, write_part
from flow.decode.video import Frame, VideoError, probe, read_frames
from flow.pipeline.difference import temporal_gradient

ROOT = Path(__file__).resolve().parents[2]


class Declared(NamedTuple):
    """What a backbone says of itself, told a second time."""

    name: str
    window: int
    stride: int
    reads: list[int]  # steps of a clip
    dim: int
    slow: bool = False  # seconds a clip: small versions stand for it in the fast suite


DECLARED = [
    Declared("nano", 16, 4, list(range(16)), 1536),
    Declared("i3d_inception", 16, 4, list(range(16)), 1024),
    Declared("own_backbones:FrameNet", 64, 8, [0, 8, 16, 24, 32, 40, 48, 56], 24),
    Declared("own_backbones:TwoPathways", 32, 8, list(range(0, 32, 2)), 20),
    Declared("own_backbones:SmallMC3", 8, 4, [0, 2, 4, 6], 512),
    Declared("own_backbones:SmallSwin", 8, 4, [0, 2, 4, 6], 768),
    Declared("own_backbones:TinyVideoMAE", 8, 4, [0, 2, 4, 6], 24),
    Declared("own_backbones:SmallTSM", 16, 8, list(range(0, 16, 2)), 512),
    Declared("own_backbones:SmallSlowFast", 16, 8, list(range(16)), 2304),
    Declared("own_backbones:plain_net", 8, 4, [0, 2, 4, 6], 32),
    Declared("i3d_video_features", 64, 64, list(range(64)), 1024, slow=True),
    Declared("tsm_r18", 64, 8, list(range(0, 64, 8)), 512, slow=True),
    Declared("tsm_r50", 64, 8, list(range(0, 64, 8)), 2048, slow=True),
    Declared("slow_r50", 64, 8, list(range(0, 64, 8)), 2048, slow=True),
    Declared("slow_r50_mmaction", 64, 8, list(range(0, 64, 8)), 2048, slow=True),
    Declared("slowfast_r50", 64, 8, list(range(0, 64, 2)), 2304, slow=True),
    Declared("slowfast_r50_mmaction", 64, 8, list(range(0, 64, 2)), 2304, slow=True),
    Declared("r3d_18", 32, 4, list(range(0, 32, 2)), 512, slow=True),
    Declared("mc3_18", 32, 4, list(range(0, 32, 2)), 512, slow=True),
    Declared("r2plus1d_18", 32, 4, list(range(0, 32, 2)), 512, slow=True),
    Declared("s3d", 64, 8, list(range(0, 64, 2)), 1024, slow=True),
    Declared("mvit_v2_s", 64, 8, list(range(0, 64, 4)), 768, slow=True),
    Declared("swin3d_t", 64, 8, list(range(0, 64, 2)), 768, slow=True),
    Declared("videomae-small", 64, 8, list(range(0, 64, 4)), 384, slow=True),
    Declared("videomae-base", 64, 8, list(range(0, 64, 4)), 768, slow=True),
]
MARKED = [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.slow else []) for one in DECLARED]
every_backbone = pytest.mark.parametrize("one", MARKED)


pytestmark = pytest.mark.usefixtures("one_thread")


class Extracted(NamedTuple):
    """A store that extract.rgb wrote with no option but the backbone, of a video of two clips."""

    one: Declared
    video: Path
    store: Path

    @property
    def command(self) -> list[str]:
        made = ["--videos", str(self.video), "--features", str(self.store), "--device", "cpu"]
        return [*made, "--backbone", self.one.name]


@pytest.fixture(scope="module", params=MARKED)
def extracted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    folder = tmp_path_factory.mktemp("backbone")
    made = Extracted(request.param, write_video(folder / "v.mp4", frames_of_two_clips(request.param)), folder / "f.h5")
    with contextlib.redirect_stdout(io.StringIO()):
        assert rgb.main(made.command) == 0
    return made


def frames_of_two_clips(one: Declared) -> int:
    return one.window + one.stride + 1


def write_video(path: Path, num_frames: int) -> Path:
    """Texture that drifts, 48 x 32."""
    image = np.kron(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for index in range(num_frames):
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def by_hand(one: Declared, path: Path, cue: str) -> np.ndarray:
    """The features, clip after clip, by the network as PyTorch lays it out."""
    built = build_backbone(one.name, cue, quiet=True)
    plain = find_backbone(one.name)(cue)
    plain.load_state_dict(built.state_dict())
    plain.eval()
    frames = [plain.geometry.crop_center(plain.geometry.resize(frame.rgb)) for frame in read_frames(path)]
    made = []
    for start in range(0, len(frames) - one.window, one.stride):
        places = [start + step for step in one.reads]
        seen = {"rgb": lambda k: frames[k], "gradient": lambda k: temporal_gradient(frames[k], frames[k + 1])}[cue]
        clip = torch.from_numpy(np.stack([seen(k) for k in places])[None])
        with torch.no_grad():
            made.append(plain(*plain.inputs(clip)))
    return torch.cat(made).numpy()


def assert_close(made: np.ndarray, expected: np.ndarray, share: float = 2e-3) -> None:
    """To a share of the largest value: 2e-3 is what float16 rounds to, and more."""
    assert made.shape == expected.shape
    assert np.abs(made.astype(np.float32) - expected).max() <= share * np.abs(expected).max()


# What the commands make


def test_without_options_a_backbone_gets_its_own_window_and_stride(extracted: Extracted) -> None:
    one, opened = extracted.one, features.open(extracted.store)
    said = opened.attributes("v", "rgb")
    assert (said["window"], said["stride"], said["backbone"]) == (one.window, one.stride, one.name)
    assert opened.read("v", "rgb").shape == (2, one.dim) and opened.read("v", "rgb").dtype == np.float16
    assert np.prod(said["map_shape"]) == one.dim
    np.testing.assert_allclose(opened.grid("v", "rgb").t_center, (np.arange(2) * one.stride + one.window / 2) / 25)


def test_features_equal_a_plain_loop_over_clips(extracted: Extracted) -> None:
    made = features.open(extracted.store).read("v", "rgb")
    assert made.dtype == np.float16
    assert_close(made, by_hand(extracted.one, extracted.video, "rgb"))


def test_a_repeated_command_does_nothing(extracted: Extracted, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in extracted.store.parent.rglob("*.h5")}
    assert rgb.main(extracted.command) == 0
    assert "0 done, 1 skipped" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in extracted.store.parent.rglob("*.h5")} == before


def test_a_detector_makes_the_same_features_again_from_their_id(extracted: Extracted) -> None:
    one, opened = extracted.one, features.open(extracted.store)
    assert ClipSettings.backbone_of(opened.feature_id("rgb")) == one.name
    embedder = Embedder({"rgb": opened.feature_id("rgb")}, one.window, one.stride, own=[one.name])
    made = embedder(extracted.video, Stopwatch())
    assert made.features["rgb"].dtype == np.float16
    assert_close(made.features["rgb"], opened.read("v", "rgb"))


def test_weights_of_another_network_are_refused_by_one_line(
    extracted: Extracted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(tmp_path / "w.pt", {"layer.weight": torch.zeros(3)}, "{}")
    assert rgb.main([*extracted.command, "--weights", str(tmp_path / "w.pt")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "w.pt: does not fit" in said and "1 unexpected (layer.weight)" in said


# Clips


@every_backbone
def test_the_number_of_clips_and_what_is_read_of_them(one: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    """For N = window - 1 ... window + 2 strides; the network is left out, which has no part in it."""
    made = find_backbone(one.name)
    backbone = made("rgb")
    settings = ClipSettings("rgb", backbone=one.name)
    read: list[list[int]] = []

    def note(clips: np.ndarray, wanted: object) -> dict[str, np.ndarray]:
        read.extend(clip[:, 0, 0, 0].tolist() for clip in clips)
        return {"": np.zeros((len(clips), one.dim), np.float32)}

    def film(num_frames: int) -> Iterator[Frame]:
        side = made.geometry.short_side
        return (Frame(k, k / 25, 1 / 25, np.full((side, side, 3), k, np.uint8)) for k in range(num_frames))

    monkeypatch.setattr(backbone, "embed_each", note)
    view, ahead = CUES["rgb"].source(SourceOptions("v", made.geometry, Stopwatch()))
    for num_frames in range(one.window - 1, one.window + 2 * one.stride + 1):
        monkeypatch.setattr(embedding, "read_frames", lambda *_, n=num_frames, **__: film(n))
        read.clear()
        expected = max(0, (num_frames - 1 - one.window) // one.stride + 1)
        assert num_clips(num_frames, one.window, one.stride) == expected
        if not expected:
            with pytest.raises(VideoError, match=f"a window of {one.window} needs at least {one.window + 1}"):
                embed_video(Path("v"), settings, backbone, view, Stopwatch(), ahead=ahead)
            continue
        assert len(embed_video(Path("v"), settings, backbone, view, Stopwatch(), ahead=ahead).features) == expected
        assert read == [[start + step for step in one.reads] for start in range(0, expected * one.stride, one.stride)]


@every_backbone
def test_a_clip_in_a_batch_has_the_features_it_has_alone(one: Declared) -> None:
    backbone = build_backbone(one.name, "rgb", quiet=True)
    side = backbone.geometry.crop
    many = 2 if side > 64 else 5
    clips = np.random.default_rng(0).integers(0, 256, (many, len(one.reads), side, side, 3), dtype=np.uint8)
    alone = np.concatenate([backbone.embed(clip[None]) for clip in clips])
    assert alone.shape == (many, one.dim) and alone.dtype == np.float32
    assert_close(backbone.embed(clips), alone, share=1e-5)


@pytest.mark.parametrize("one", [DECLARED[0], DECLARED[2]], ids=["nano", "FrameNet"])
def test_a_motion_cue_is_read_at_the_same_steps(one: Declared, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", frames_of_two_clips(one))
    backbone = build_backbone(one.name, "gradient", quiet=True)
    view, ahead = CUES["gradient"].source(SourceOptions("v", backbone.geometry, Stopwatch()))
    made = embed_video(path, ClipSettings("gradient", backbone=one.name), backbone, view, Stopwatch(), ahead=ahead)
    assert_close(made.features, by_hand(one, path, "gradient"))


def test_networks_that_read_different_steps_see_the_clips_of_one_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 80)
    networks, alone = [], {}
    for stream, name in {"rgb": "own_backbones:FrameNet", "rgb_motion": "own_backbones:TwoPathways"}.items():
        settings = ClipSettings("rgb", stream=stream, backbone=name, window=64, stride=8)
        networks.append(Network(settings, build_backbone(name, "rgb", quiet=True)))
        view, ahead = CUES["rgb"].source(SourceOptions("v", networks[-1].backbone.geometry, Stopwatch()))
        alone[stream] = embed_video(path, settings, networks[-1].backbone, view, Stopwatch(), ahead=ahead).features
    together = embed_streams(path, networks, view, Stopwatch(), ahead=ahead).features
    assert all(np.array_equal(together[stream], alone[stream]) for stream in alone) and len(together) == 2


# Students


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.slow or "i3d" in one.name else [])
        for one in DECLARED
    ],
)
def test_a_motion_student_is_trained_whatever_its_network(one: Declared, tmp_path: Path) -> None:
    """One step towards 16 made-up channels: a map of 8 cells and 2 channels, or a pooled one of 16."""
    store, weights = tmp_path / "f.h5", tmp_path / "w.pt"
    video = write_video(tmp_path / "v.mp4", frames_of_two_clips(one))
    target = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float16)
    arrays = {"features": target, "t_center": (np.arange(2) * one.stride + one.window / 2) / 25}
    said = {"fingerprint": "x", "feature_id": "x", "fps": 25.0, "window": one.window, "stride": one.stride}
    said |= {"cue": "gradient", "duration_s": 3.0, "num_frames": frames_of_two_clips(one)}
    write_part(store, Part("v", "gradient_small", arrays, {**said, "video_sha256": probe(video).sha256}))
    build_index(store)
    learn = ["--videos", str(video), "--features", str(store), "--backbone", one.name, "--out", str(weights)]
    rest = ["--epochs", "1", "--batch", "2", "--held-out", "0", "--precision", "float32", "--device", "cpu"]
    assert distill.main([*learn, *rest]) == 0
    before = build_backbone(one.name, "rgb", quiet=True).state_dict()
    after = read_state(weights)
    assert set(after) == set(before)
    assert any(not torch.equal(after[name].float(), before[name].float()) for name in before)
    build_backbone(one.name, "rgb", weights)  # loads strictly


# Identities


def test_features_of_the_backbones_that_ship_keep_their_ids() -> None:
    """Stores of earlier versions must not be computed anew: these ids never change."""
    ids = {
        ("nano", "rgb"): "nano-rgb-3e037c7abb67553b",
        ("nano", "gradient"): "nano-gradient-34adbae0cecf6f3e",
        ("i3d_inception", "rgb"): "i3d_inception-rgb-e8bde4921324729a",
        ("i3d_inception", "gradient"): "i3d_inception-gradient-d4458699608e5254",
    }
    for (backbone, cue), expected in ids.items():
        assert ClipSettings(cue, backbone=backbone, weights_sha256="0" * 64).feature_id == expected
    for backbone, expected in {"nano": "335acdff6b904656", "i3d_inception": "8f4a5572a79fd89d"}.items():
        made = {"weights_sha256": "0" * 64, "motion": computed_motion(backbone, "compat", "cpu")}
        assert ClipSettings("flow", backbone=backbone, **made).feature_id == f"{backbone}-flow-{expected}"
    changed = ClipSettings("rgb", backbone="nano", weights_sha256="0" * 64, window=64, stride=8, precision="bfloat16")
    assert changed.feature_id == "nano-rgb-7928e39fdcbd733e"
    assert ClipSettings("rgb", backbone="nano", weights_sha256="0" * 64).fingerprint("1" * 64) == "b830fe0c01d9d477"


def test_weights_and_name_of_ones_own_backbone_are_in_the_id() -> None:
    frames, pathways = ("own_backbones:FrameNet", "own_backbones:TwoPathways")
    ids = [
        ClipSettings("rgb", backbone=name, weights_sha256=sha).feature_id for name in (frames, pathways) for sha in "ab"
    ]
    assert len(set(ids)) == 4 and ids[0].startswith("own_backbones:FrameNet-rgb-")
    assert [ClipSettings.backbone_of(one) for one in ids] == [frames, frames, pathways, pathways]
    assert ClipSettings.backbone_of("npy") is None and ClipSettings.backbone_of("tsn-rgb-0123456789abcdef") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "nowhere: expected i3d_inception, "),
        (
            "gone.nets:Tiny",
            "module gone.nets cannot be imported: ModuleNotFoundError: No module named 'gone'. Run from",
        ),
        ("own_backbones:Missing", "module own_backbones has no Missing"),
        ("own_backbones:NUMBER", "is no subclass of extract.backbones.base.Backbone, no torch.nn.Module and no func"),
        ("own_backbones:SecondNano", "calls itself nano, which is another backbone"),
        ("own_backbones:Unfinished", "declares no geometry, dim, map_shape"),
        ("own_backbones:Broken", "cannot be built for rgb: RuntimeError: no such layer"),
        ("own_backbones:Beyond", "reads steps [0, 64] of a window of 64"),
        ("own_backbones:Wide", "gave (1, 24) for 1 clips, but declares dim = 99"),
    ],
)
def test_what_is_no_backbone_is_refused_by_one_line_before_any_video_is_read(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, weights = tmp_path / "f.h5", tmp_path / "w.pt"
    write_state(weights, find_backbone("own_backbones:FrameNet")("rgb").state_dict(), "{}")  # Wide has the same tensors
    command = ["--videos", str(tmp_path), "--features", str(store), "--weights", str(weights), "--device", "cpu"]
    assert rgb.main([*command, "--backbone", name]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and len(told.splitlines()) == 1 and not store.exists()


def test_a_window_or_a_cue_that_a_backbone_does_not_take_is_refused() -> None:
    with pytest.raises(SettingsError, match="--window 4: expected at least 8 frames"):
        ClipSettings("rgb", backbone="own_backbones:FrameNet", window=4)
    with pytest.raises(SettingsError, match=r"own_backbones:TwoPathways: watches rgb, flow, and not gradient"):
        ClipSettings("gradient", backbone="own_backbones:TwoPathways")


def test_a_detector_says_which_backbone_of_ones_own_it_misses() -> None:
    with pytest.raises(SettingsError, match=r"stream rgb was made by the backbone gone\.nets:Tiny: module gone\.nets"):
        Embedder({"rgb": "gone.nets:Tiny-rgb-0123456789abcdef"}, 64, 8, own=["gone.nets:Tiny"])


def test_a_detectors_file_alone_has_no_module_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr("extract.backbones.own.importlib.import_module", never)
    with pytest.raises(SettingsError, match=r"if it is yours, .* say --backbone somebody\.elses:Net"):
        Embedder({"rgb": "somebody.elses:Net-rgb-0123456789abcdef"}, 64, 8)


def test_the_example_of_the_documentation_runs_as_it_stands(tmp_path: Path) -> None:
    """The class into mynet.py, the command in the folder that holds it."""
    section = (ROOT / "docs" / "extraction.md").read_text().split("### One's own")[1]
    code, shown = (block.split("```")[0] for block in (section.split("```python\n")[1], section.split("```\n")[2]))
    (tmp_path / "mynet.py").write_text(code)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v.mp4", 81)
    command = next(line for line in shown.splitlines() if line.startswith("python -m extract.rgb"))
    words = [sys.executable, *command.split()[1:]]
    done = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    opened = features.open(tmp_path / "features" / "x.h5")
    assert opened.read("v", "rgb").shape == (3, 64)
    assert opened.feature_id("rgb").startswith("mynet:FrameNet-rgb-")


def test_every_backbone_that_ships_is_tested_here() -> None:
    assert set(BACKBONES) <= {one.name for one in DECLARED}
    assert all(issubclass(find_backbone(one.name), Backbone) for one in DECLARED)
