"""How the commands end: full disks, outputs that are inputs, readers that go away, Ctrl-C."""

import errno
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command.errors import OutputError
from command.outputs import check_outputs
from command.writing import write_whole

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """a.json with truth, d.json with detections, c.json with a cost report, thumos/ with text annotations."""
    monkeypatch.chdir(tmp_path)
    rows = [{"label": "jump", "segment": [0, 1]}, {"label": "run", "segment": [2, 3]}]
    found = [{"label": row["label"], "score": 0.9, "segment": row["segment"]} for row in rows]
    videos = {f"v{i}": {"subset": "Test", "duration": 9.0, "annotations": rows} for i in range(3)}
    Path("a.json").write_text(json.dumps({"database": videos}))
    Path("d.json").write_text(json.dumps({"results": dict.fromkeys(videos, found)}))
    Path("thumos").mkdir()
    for row in rows:
        lines = [f"{video} {row['segment'][0]} {row['segment'][1]}\n" for video in videos]
        Path("thumos", f"{row['label']}_test.txt").write_text("".join(lines))
    stages = ("decode", "rgb_network", "flow", "flow_network", "detector")
    record = {"duration_s": 60.0, "seconds": dict.fromkeys(stages, 1.0)}
    for name, made in (("c", "extract.rgb"), ("m", "extract.motion"), ("f", "flow.tvl1"), ("r", "detect.run")):
        report = {"schema": "flowless/report/1", "command": made, "machine": {"threads": 1}, "videos": {"v0": record}}
        Path(f"{name}.json").write_text(json.dumps(report))
    return tmp_path


RUN = ["run", "--detections", "d.json", "--annotations", "a.json"]
DIAGNOSE = ["diagnose", "--runs", "rgb=d.json", "--annotations", "a.json"]
REPORT = ["report", "--runs", "rgb=d.json", "--annotations", "a.json", "--resamples", "0"]
COST = ["cost", "c.json", "m.json", "f.json", "r.json"]


