"""Values that begin with a dash: files and ids are taken, anything else is told how to write it."""

import argparse
from pathlib import Path

import pytest

from features.files.dashes import parse_args

Said = pytest.CaptureFixture[str]


def command(positional: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("command")
    if positional:
        parser.add_argument("files", nargs="+")
    else:
        parser.add_argument("--videos", nargs="+", action="extend")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--level", type=float, default=0.0)
    parser.add_argument("--burn", action="store_true")
    return parser


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-aB3.mp4", "--long.mp4", "-help.mp4", "-h", "b.mp4"):
        Path(name).touch()


def test_files_are_values_wherever_they_stand() -> None:
    files = ["-aB3.mp4", "b.mp4", "--long.mp4", "-help.mp4"]
    assert parse_args(command(), ["--videos", *files, "--burn"]).videos == files
    assert parse_args(command(), ["--burn", "--videos", *files, "--out", "x"]).out == Path("x")
    assert parse_args(command(), ["--videos", "--", *files]).videos == files
    assert parse_args(command(), ["--videos", "b.mp4", "--", "-gone.mp4"]).videos == ["b.mp4", "-gone.mp4"]
    assert parse_args(command(), ["--videos=-gone.mp4", "--videos=b.mp4"]).videos == ["-gone.mp4", "b.mp4"]
    assert parse_args(command(), ["--video", "-aB3.mp4"]).video == Path("-aB3.mp4")
    assert parse_args(command(), ["--level", "-2.5", "--videos", "b.mp4"]).level == -2.5


def test_files_without_an_option_are_values_too() -> None:
    assert parse_args(command(True), ["--out", "x", "-aB3.mp4", "b.mp4"]).files == ["-aB3.mp4", "b.mp4"]
    assert parse_args(command(True), ["-aB3.mp4", "--burn", "--out", "x"]).files == ["-aB3.mp4"]
    assert parse_args(command(True), ["--burn", "--", "-aB3.mp4", "-gone.mp4"]).files == ["-aB3.mp4", "-gone.mp4"]


def test_ids_of_youtube_are_values_where_ids_are_asked_for() -> None:
    ids = ["-aB3_xYz012", "b", "--burn"]
    args = parse_args(command(), ["--videos", *ids], ids=True)
    assert (args.videos, args.burn) == (["-aB3_xYz012", "b"], True)


@pytest.mark.parametrize(
    ("words", "ids", "remedy"),
    [
        (
            ["--videos", "-gone.mp4"],
            False,
            "-gone.mp4: no such option, and no such file here. If it is a file, write ./-",
        ),
        (["--videos", "b", "-short"], True, "If it is the id of a video, write --videos=-short"),
        (["--videos", "b.mp4", "--brun"], False, "--brun: no such option"),
    ],
)
def test_anything_else_is_an_error_with_the_remedy(capsys: Said, words: list[str], ids: bool, remedy: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_args(command(), words, ids)
    assert stopped.value.code == 2
    assert remedy in capsys.readouterr().err


def test_options_stay_options_even_if_files_are_called_so(capsys: Said) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_args(command(), ["--videos", "b.mp4", "-h"])
    assert stopped.value.code == 0 and "usage" in capsys.readouterr().out
    Path("--burn").touch()
    assert parse_args(command(), ["--videos", "b.mp4", "--burn"]).burn
    assert parse_args(command(), ["--videos", "b.mp4", "--bur"]).burn  # abbreviated, as argparse has it
