"""The one place where commands end early: an exit code, and one line instead of a traceback.

    def main(argv: Sequence[str] | None = None) -> int:
        return run_command(parse, work, argv)

`parse` makes the arguments of the command line, `work` does what the command is for and returns an exit code.
"""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from command.errors import FlowlessError
from command.exit_codes import ExitCode
from command.loading import loaded
from command.signals import interruptible

NO_SUCH_PLACE = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)  # a path that is mistaken


def run_command(
    parse: Callable[[Sequence[str] | None], Namespace],
    work: Callable[[Namespace], int],
    argv: Sequence[str] | None = None,
    again: str = "Repeat the command",
) -> int:
    """Does the work and returns the exit code; whatever ends it early is told on stderr in one line.

    again: what to do after an interruption, and after a full disk has room again.
    """
    loaded()
    for stream in (sys.stdout, sys.stderr):  # names that the terminal cannot show are no reason to stop
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with interruptible():
            return _work_and_flush(parse, work, argv)
    except FlowlessError as error:
        return _end(ExitCode.COULD_NOT_BEGIN, f"{type(error).__name__}: {error}")
    except BrokenPipeError:
        return _end(ExitCode.BROKEN_PIPE)
    except NO_SUCH_PLACE as error:
        return _end(ExitCode.COULD_NOT_BEGIN, _said(error))
    except OSError as error:
        return _end(ExitCode.IO_ERROR, f"{_said(error)}. Nothing is half-written. {again} once this is repaired")
    except KeyboardInterrupt as error:
        return _end(ExitCode.INTERRUPTED, f"interrupted; {str(error) or 'nothing is half-written'}. {again}")


def _work_and_flush(
    parse: Callable[[Sequence[str] | None], Namespace], work: Callable[[Namespace], int], argv: Sequence[str] | None
) -> int:
    """A closed pipe and a full disk behind what is printed are noticed here, not when the interpreter ends."""
    try:
        code = work(parse(argv))
    except SystemExit:  # argparse, after its help or a usage error
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return int(code)


def _said(error: OSError) -> str:
    place = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str | os.PathLike) else ""
    return f"{type(error).__name__}: {place}{error.strerror or error}"


def _end(code: ExitCode, line: str = "") -> int:
    with contextlib.suppress(OSError):
        if line:
            print(line, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        _hush(stream)
    return int(code)


def _hush(stream: object) -> None:
    """What cannot be printed goes nowhere, so that the interpreter does not stumble over it when it ends."""
    try:
        stream.flush()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())  # type: ignore[attr-defined]
