"""The command: a folder of videos and their truth, made once, completed when interrupted, never mixed."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.files.annotations import read_annotations
from extract.synthetic import main
from extract.world import film, folder
from extract.world.scene import render
from extract.world.untrimmed import CLASSES, FPS
from extract.world.worlds import PRESETS, VERSION
from flow.decode.video import probe, read_frames


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world of seed 0, made by the command. Tests only read it."""
    out = tmp_path_factory.mktemp("tiny") / "world"
    assert main(["--out", str(out), "--preset", "tiny"]) == 0
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def truth(out: Path) -> dict:
    return json.loads((out / "annotations.json").read_text())


def decoded(out: Path, name: str) -> np.ndarray:
    with (out / f"videos/{name}.mp4").open("rb") as source:
        return np.stack(list(film.decode(source))).astype(int)


def copy_of(tiny: Path, tmp_path: Path) -> Path:
    out = tmp_path / "world"
    (out / "videos").mkdir(parents=True)
    for path, data in contents(tiny).items():
        (out / path).write_bytes(data)
    return out


def test_the_same_seed_gives_the_same_videos_whatever_the_number_of_workers(tiny: Path, tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "again"), "--preset", "tiny", "--workers", "2"]) == 0
    assert contents(tmp_path / "again") == contents(tiny)


def test_another_seed_gives_other_videos(tiny: Path) -> None:
    other = PRESETS["tiny"].with_seed(1)
    first = next(render(other.story("training_0000").scene)).astype(int)
    ours = decoded(tiny, "training_0000")[0]
    assert np.abs(first - ours).mean() > 15


def test_videos_hold_the_frames_that_were_rendered(tiny: Path) -> None:
    story = PRESETS["tiny"].story("test_0001")
    rendered = np.stack(list(render(story.scene))).astype(int)
    film_of_it = decoded(tiny, "test_0001")
    assert film_of_it.shape == rendered.shape
    errors = np.abs(film_of_it - rendered).mean((1, 2, 3))
    late = np.abs(film_of_it[1:] - rendered[:-1]).mean((1, 2, 3))  # what a lost frame would look like
    assert errors.max() < 10 and errors.mean() < 0.8 * late.mean()


def test_annotations_are_what_was_staged_in_seconds(tiny: Path) -> None:
    database = truth(tiny)["database"]
    assert list(database) == [f"training_{i:04d}" for i in range(4)] + ["test_0000", "test_0001"]
    for name, video in database.items():
        story = PRESETS["tiny"].story(name)
        assert video["subset"] == ("Training" if name.startswith("training") else "Test")
        assert video["fps"] == FPS
        assert video["duration"] * FPS == pytest.approx(story.scene.num_frames, abs=1e-4)
        for annotation, instance in zip(video["annotations"], story.instances, strict=True):
            assert annotation["label"] == CLASSES[annotation["label_id"]].name
            start, stop = annotation["segment"]
            assert 0 <= start < stop <= video["duration"]
            assert [start * FPS, stop * FPS] == pytest.approx([instance.start, instance.stop], abs=1e-4)


def test_the_annotations_say_which_world_they_tell_of(tiny: Path) -> None:
    world = truth(tiny)["world"]
    assert (world["preset"], world["seed"], world["version"]) == ("tiny", 0, VERSION)
    assert world["bias"] == {"Training": 0.6, "Test": 0.6}


