"""detect.video destroys nothing: inputs, files of others, what is finished when the disk is full or the run stops."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from drifting import make_detector, make_store, write_video

from detect.model.detector import Detector
from detect.video import detect_actions
from evaluate.files.detections import read_detections
from extract import rgb
from flow.decode.video import read_frames
from flowless.deployment import video as command

Say = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    return make_detector(make_store(folder), folder / "detector.pt")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with videos/a.mp4 below it."""
    write_video(tmp_path / "here" / "videos" / "a.mp4")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("link", ["", "symbolic", "hard", "folder"])
def test_a_burnt_copy_never_takes_the_place_of_its_source(
    here: Path, detector_file: Path, capsys: Say, link: str
) -> None:
    out = Path("videos")
    if link:
        out = Path("out")
        out.mkdir() if link != "folder" else out.symlink_to("videos")
    if link == "symbolic":
        (out / "a.mp4").symlink_to(here / "videos" / "a.mp4")
    elif link == "hard":
        (out / "a.mp4").hardlink_to("videos/a.mp4")
    before = contents(here)
    arguments = ["videos", "--detector", str(detector_file), "--out", str(out), "--burn", "--device", "cpu"]
    assert command.main(arguments) == 2
    assert "a.mp4 would be written over videos/a.mp4, which is read. Give --out a folder" in capsys.readouterr().err
    assert contents(here) == before  # nothing was begun


def test_the_current_folder_may_be_written_into_where_nothing_clashes(here: Path, detector_file: Path) -> None:
    before = contents(here)
    arguments = ["videos", "--detector", str(detector_file), "--out", ".", "--burn", "--device", "cpu"]
    assert command.main(arguments) == 0
    assert contents(here)["videos/a.mp4"] == before["videos/a.mp4"] and "a.mp4" in contents(here)


def test_a_repeat_writes_over_what_the_command_itself_wrote(here: Path, detector_file: Path) -> None:
    for _ in range(2):
        assert command.main(["videos", "--detector", str(detector_file), "--out", "videos", "--device", "cpu"]) == 0
    assert read_detections(Path("videos/detections.json")).videos == ("a",)


def test_nothing_is_written_among_the_frames_of_a_video(here: Path, detector_file: Path, capsys: Say) -> None:
    (here / "frames").mkdir()
    for number, frame in enumerate(read_frames("videos/a.mp4", stop=20)):
        cv2.imwrite(f"frames/{number}.png", frame.rgb)
    before = contents(here)
    arguments = ["frames", "--fps", "20", "--detector", str(detector_file), "--out", "frames", "--device", "cpu"]
    assert command.main(arguments) == 2
    assert "would be written into frames, whose files are read" in capsys.readouterr().err
    assert contents(here) == before


def test_a_list_that_climbs_out_writes_below_out_alone(here: Path, detector_file: Path) -> None:
    (here / "lists").mkdir()
    (here / "lists" / "list.txt").write_text("../videos/a.mp4\n")
    before = contents(here)
    arguments = ["lists/list.txt", "--detector", str(detector_file), "--out", "out", "--burn", "--device", "cpu"]
    assert command.main(arguments) == 0
    after = contents(here)
    assert {name: after[name] for name in before} == before
    assert {name for name in after if name not in before} == {
        *("out/detections.json", "out/report.json", "out/index.html"),
        *("out/videos/a.csv", "out/videos/a.png", "out/videos/a.mp4"),
    }


def test_the_detector_and_the_list_are_inputs_too(here: Path, detector_file: Path, capsys: Say) -> None:
    Path("out").mkdir()
    Path("out/report.json").write_bytes(detector_file.read_bytes())
    before = contents(here)
    assert command.main(["videos", "--detector", "out/report.json", "--out", "out"]) == 2
    assert "report.json would be written over" in capsys.readouterr().err and contents(here) == before


def test_a_stop_leaves_the_temporary_files_of_others(
    here: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "out" / "deep").mkdir(parents=True)
    (here / "out" / "deep" / "download.mp4.part").write_bytes(b"half of something")

    def interrupted(*rest: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "burn_labels", interrupted)
    assert command.main(["videos", "--detector", str(detector_file), "--out", "out", "--burn"]) == 75
    assert contents(here)["out/deep/download.mp4.part"] == b"half of something"


@pytest.mark.parametrize("moment", ["list_videos", "detect_file"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_that_ends_the_run_is_told_to_repeat_it(
    here: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch, moment: str, number: int
) -> None:
    monkeypatch.setattr(command, moment, lambda *given, **more: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    assert command.main(["videos", "--detector", str(detector_file), "--out", "out"]) == 75
    assert signal.getsignal(number) == before


@pytest.fixture
def limited() -> Iterator[list[int]]:
    """Append a number of bytes: files cannot grow beyond it, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Limit(list[int]):
        def append(self, size: int) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield Limit()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "more"), [(100, []), (8_000, []), (60_000, ["--burn"])])
def test_a_full_disk_ends_the_run_without_half_files(
    here: Path, detector_file: Path, limited: list[int], capsys: Say, size: int, more: list[str]
) -> None:
    """Whether it is the table, the picture or the film that does not fit."""
    write_video(here / "videos" / "a.mp4", noise=True)
    limited.append(size)
    arguments = ["videos", "--detector", str(detector_file), "--out", "out", "--min-score", "0", "--device", "cpu"]
    code = command.main([*arguments, *more])
    limited.append(resource.RLIM_INFINITY)
    assert code == 74 and "File too large. Nothing is half-written" in capsys.readouterr().err
    for name in contents(here / "out"):
        assert name in {"a.csv", "a.png"} and not name.endswith(".part")


def test_a_folder_in_the_way_of_one_output_costs_that_video(here: Path, detector_file: Path, capsys: Say) -> None:
    write_video(here / "videos" / "b.mp4")
    (here / "out" / "a.csv").mkdir(parents=True)
    assert command.main(["videos", "--detector", str(detector_file), "--out", "out", "--device", "cpu"]) == 3
    assert read_detections(Path("out/detections.json")).videos == ("b",)
    Path("file").touch()
    assert command.main(["videos", "--detector", str(detector_file), "--out", "file/out", "--device", "cpu"]) == 2
    assert "NotADirectoryError: file/out: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps", "gpu"])
def test_a_device_that_is_not_there_is_one_clear_line(
    here: Path, detector_file: Path, capsys: Say, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert command.main(["videos", "--detector", str(detector_file), "--out", "out", "--device", device]) == 2
    assert rgb.main(["--videos", "videos", "--features", "f.h5", "--backbone", "nano", "--device", device]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and len(set(lines)) == 1
    assert lines[0].startswith(f"DeviceError: --device {device}: ")
    assert ("torch sees no CUDA device here" if "cuda" in device else "Take auto, cpu, or cuda") in lines[0]


def test_python_is_warned_of_another_frame_rate(here: Path, detector_file: Path) -> None:
    detector = Detector.load(detector_file)
    object.__setattr__(detector.config, "steps_per_s", 2.5)  # 10 fps; the video has 20
    with pytest.warns(UserWarning, match=r"made for 2\.5 steps/s \(10 fps\), this video gives 5 \(20 fps\).*--fps 10"):
        detect_actions("videos/a.mp4", detector)
    assert detect_actions("videos/a.mp4", detector, fps=10)
