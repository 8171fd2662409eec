"""Runs the commands of a case in ../shared/cases in a copy of its folder, as a user would type them.

A line `python -m package.module ...` runs inside this process, so that torch is imported once; any other line runs in
bash. `cd` lasts for the lines after it, comments and `|| true` mean what they mean in a shell.
"""

import importlib
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"


class Said(NamedTuple):
    """What one command of a case did."""

    command: str
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def run_line(line: str, read: Callable[[], tuple[str, str]]) -> Said | None:
    """One line of a cmd.txt, None where it does nothing; read() gives what was printed since it was last called."""
    words = shlex.split(line, comments=True)
    if not words:
        return None
    if words[0] == "cd":
        os.chdir(words[1])
        return None
    read()
    if words[:2] == ["python", "-m"] and "|" not in words:
        code = run_module(words[2], expanded(words[3 : words.index("||") if "||" in words else None]))
    else:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        code = subprocess.run(["bash", "-c", line], env=environment, check=False).returncode
    return Said(line, code, *read())


def run_module(name: str, arguments: list[str]) -> int:
    """The exit code of `python -m name arguments`; an exception that would be a traceback there is printed and 1."""
    try:
        return int(importlib.import_module(name).main(arguments) or 0)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except Exception:
        traceback.print_exc()
        return 1


def expanded(words: list[str]) -> list[str]:
    """Words with globs replaced by the files they match, as a shell does."""
    return [
        name for word in words for name in (sorted(map(str, Path().glob(word))) or [word] if "*" in word else [word])
    ]
