"""How every command ends early: one place that handles it, one table of exit codes, one line and no traceback."""

import ast
import errno
import importlib
import inspect
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from command.errors import FlowlessError
from command.exit_codes import ExitCode
from command.runner import run_command
from command.signals import STOP_SIGNALS, Interrupted, StopSignal

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("command", "flow", "extract", "features", "detect", "train", "evaluate", "flowless")
WORKER = "features.running.child"  # started by features.running.supervisor, never by a user
CAUGHT = {  # never reach a user: their catchers say the same with the name of the file
    "DecodingStopped", "Altered", "DamagedError", "ClassIdError", "PickleError", "_NamedTwice",
    "NoTime",
}  # fmt: skip

# Arguments that name files which are not what they ought to be; `wrong.txt` holds a sentence.
WRONG_FILE = {
    "detect.export": "--detector wrong.txt --onnx out.onnx",
    "detect.run": "--detector wrong.txt --features wrong.txt --out out.json",
    "detect.video": "--detector wrong.txt --out out wrong.txt",
    "evaluate.cost": "wrong.txt",
    "evaluate.diagnose": "--runs a=wrong.txt --annotations wrong.txt",
    "evaluate.report": "--runs a=wrong.txt --annotations wrong.txt",
    "evaluate.run": "--detections wrong.txt --annotations wrong.txt",
    "extract.distill": "--features wrong.txt --videos wrong.txt --out out.pt",
    "extract.features": "--cues rgb,flow --videos wrong.txt --features out.h5 --flow wrong.txt --backbone nano",
    "extract.finetune": "--videos wrong.txt --annotations wrong.txt --cue rgb --backbone nano --out out.pt",
    "extract.motion": "--cue flow --videos wrong.txt --features out.h5 --flow wrong.txt --backbone nano",
    "extract.pretrain": "--cue rgb --clips 32 --epochs 1 --out wrong.txt/out.pt",
    "extract.rgb": "--videos wrong.txt --features out.h5 --weights wrong.txt --backbone nano",
    "extract.synthetic": "--preset tiny --out wrong.txt",
    "features.diff": "wrong.txt wrong.txt",
    "features.export": "wrong.txt --out out",
    "features.importer": "--npy wrong.txt --features out.h5",
    "features.pack": "wrong.txt --single out.h5",
    "features.status": "wrong.txt",
    "features.verify": "wrong.txt",
    "flow.gradient": "--videos missing.mp4 --out out.h5",
    "flow.tvl1": "--videos missing.mp4 --out out.h5 --backend opencv",
    "flow.view": "--video wrong.txt --out out.png",
    "flowless.annotations": "wrong.txt --videos missing.mp4 --out out.json",
    "flowless.compare": "--videos missing.mp4 --annotations wrong.txt --out out",
    "flowless.doctor": "--features wrong.txt --annotations wrong.txt",
    "flowless.probe": "--videos missing.mp4",
    "flowless.study": "--features wrong.txt --annotations wrong.txt --out out",
    "flowless.suggest": "--annotations wrong.txt --out out.json",
    "train.run": "--features wrong.txt --annotations wrong.txt --out out",
}


def modules() -> list[str]:
    pages = (page for package in PACKAGES for page in (ROOT / package).rglob("*.py") if page.name != "__init__.py")
    return sorted(".".join(page.relative_to(ROOT).with_suffix("").parts) for page in pages)


def source(module: str) -> str:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")


COMMANDS = [
    name
    for name in modules()
    if 'if __name__ == "__main__":' in source(name) and name != WORKER and not name.endswith(".__main__")
]  # a package's own __main__ lists its commands: tests/test_package_lists.py


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("wrong.txt").write_text("no such thing at all\n")
    return tmp_path


def home(command: str) -> str:
    """The module that defines a command's `main`: one under another name imports it."""
    return str(importlib.import_module(command).main.__module__)


def call(command: str, arguments: str) -> int:
    return int(importlib.import_module(command).main(arguments.split()))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_main_handles_no_error_itself(command: str) -> None:
    [main] = [
        node
        for node in ast.parse(source(home(command))).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    ]
    assert not [node for node in ast.walk(main) if isinstance(node, ast.Try | ast.With)]
    assert "run_command" in {node.id for node in ast.walk(main) if isinstance(node, ast.Name)}


