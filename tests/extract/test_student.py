"""A motion student: clips of many videos in random order, training that can go on, features that follow motion."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from moving_bars import moving_bars

import features
from command.signals import Interrupted
from extract import distill, rgb
from extract.backbones import build_backbone
from extract.backbones.checkpoints import WeightsError, read_state
from extract.backbones.nano import Nano
from extract.learning.batches import ClipArrays
from extract.learning.changes import draw_changes
from extract.learning.streaming import TaughtVideo, VideoClips
from extract.learning.student import Student, StudentRecipe, Teachers, explained
from extract.learning.student_training import StudentTraining, taught_clips
from extract.learning.training import one_cycle, train_to_end
from features.storage.store import Part, build_index, write_part
from flow.decode.geometry import Geometry

ROOT = Path(__file__).resolve().parents[2]
GEOMETRY = Geometry(16, 16)


pytestmark = pytest.mark.usefixtures("one_thread")


def write_numbered(path: Path, num_frames: int) -> Path:
    """A lossless video 16 x 16 whose frame i is gray of value i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        for index in range(num_frames):
            frame = np.full((16, 16, 3), index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def numbered(tmp_path: Path) -> tuple[list[TaughtVideo], features.storage.store.Store]:
    """Three videos of 100, 120 and 140 clips' worth of frames; target of clip i is (video, i)."""
    store, videos = tmp_path / "f.h5", []
    for number, clips in enumerate((10, 12, 14)):
        path = write_numbered(tmp_path / f"v{number}.mkv", 16 + 4 * clips)
        target = np.stack([np.full(clips, number), np.arange(clips)], 1).astype(np.float16)
        arrays = {"features": target, "t_center": np.arange(clips) * 0.16 + 0.32}
        said = {"fingerprint": "x", "feature_id": "x", "fps": 25.0, "window": 16, "stride": 4, "duration_s": 4.0}
        write_part(store, Part(f"v{number}", "flow", arrays, {**said, "num_frames": 16 + 4 * clips}))
        videos.append(TaughtVideo(f"v{number}", path, clips))
    build_index(store)
    return videos, features.open(store)


def clips_of(numbered: tuple[list[TaughtVideo], features.storage.store.Store], room_bytes: float) -> VideoClips:
    videos, store = numbered
    return taught_clips(videos, store, "flow", GEOMETRY, window=16, stride=4, seed=3, room_bytes=room_bytes)


@pytest.mark.parametrize("room_bytes", [1e9, 1], ids=["all in memory", "one chunk at a time"])
def test_every_clip_comes_once_an_epoch_with_its_own_frames_and_target(
    numbered: tuple[list[TaughtVideo], features.storage.store.Store], room_bytes: float
) -> None:
    source = clips_of(numbered, room_bytes)
    assert source.fits == (room_bytes > 1) and source.num_clips == 36
    seen = []
    for clips, targets in source.epoch(0, batch=6):
        assert clips.shape == (6, 16, 16, 16, 3)
        for clip, (video, index) in zip(clips, targets, strict=True):
            assert clip[:, 0, 0, 0].tolist() == list(range(4 * int(index), 4 * int(index) + 16))
            seen.append((int(video), int(index)))
    assert len(seen) == len(set(seen)) == 36


def test_the_order_of_clips_depends_on_seed_and_epoch_alone(
    numbered: tuple[list[TaughtVideo], features.storage.store.Store],
) -> None:
    def order(source: VideoClips, epoch: int) -> list[list[float]]:
        return [row.tolist() for _, targets in source.epoch(epoch, 6) for row in targets]

    source = clips_of(numbered, 1e9)
    first = order(source, 0)
    assert order(source, 1) != first
    assert order(source, 0) == first == order(clips_of(numbered, 1e9), 0)


def test_r2_is_one_for_a_perfect_student_and_none_for_the_mean() -> None:
    targets = np.random.default_rng(0).normal(size=(32, Nano.dim)).astype(np.float32)
    source = ClipArrays(np.zeros((32, 16, 64, 64, 3), np.uint8), targets)
    student = Student(Nano("rgb"), Nano.dim)
    Teachers(student).measure(source, "cpu")
    torch.nn.init.zeros_(student.output.weight)
    torch.nn.init.zeros_(student.output.bias)
    r2 = explained(Teachers(student), source, 32, "cpu", bfloat16=False)
    assert r2 == {
        "motion": pytest.approx(0, abs=0.2)
    }  # the mean over clips and cells, of noise, is nearly that of clips

    class Perfect(Student):
        def forward(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"motion": self.channels(torch.from_numpy(targets[: len(clips)]))}

    perfect = Perfect(Nano("rgb"), Nano.dim)
    perfect.channels = student.channels
    assert explained(Teachers(perfect), source, 32, "cpu", bfloat16=False) == {"motion": pytest.approx(1)}


def test_changed_colours_are_the_same_in_all_frames_and_leave_what_moves() -> None:
    clips = torch.rand(2, 3, 4, 8, 8)
    colours = draw_changes("rgb", 2, 0.35, 0.3, torch.Generator().manual_seed(0))
    changed = colours.change(clips)
    assert not torch.allclose(changed, clips, atol=0.1)
    still = clips[:, :, :1].expand_as(clips)
    made = colours.change(still)
    torch.testing.assert_close(made, made[:, :, :1].expand_as(made))
    torch.testing.assert_close(draw_changes("rgb", 2, 0.0, 0.0, torch.Generator()).change(clips), clips)


def test_colours_change_alike_whether_frames_stand_in_the_clip_or_are_folded_into_the_batch() -> None:
    clips = torch.rand(2, 3, 4, 8, 8)
    colours = draw_changes("rgb", 2, 0.35, 0.3, torch.Generator().manual_seed(0))
    folded = clips.transpose(1, 2).flatten(0, 1)  # (B * frames, 3, H, W)
    made = colours.change(folded).unflatten(0, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(made, colours.change(clips))


def test_the_learning_rate_climbs_to_its_peak_and_falls_to_nothing() -> None:
    rates = [one_cycle(step, 100, 1.0, 0.2) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25) and rates[20] == 1 and rates[100] == pytest.approx(0)
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)


def fresh(source: ClipArrays, **changes: object) -> StudentTraining:
    recipe = StudentRecipe(batch=8, **{"epochs": 2, **changes})  # type: ignore[arg-type]
    backbone = build_backbone("nano", "rgb").requires_grad_(True)
    return StudentTraining(Student(backbone, source.dim), recipe, source)


def test_a_student_learns_which_way_things_move_whatever_their_colour() -> None:
    training = fresh(moving_bars(48), epochs=5)
    held_out = moving_bars(32, seed=9)
    train_to_end(training, held_out)
    scores = [epoch.r2 for epoch in training.history]
    assert max(s for s in scores if s is not None) > 0.5


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    source, held_out = moving_bars(32), moving_bars(8, seed=9)
    whole = train_to_end(fresh(source), held_out).state_dict()
    asked = iter([False, False, True, True, True, True])
    with pytest.raises(Interrupted):
        train_to_end(fresh(source), held_out, tmp_path / "state.pt", lambda: next(asked))
    again = fresh(source)
    again.load(tmp_path / "state.pt")
    assert again.step == 3
    resumed = train_to_end(again, held_out).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_state_of_other_settings_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    source = moving_bars(16)
    state = tmp_path / "state.pt"
    fresh(source).save(state)
    with pytest.raises(WeightsError, match="other settings"):
        fresh(source, learning_rate=1e-3).load(state)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="--overwrite"):
        fresh(source).load(state)


