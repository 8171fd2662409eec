"""python -m package lists what can be run, from the files alone."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from command.listing import commands_of, tell_commands

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flow", "extract", "features", "detect", "train", "evaluate", "flowless")
HEAVY = ("torch", "cv2", "av", "scipy", "matplotlib", "numba")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_commands_without_loading_heavy_libraries(package: str) -> None:
    program = (
        f"import runpy, sys\nsys.argv = ['{package}']\n"
        f"try: runpy.run_module('{package}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end: assert end.code == 0\n"
        f"assert not set({HEAVY}) & set(sys.modules), set({HEAVY}) & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = commands_of(ROOT / package)
    assert commands
    for name, line in commands.items():
        assert any(told.split(None, 3)[2:] == [f"{package}.{name}", line] for told in done.stdout.splitlines())


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_listed_is_what_can_be_run(package: str) -> None:
    names = set(commands_of(ROOT / package))
    for file in (ROOT / package).glob("[!_]*.py"):
        if file.stem in names:
            assert callable(importlib.import_module(f"{package}.{file.stem}").main)
        else:
            assert '__name__ == "__main__"' not in file.read_text(encoding="utf-8")


def test_a_command_that_is_not_joined_by_a_point_is_told_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_commands(ROOT / "extract" / "__main__.py", ["rgb", "x"]) == 2
    assert "python -m extract.rgb" in capsys.readouterr().err
    assert tell_commands(ROOT / "extract" / "__main__.py", ["zzzz"]) == 2
    assert (
        "no command of extract; there are distill, features, finetune, motion, pretrain, rgb, synthetic"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("package", "word"), [("evaluate", "annotations"), ("features", "doctor"), ("extract", "probe")]
)
def test_a_command_that_sees_every_package_is_found_from_the_package_that_it_is_searched_in(
    package: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell_commands(ROOT / package / "__main__.py", []) == 0
    listed = capsys.readouterr().out
    assert f"python -m flowless.{word}  " in listed and "About more than one package" in listed
    assert tell_commands(ROOT / package / "__main__.py", [word]) == 2
    assert f"{word}: no command of {package}, but python -m flowless.{word}" in capsys.readouterr().err
    assert not (ROOT / package / f"{word}.py").exists(), "one name each"


def test_a_command_of_another_package_is_named_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_commands(ROOT / "features" / "__main__.py", ["rgb"]) == 2
    assert "rgb: no command of features, but python -m extract.rgb" in capsys.readouterr().err
    assert tell_commands(ROOT / "flow" / "__main__.py", ["run"]) == 2
    said = capsys.readouterr().err
    assert "python -m detect.run or python -m evaluate.run or python -m train.run" in said


def test_help_lists_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tell_commands(ROOT / "detect" / "__main__.py", ["--help"])
    assert ended.value.code == 0 and "python -m detect.video   Detect actions" in capsys.readouterr().out
