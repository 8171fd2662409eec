"""Several cues in one pass: the bytes of the commands for one cue, one decoding, nothing made twice."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_every_backbone import write_video

import features
from extract import features as several
from extract import motion, rgb
from extract.backbones import build_backbone
from extract.cues.cue import CUES, SourceOptions
from extract.pipeline import embedding
from extract.pipeline.embedding import Network, Watched, embed_cues
from extract.pipeline.settings import ClipSettings
from features.running.stopwatch import Stopwatch
from flow import tvl1
from flow.decode.video import Frame

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = ["--backbone", "nano", "--device", "cpu"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 33)
    write_video(folder / "b.mp4", 21)
    return folder


def parts(store: Path) -> dict[str, bytes]:
    """Of every video and stream, by their path below the store."""
    folder = store.with_suffix(".parts")
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.h5"))}


def one_by_one(videos: Path, store: Path, cues: list[str], *more: str) -> dict[str, bytes]:
    for cue in cues:
        command = ["--videos", str(videos), "--features", str(store), *OPTIONS]
        of_flow = list(more) if cue == "flow" else []
        assert (rgb.main(command) if cue == "rgb" else motion.main([*command, "--cue", cue, *of_flow])) == 0
    return parts(store)


def in_one(videos: Path, store: Path, cues: str, *more: str) -> dict[str, bytes]:
    assert several.main(["--cues", cues, "--videos", str(videos), "--features", str(store), *OPTIONS, *more]) == 0
    return parts(store)


def test_one_pass_writes_the_bytes_of_three_commands(videos: Path, tmp_path: Path) -> None:
    made = in_one(videos, tmp_path / "one.h5", "rgb,flow,gradient")
    assert len(made) == 6
    assert made == one_by_one(videos, tmp_path / "three.h5", ["rgb", "flow", "gradient"])
    opened = features.open(tmp_path / "one.h5")
    assert [opened.read("a", stream).shape for stream in ("rgb", "flow", "gradient")] == [(5, 1536)] * 3


def test_flow_comes_from_a_store_as_it_does_for_one_cue(videos: Path, tmp_path: Path) -> None:
    flow = tmp_path / "flow.h5"
    assert tvl1.main(["--videos", str(videos), "--out", str(flow), "--size", "64", "--crop", "64"]) == 0
    made = in_one(videos, tmp_path / "one.h5", "flow,rgb", "--flow", str(flow))
    assert made == one_by_one(videos, tmp_path / "two.h5", ["rgb", "flow"], "--flow", str(flow))


def test_only_what_is_missing_is_made(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """extract.rgb has been there already; one more cue is asked for later; a part is lost."""
    store = tmp_path / "f.h5"
    before = one_by_one(videos, store, ["rgb"])
    stamps = {path: path.stat().st_mtime_ns for path in store.with_suffix(".parts").rglob("*.h5")}
    after = in_one(videos, store, "rgb,gradient")
    assert all(after[name] == content for name, content in before.items()) and len(after) == 4
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    capsys.readouterr()
    assert in_one(videos, store, "rgb,gradient") == after
    assert "0 done, 2 skipped" in capsys.readouterr().out
    next(path for path in store.with_suffix(".parts").rglob("*.h5") if path not in stamps).unlink()
    assert in_one(videos, store, "rgb,gradient") == after
    assert "1 done, 1 skipped" in capsys.readouterr().out


def test_each_cue_has_the_weights_that_are_named_for_it(videos: Path, tmp_path: Path) -> None:
    torch.save(build_backbone("nano", "rgb", quiet=True).state_dict(), tmp_path / "w.pt")
    word = f"gradient={tmp_path / 'w.pt'}"
    in_one(videos / "b.mp4", tmp_path / "f.h5", "rgb,gradient", "--weights", word, "--first-layer", "mean")
    opened = features.open(tmp_path / "f.h5")
    assert "first_layer" not in opened.attributes("b", "rgb")
    assert opened.attributes("b", "gradient")["first_layer"] == "mean"


def test_a_video_is_decoded_once_and_few_of_its_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 frames, windows of 16: what is kept does not grow. tee keeps blocks of 57 frames."""
    alive: list[int] = []
    begun: list[int] = []

    class Pixels(np.ndarray):
        pass

    def film(*_: Any, **__: Any) -> Iterator[Frame]:
        begun.append(1)
        for k in range(400):
            if k % 40 == 39:
                gc.collect()
                alive.append(sum(type(thing) is Pixels for thing in gc.get_objects()))
            yield Frame(k, k / 25, 1 / 25, np.full((64, 64, 3), k % 251, np.uint8).view(Pixels))

    monkeypatch.setattr(embedding, "read_frames", film)
    watched = []
    for cue in ("rgb", "gradient"):
        settings = ClipSettings(cue, backbone="nano")
        backbone = build_backbone("nano", cue, quiet=True)
        monkeypatch.setattr(
            backbone, "embed_each", lambda clips, wanted: {"": np.zeros((len(clips), 1536), np.float32)}
        )
        view, ahead = CUES[cue].source(SourceOptions("v", settings.cut_out, Stopwatch()))
        watched.append(Watched([Network(settings, backbone)], view, ahead))
    made = embed_cues(Path("v"), watched, Stopwatch())
    assert begun == [1] and len(made.t_center) == (400 - 1 - 16) // 4 + 1 == len(made.features["gradient"])
    assert len(alive) == 10 and max(alive) <= 2 * 57 + 2 * 16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cues", "rgb,sound"], "--cues rgb,sound: sound unknown: expected rgb, flow, gradient"),
        (["--cues", "rgb,rgb"], "--cues rgb,rgb: names a cue twice"),
        (["--cues", "rgb", "--weights", "flow=w.pt"], "--weights flow=...: is not among --cues rgb"),
        (["--cues", "rgb", "--weights", "w.pt"], "--weights w.pt: expected a cue and its file, such as rgb=rgb_image"),
        (["--cues", "rgb,gradient", "--flow", "f.h5"], "--flow f.h5: rgb and gradient is computed from frames alone"),
    ],
)
def test_words_that_cannot_be_are_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert several.main([*words, "--videos", "v.mp4", "--features", "f.h5", *OPTIONS]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and len(told.splitlines()) == 1
