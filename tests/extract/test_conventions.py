"""Conventions: the very clips that published features were made of, as many as published, at true times."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import features
from extract import motion, rgb
from extract.backbones import BACKBONES
from extract.backbones.base import Backbone, BackboneError
from extract.cues.clips import cut
from extract.cues.cue import CUES, SourceOptions
from extract.pipeline.conventions import CONVENTIONS
from extract.pipeline.embedding import Embedding, embed_video
from extract.pipeline.new_videos import Embedder
from extract.pipeline.plan import settings_from
from extract.pipeline.settings import ClipSettings, SettingsError
from features.running.stopwatch import Stopwatch
from features.storage.grid import FRAMES, PAIRS, num_clips
from flow.decode.video import Frame

pytestmark = pytest.mark.usefixtures("one_thread")
MET = [name for name, known in CONVENTIONS.items() if not known.refused]
RED, GREEN, BLUE = (250, 10, 20), (30, 240, 40), (50, 60, 230)


def pictures(folder: Path, number: int, chart: bool = False) -> Path:
    """A folder of frames, which no codec changes: noise that drifts, or three upright bars, red, green and blue."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    if chart:
        noise = np.repeat(np.array([[RED, GREEN, BLUE]], np.uint8), 240, 0).repeat([106, 108, 106], 1)
    for index in range(number):
        Image.fromarray(np.roll(noise, 0 if chart else 3 * index, axis=1)).save(folder / f"img_{index:05d}.png")
    return folder