def test_repeating_the_command_renders_only_what_is_missing(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(tiny, tmp_path)
    (out / "videos/training_0002.mp4").unlink()
    (out / "annotations.json").unlink()  # as after an interruption
    kept = (out / "videos/training_0001.mp4").stat().st_mtime_ns
    assert main(["--out", str(out), "--preset", "tiny"]) == 0
    assert "1 videos rendered, 5 kept" in capsys.readouterr().out
    assert contents(out) == contents(tiny)
    assert (out / "videos/training_0001.mp4").stat().st_mtime_ns == kept


def test_an_interrupted_run_leaves_no_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "render_video", interrupted)
    assert main(["--out", str(tmp_path / "world"), "--preset", "tiny"]) == 75
    assert not (tmp_path / "world/annotations.json").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed", "1"], "seed 0 instead of 1"),
        (["--preset", "demo"], "preset tiny instead of demo"),
        (["--bias", "0.9"], "bias {'Training': 0.6, 'Test': 0.6} instead of {'Training': 0.9, 'Test': 0.9}"),
    ],
)
def test_the_folder_of_another_world_is_refused_and_left_alone(
    tiny: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    before = contents(tiny)
    assert main(["--out", str(tiny), "--preset", "tiny", *options]) == 2
    assert told in capsys.readouterr().err
    assert contents(tiny) == before


def test_videos_of_another_world_are_told_by_what_they_carry(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(tiny, tmp_path)
    (out / "annotations.json").unlink()
    assert main(["--out", str(out), "--preset", "tiny", "--seed", "1"]) == 2
    assert "training_0000.mp4" in (message := capsys.readouterr().err) or "test_0000.mp4" in message
    assert "(6 such files there)" in message


@pytest.mark.parametrize("damage", ["cut short", "not a video", "of another name"])
def test_a_video_that_is_not_whole_and_ours_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    out = copy_of(tiny, tmp_path)
    whole = (out / "videos/test_0000.mp4").read_bytes()
    name = "holiday.mp4" if damage == "of another name" else "test_0000.mp4"
    (out / "videos" / name).write_bytes({"cut short": whole[:2000], "not a video": b"hello"}.get(damage, whole))
    assert main(["--out", str(out), "--preset", "tiny"]) == 2
    assert f"{name} is no whole video of this world (1 such files there)" in capsys.readouterr().err
    (out / "videos" / name).unlink()  # the remedy
    assert main(["--out", str(out), "--preset", "tiny"]) == 0


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "world").write_text("")
    assert main(["--out", str(tmp_path / "world"), "--preset", "tiny"]) == 2
    assert "world is a file: --out expects a folder" in capsys.readouterr().err


def test_annotations_of_someone_else_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for theirs in ("{}", "[1, 2]", "not even JSON"):
        (tmp_path / "annotations.json").write_text(theirs)
        assert main(["--out", str(tmp_path), "--preset", "tiny"]) == 2
        assert "was not written by this command" in capsys.readouterr().err
        assert (tmp_path / "annotations.json").read_text() == theirs


def test_a_full_disk_ends_the_run_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "render_video", full)
    assert main(["--out", str(tmp_path / "world"), "--preset", "tiny"]) == 74
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "world/annotations.json").exists()


def test_the_examiner_reads_the_annotations_without_a_complaint(tiny: Path) -> None:
    annotations = read_annotations(tiny / "annotations.json")
    assert annotations.subsets == ("Training", "Test")
    story = PRESETS["tiny"].story("training_0001")
    video = annotations.videos["training_0001"]
    np.testing.assert_allclose(video.segments * FPS, [(i.start, i.stop) for i in story.instances], atol=1e-4)
    assert [annotations.classes[i] for i in video.labels] == [CLASSES[i.label].name for i in story.instances]


def test_the_videos_have_as_many_frames_as_they_say_at_the_times_they_say(tiny: Path) -> None:
    path = tiny / "videos/test_0000.mp4"
    frames = list(read_frames(path))
    expected = PRESETS["tiny"].story("test_0000").scene.num_frames
    assert len(frames) == expected == probe(path).num_frames_header
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(expected) / FPS, atol=1e-3)


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--bias", "1.5"]])
def test_impossible_settings_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["--out", str(tmp_path / "world"), "--preset", "tiny", *options]) == 2
    assert "WorldError" in capsys.readouterr().err
    assert not (tmp_path / "world").exists()


def test_the_number_of_workers_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--out", "x", "--workers", "0"])
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err