def test_fewer_clips_than_a_batch_and_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WeightsError, match="do not fill a batch of 8"):
        fresh(moving_bars(4))
    with pytest.raises(WeightsError, match="no map of 8 cells"):
        Student(Nano("rgb"), 1023)


def test_the_commands_make_a_stream_beside_rgb_from_a_taught_student(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from extract import motion, synthetic

    world, store, weights = tmp_path / "world", tmp_path / "f.h5", tmp_path / "motion.pt"
    assert synthetic.main(["--out", str(world), "--preset", "tiny"]) == 0
    videos = ["--videos", str(world / "videos"), "--features", str(store), "--backbone", "nano"]
    assert rgb.main(videos) == 0
    assert motion.main([*videos, "--cue", "gradient"]) == 0
    learn = ["--videos", str(world / "videos"), "--features", str(store), "--epochs", "1", "--held-out", "0.2"]
    assert distill.main([*learn, "--out", str(weights)]) == 0
    assert "gradient features of held-out videos (R2)" in capsys.readouterr().out
    log = Path(f"{weights}.log.csv").read_text().splitlines()
    assert log[0] == "epoch,step,loss,r2" and len(log) == 2
    assert not Path(f"{weights}.training.pt").exists()
    assert distill.main([*learn, "--out", str(weights)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert rgb.main([*videos, "--stream", "rgb_motion", "--weights", str(weights)]) == 0
    opened = features.open(store)
    assert opened.streams("test_0000") == ("gradient", "rgb", "rgb_motion")
    assert opened.attributes("test_0000", "rgb_motion")["cue"] == "rgb"
    assert opened.feature_id("rgb_motion") != opened.feature_id("rgb")
    assert not np.array_equal(opened.read("test_0000", "rgb_motion"), opened.read("test_0000", "rgb"))
    assert set(read_state(weights)) == set(Nano("rgb").state_dict())  # the student alone: no teacher, no output map


def test_wrong_use_of_the_command_is_one_clear_line(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "extract.distill", *words, "--out", str(tmp_path / "w.pt")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ}, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        return done.stderr

    assert "no such feature store" in said("--features", str(tmp_path / "none.h5"), "--videos", str(tmp_path))


@pytest.mark.parametrize("name", ["flow", "rgb motion", "motion", "rgb_", "rgb/x"])
def test_a_stream_is_named_for_what_its_network_sees(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert rgb.main(["--videos", str(tmp_path), "--features", "f.h5", "--backbone", "nano", "--stream", name]) == 2
    assert "the name tells what the network sees" in capsys.readouterr().err