def frames_by_hand(convention: str, folder: Path) -> list[np.ndarray]:
    """As the published extractors cut frames out, written with their own libraries' words."""
    made = []
    for path in sorted(folder.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        if convention == "actionformer":  # 340 x 256 whatever the aspect, rows 16 to 240, columns 58 to 282
            made.append(cv2.resize(np.asarray(picture), (340, 256), interpolation=cv2.INTER_LINEAR)[16:240, 58:282])
        elif convention == "video_features":  # Pillow, the long side cut to whole pixels: 341, from its 58th
            made.append(np.asarray(picture.resize((341, 256), Image.Resampling.BILINEAR))[16:240, 58:282])
        else:  # OpenCV, 341.33 rounded
            made.append(cv2.resize(np.asarray(picture), (341, 256), interpolation=cv2.INTER_LINEAR)[16:240, 58:282])
    return made


class Seen:
    """Takes the place of a network, and keeps the clips that reach it."""

    def __init__(self, kind: type[Backbone], cue: str) -> None:
        self.backbone = kind(cue)
        self.clips: list[np.ndarray] = []
        self.backbone.embed_each = self.note  # type: ignore[method-assign]

    def note(self, clips: np.ndarray, wanted: object) -> dict[str, np.ndarray]:
        self.clips += list(self.backbone.inputs(torch.from_numpy(clips))[0].numpy())
        return {"": np.zeros((len(clips), 1024), np.float32)}


def settings_of(convention: str, cue: str = "rgb", *more: str) -> ClipSettings:
    """What the command makes of the option, and of no other but those given."""
    command = ["--videos", "v", "--features", "f.h5", "--device", "cpu", "--convention", convention, *more]
    args = rgb.parse(command) if cue == "rgb" else motion.parse([*command, "--cue", cue])
    return settings_from(args, cue, **({"motion": "{}"} if cue == "flow" else {}))[0]


def embedded(settings: ClipSettings, folder: Path) -> tuple[Embedding, list[np.ndarray]]:
    seen = Seen(settings.network, settings.cue)
    watch = Stopwatch()
    view, ahead = CUES[settings.cue].source(SourceOptions("v", settings.cut_out, watch))
    made = embed_video(folder, replace(settings, fps=25.0), seen.backbone, view, watch, ahead=ahead)
    return made, seen.clips


@pytest.mark.parametrize("convention", MET)
def test_the_golden_clips_reach_the_network_as_published(convention: str, tmp_path: Path) -> None:
    """Every pixel of the first clip and the last of a video that is as short as two clips allow."""
    settings, known = settings_of(convention), CONVENTIONS[convention]
    folder = pictures(tmp_path / "v", known.window + known.stride + (known.tail == PAIRS))
    made, clips = embedded(settings, folder)
    expected = np.stack(frames_by_hand(convention, folder)).transpose(3, 0, 1, 2) / 255.0 * 2 - 1
    assert len(clips) == len(made.features) == 2
    for start, clip in zip((0, known.stride), clips, strict=True):
        np.testing.assert_allclose(clip, expected[:, start : start + known.window], atol=1e-6)
    np.testing.assert_allclose(made.t_center, [known.window / 50, (known.stride + known.window / 2) / 25])


@pytest.mark.parametrize("convention", MET)
def test_red_green_and_blue_of_a_colour_chart_arrive_in_that_order(convention: str, tmp_path: Path) -> None:
    known = CONVENTIONS[convention]
    folder = pictures(tmp_path / "v", known.window + (known.tail == PAIRS), chart=True)
    _, (clip,) = embedded(settings_of(convention), folder)
    for column, colour in {20: RED, 112: GREEN, 200: BLUE}.items():
        np.testing.assert_allclose((clip[:, 0, 112, column] + 1) / 2 * 255, colour, atol=1e-3)


@pytest.mark.parametrize("convention", MET)
def test_there_are_as_many_clips_as_published(convention: str) -> None:
    """For N = window - 1 ... window + 2 strides, of RGB and of motion alike."""
    known = CONVENTIONS[convention]
    window, stride = known.window, known.stride
    published = {
        "actionformer": lambda n: (n - 16) // 4 + 1,
        "tadtr": lambda n: (n - 64) // 8 + 1,
        "video_features": lambda n: (n - 1 - 64) // 64 + 1,
    }[convention]
    for number in range(window - 1, window + 2 * stride + 1):
        expected = max(0, published(number))
        assert num_clips(number, window, stride, known.tail) == expected
        frames = [Frame(k, k / 25, 1 / 25, np.full((1, 1, 3), k % 256, np.uint8)) for k in range(number)]
        for cue in ("rgb", "gradient"):
            view = (lambda a, b: a.rgb) if cue == "rgb" else lambda a, b: b.rgb.astype(np.int16) - a.rgb
            last = CUES[cue].last(view) if known.tail == FRAMES else None
            clips = list(cut(frames, view, window, stride, last=last))
            assert len(clips) == expected
            times = [clip.t_center for clip in clips]
            np.testing.assert_allclose(times, (np.arange(expected) * stride + window / 2) / 25)


def test_a_video_of_thumos14_is_as_long_as_published() -> None:
    """video_validation_0000051: 5091 frames."""
    known = CONVENTIONS["actionformer"]
    assert num_clips(5091, known.window, known.stride, known.tail) == 1269


@pytest.mark.parametrize("reads", [None, [0, 3], [1]])
def test_where_the_last_frame_counts_rgb_shows_it_and_motion_repeats_its_last_step(reads: list[int] | None) -> None:
    """Frames 0, 1, 4, 9, 16, of windows of 4: two clips."""
    frames = [Frame(k, k / 25, 1 / 25, np.full((1, 1, 3), k * k, np.uint8)) for k in range(5)]
    shown = {"rgb": [0, 1, 4, 9, 16], "gradient": [1, 3, 5, 7, 7]}
    views = {"rgb": lambda a, b: a.rgb, "gradient": lambda a, b: b.rgb - a.rgb}
    for cue, expected in shown.items():
        clips = list(cut(frames, views[cue], 4, 1, reads, CUES[cue].last(views[cue])))
        steps = [clip.steps[:, 0, 0, 0].tolist() for clip in clips]
        assert steps == [[expected[start + step] for step in reads or range(4)] for start in range(2)]
        np.testing.assert_allclose([clip.t_center for clip in clips], [2 / 25, 3 / 25])


def test_flow_of_a_convention_is_of_the_frames_as_it_resizes_them(tmp_path: Path) -> None:
    """And ends with the same field twice."""
    settings = settings_of("actionformer", "flow")
    _, (clip,) = embedded(settings, pictures(tmp_path / "v", 16))
    assert clip.shape == (2, 16, 224, 224)
    np.testing.assert_array_equal(clip[:, 15], clip[:, 14])
    assert settings.cut_out.resized_size(240, 320) == (256, 340)


@pytest.mark.parametrize(
    ("convention", "cue", "more", "said"),
    [
        (
            "gtad",
            "rgb",
            [],
            "--convention gtad: its features are those of TSN .* Read the published ones with fea",
        ),
        ("afsd", "rgb", [], "--convention afsd: it is trained from frames .* reads those of --convention actionformer"),
        ("video_features", "flow", [], "--convention video_features: computes flow by RAFT, which is not here"),
        ("actionformer", "gradient", [], "--convention actionformer: was published of rgb and flow"),
        ("actionformer", "rgb", ["--window", "32"], "has --window 16, and not 32. Leave one of the two out"),
        ("tadtr", "rgb", ["--tail", "window+1"], r"has --tail window, and not window\+1. Leave"),
        ("tadtr", "rgb", ["--backbone", "nano"], "has --backbone i3d_inception, and not nano"),
    ],
)
def test_what_cannot_be_met_is_refused_with_the_reason(convention: str, cue: str, more: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_of(convention, cue, *more)


def test_words_that_agree_with_a_convention_are_taken() -> None:
    assert settings_of("actionformer", "rgb", "--window", "16", "--tail", "window") == settings_of("actionformer")


def test_video_features_runs_i3d_with_its_own_eps() -> None:
    """And takes only clips for which its fixed padding is that of I3D."""
    network = BACKBONES["i3d_video_features"]("rgb")
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm3d)]
    assert len(norms) == 57 and {layer.eps for layer in norms} == {1e-5}
    with pytest.raises(BackboneError, match="--window 12: expected a multiple of 8 frames"):
        network(torch.zeros(1, 3, 12, 32, 32))


def test_a_store_says_the_convention_and_a_detector_makes_its_features_again(tmp_path: Path) -> None:
    folder, store = pictures(tmp_path / "v", 20), tmp_path / "f.h5"
    command = ["--videos", str(folder), "--fps", "25", "--features", str(store), "--device", "cpu"]
    assert rgb.main([*command, "--convention", "actionformer"]) == 0
    opened = features.open(store)
    said = opened.attributes("v", "rgb")
    assert (said["convention"], said["tail_rule"]) == ("actionformer", "window")
    assert said["geometry"] == "size256x340-crop224-linear/1"
    embedder = Embedder({"rgb": opened.feature_id("rgb")}, 16, 4, fps=25.0)
    made = embedder(folder, Stopwatch())
    assert made.features["rgb"].shape == (2, 1024)
    np.testing.assert_allclose(made.features["rgb"], opened.read("v", "rgb"), rtol=1e-2, atol=1e-3)