def test_every_command_is_given_a_wrong_file() -> None:
    assert sorted(WRONG_FILE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_file_is_2_and_one_line(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, WRONG_FILE[command]) == ExitCode.COULD_NOT_BEGIN
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("note: ", "recipe "))]
    assert len(said) == 1 and ("wrong.txt" in said[0] or "missing.mp4" in said[0]), said


@contextmanager
def closed_pipe() -> Iterator[Any]:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(os.dup(writer), "w") as stream:
        os.close(writer)
        yield stream


@pytest.mark.parametrize("command", COMMANDS)
def test_help_into_a_closed_pipe_is_quiet(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert call(command, "--help") == ExitCode.BROKEN_PIPE
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_before_the_work_begins_is_75(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(home(command))
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    for number in STOP_SIGNALS:
        monkeypatch.setattr(module, "parse", lambda argv, number=number: signal.raise_signal(number))
        assert module.main([]) == ExitCode.INTERRUPTED
        assert capsys.readouterr().err.startswith("interrupted; nothing is half-written.")
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_libraries_are_loading_is_75(command: str, tmp_path: Path) -> None:
    """The first library that it imports is replaced by one that is interrupted while it is loading."""
    (tmp_path / "argparse.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nimport time\ntime.sleep(60)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", command], cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (75, b"interrupted before anything began; repeat the command\n")


def test_a_script_that_imports_the_packages_keeps_its_signals(tmp_path: Path) -> None:
    script = (  # SIGINT may be ignored from the start, as in a job in the background
        "import signal; before = signal.getsignal(signal.SIGINT)\n"
        "import evaluate, features; print(signal.getsignal(signal.SIGINT) is before)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    assert ran.stdout == b"True\n"


def error_classes() -> list[type[Exception]]:
    found = {}
    for name in modules():
        if name in COMMANDS or "class " in source(name):
            for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass):
                if issubclass(kind, Exception) and kind.__module__.partition(".")[0] in PACKAGES:
                    found[kind.__name__] = kind
    return list(found.values())


def test_every_error_that_reaches_a_user_has_the_same_base() -> None:
    kinds = error_classes()
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, FlowlessError) or kind.__name__ in CAUGHT, kind


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is in the standard library since 3.11")
def test_all_packages_are_installed() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    wanted = settings["packages"]["find"]["include"]
    for package in PACKAGES:
        names = [
            package,
            *(one.name for one in pkgutil.walk_packages([str(ROOT / package)], f"{package}.") if one.ispkg),
        ]
        assert [name for name in names if not any(fnmatch(name, pattern) for pattern in wanted)] == []


class Ending:
    """run_command on work that ends in one way."""

    def __init__(self, ending: BaseException | int) -> None:
        self.ending = ending

    def __call__(self, args: object) -> int:
        if isinstance(self.ending, BaseException):
            raise self.ending
        return self.ending


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (0, 0, ""),
        (ExitCode.FAILURES, 3, ""),
        (FlowlessError("v.mp4: cut short"), 2, "FlowlessError: v.mp4: cut short\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.json"), 2, "FileNotFoundError: a.json: No such file\n"),
        (BrokenPipeError(), 141, ""),
        (OSError(errno.ENOSPC, "No space left", "a.h5"), 74, "OSError: a.h5: No space left. Nothing is half-written."),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 74, "PermissionError: a: Permission denied. Nothing"),
        (KeyboardInterrupt(), 75, "interrupted; nothing is half-written. Repeat the command\n"),
        (Interrupted("stopped after 3 steps"), 75, "interrupted; stopped after 3 steps. Repeat the command\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)  # fmt: skip
def test_the_table_of_exit_codes(
    ending: BaseException | int, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(lambda argv: None, Ending(ending)) == code  # type: ignore[arg-type, return-value]
    err = capsys.readouterr().err
    assert err.startswith(said) and err.count("\n") == bool(said)


def test_an_error_that_is_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(lambda argv: None, Ending(ZeroDivisionError()))  # type: ignore[arg-type, return-value]


def test_a_second_signal_ends_a_step_that_does_not() -> None:
    def work(args: object) -> int:
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.asked
            signal.raise_signal(signal.SIGTERM)
        raise AssertionError("went on")

    assert run_command(lambda argv: None, work) == 75  # type: ignore[arg-type, return-value]