def call(name: str, *arguments: str) -> int:
    return importlib.import_module(f"evaluate.{name}").main(list(arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


WRITERS = [
    (RUN, "--json"), (DIAGNOSE, "--json"), (COST, "--json"), (REPORT, "--json"), (REPORT, "--out"),
    (REPORT, "--timeline"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "option"), WRITERS, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_an_output_that_is_an_input_is_refused_before_anything_is_written(arguments, option, folder, capsys):
    Path("linked.json").symlink_to("d.json")
    Path("hard.json").hardlink_to("d.json")
    Path("sub").mkdir()
    before = contents(folder)
    inputs = (
        ["c.json", "./m.json"]
        if arguments is COST
        else ["a.json", "d.json", "sub/../d.json", "linked.json", "hard.json"]
    )
    for path in inputs:
        assert call(*arguments, option, path) == 2
        assert f"OutputError: {option} {Path(path)}: this is what is read" in capsys.readouterr().err
    assert call(*arguments, option, "sub") == 2
    assert "this is a folder; name a file" in capsys.readouterr().err
    assert call(*arguments, option, "d.json/new/x.json") == 2
    assert "d.json is a file, not a folder" in capsys.readouterr().err.replace(str(folder) + "/", "")
    assert contents(folder) == before


def test_files_of_a_folder_and_side_files_are_inputs_too(folder, capsys):
    before = contents(folder)
    arguments = ["--annotations", "thumos", "--subset", "Test", "--json", "thumos/jump_test.txt"]
    assert call("run", "--detections", "d.json", *arguments) == 2
    assert call("diagnose", "--runs", "rgb=d.json", *arguments) == 2
    Path("names.json").write_text('["jump", "run"]')
    Path("a_ambiguous.json").write_text("{}")
    assert call(*RUN, "--classes", "names.json", "--json", "names.json") == 2
    assert call(*RUN, "--rule", "thumos15", "--json", "a_ambiguous.json") == 2
    assert call(*RUN, "--compare", "c.json", "--json", "c.json") == 2
    assert capsys.readouterr().err.count("this is what is read") == 5
    assert {name: content for name, content in contents(folder).items() if name in before} == before


def test_two_outputs_in_one_place_are_refused(folder, capsys):
    assert call(*REPORT, "--out", "new.html", "--json", "./new.html") == 2
    assert "OutputError: --json new.html: --out writes there too; name two files" in capsys.readouterr().err
    with pytest.raises(OutputError):
        check_outputs({"--json": Path("x"), "--out": Path("y", "..", "x")}, [])


@pytest.mark.parametrize(
    ("arguments", "option"), WRITERS, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_a_full_disk_is_74_in_one_line_and_leaves_the_old_file(arguments, option, folder, monkeypatch, capsys):
    Path("out").mkdir()
    Path("out", "old").write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert call(*arguments, option, "out/old") == 74
    assert "No space left on device" in capsys.readouterr().err
    assert contents(folder / "out") == {"old": b"old"}


@pytest.mark.parametrize("arguments", [RUN, DIAGNOSE, REPORT, COST], ids=lambda value: value[0])
def test_a_full_disk_behind_what_is_printed_is_74(arguments, folder):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        name, *more = arguments
        ran = subprocess.run(
            [sys.executable, "-m", f"evaluate.{name}", *more], stdout=full, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT, check=False,
        )  # fmt: skip
    assert ran.returncode == 74
    [line] = [line for line in ran.stderr.splitlines() if not line.startswith("note: ")]
    assert line.startswith("OSError: No space left on device. Nothing is half-written")


@pytest.mark.parametrize("arguments", [RUN, DIAGNOSE, REPORT, COST], ids=lambda value: value[0])
def test_a_reader_that_goes_away_is_no_traceback(arguments, folder):
    name, *more = arguments
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", f"evaluate.{name}", *more, *(["--json", "new.json"])], stdout=writer,
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    os.close(writer)
    assert ran.returncode == 141
    assert [line for line in ran.stderr.splitlines() if not line.startswith("note: ")] == []
    assert json.loads(Path("new.json").read_text())  # what was asked for is written before it is printed


@pytest.mark.parametrize("arguments", [RUN, DIAGNOSE, REPORT, COST], ids=lambda value: value[0])
def test_ctrl_c_says_to_repeat_the_command(arguments, folder, monkeypatch, capsys):
    module = importlib.import_module(f"evaluate.{arguments[0]}")
    monkeypatch.setattr(module, "check_outputs", lambda *_: signal.raise_signal(signal.SIGINT))
    assert module.main(arguments[1:]) == 75
    assert capsys.readouterr().err == "interrupted; nothing is half-written. Repeat the command\n"


def test_names_that_the_terminal_cannot_show_are_escaped(folder):
    rows = [{"label": "反手", "segment": [0, 1]}]
    Path("a.json").write_text(json.dumps({"database": {"v": {"subset": "Test", "duration": 9, "annotations": rows}}}))
    Path("d.json").write_text(json.dumps({"results": {"v": [{**rows[0], "score": 0.5}]}}))
    ran = subprocess.run(
        [sys.executable, "-m", f"evaluate.{RUN[0]}", *RUN[1:]], capture_output=True, check=False,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert rb"\u53cd\u624b" in ran.stdout


def test_what_a_dead_process_left_is_swept_and_nothing_else(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    host = socket.gethostname().split(".")[0][:60]
    gone = tmp_path / f".flowless-{int(dead.stdout)}-{host}-0a1b.part"
    others = [
        tmp_path / f".flowless-{os.getppid()}-{host}-0a1b.part",  # of a process that runs
        tmp_path / f".flowless-{int(dead.stdout)}-elsewhere-0a1b.part",  # of a machine whose processes we cannot see
        tmp_path / ".flowless-x.part", tmp_path / "download.part", tmp_path / f".flowless-{'9' * 30}.part",
    ]  # fmt: skip
    for path in (gone, *others):
        path.write_bytes(b"half")
    write_whole(tmp_path / "new", b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "new"])


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"whole")
    assert os.read(reader, 99) == b"whole"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_file_that_cannot_be_put_in_its_place_leaves_no_trace(tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    with pytest.raises(OSError, match="place"):
        write_whole(tmp_path / "place", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    write_whole(tmp_path / ("n" * 250), b"the name may be as long as the system allows")
