"""The commands of a package, with a line each, read from the files: no library is loaded for it.

python -m extract
"""

import argparse
import ast
import difflib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from command.errors import FlowlessError
from command.exit_codes import ExitCode
from command.loading import PACKAGES
from command.runner import run_command

TOP = "flowless"  # the package of commands that see every other


class CommandError(FlowlessError):
    """A word where a command was expected."""


def tell_commands(file: Path | str, argv: Sequence[str] | None = None) -> int:
    """What `python -m package` does. file: its __main__.py."""
    folder = Path(file).parent

    def parse(given: Sequence[str] | None) -> Namespace:
        parser = argparse.ArgumentParser(
            prog=f"python -m {folder.name}",
            description=f"{first_line(folder / '__init__.py')}\n\n{commands_text(folder)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        return parser.parse_args(given)

    def work(args: Namespace) -> int:
        if args.words:
            raise CommandError(_meant(folder, args.words[0]))
        print(f"{first_line(folder / '__init__.py')}\n\n{commands_text(folder)}")
        return ExitCode.DONE

    return run_command(parse, work, argv)


def commands_of(folder: Path) -> dict[str, str]:
    """Name -> first line of each module of a package's folder that is a command: it has a `main` and runs it."""
    found = {}
    for file in sorted(folder.glob("[!_]*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        mains = [node for node in tree.body if "main" in _names(node)]
        runs = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
        if mains and runs:
            found[file.stem] = first_line(file)
    return found


def _names(node: ast.stmt) -> list[str]:
    """Of the function that a statement defines, or of what it imports from another module."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    return [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []


def commands_text(folder: Path) -> str:
    """A line for each command, then for those that see every package, and how to learn more."""
    own = _lines(folder)
    others = [] if folder.name == TOP else _lines(folder.parent / TOP)
    more = ["", "About more than one package, python -m flowless:", "", *others] if others else []
    return "\n".join([*own, *more, "", "Each tells its options and an example with --help."])


def _lines(folder: Path) -> list[str]:
    names = {f"python -m {folder.name}.{name}": line for name, line in commands_of(folder).items()}
    width = max(map(len, names), default=0)
    return [f"  {name:<{width}}  {line}" for name, line in names.items()]


def first_line(file: Path) -> str:
    """Of the docstring."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _meant(folder: Path, word: str) -> str:
    names = list(commands_of(folder))
    elsewhere = [name for name in sorted(PACKAGES) if word in commands_of(folder.parent / name)]
    if elsewhere and word not in names:
        places = " or ".join(f"python -m {name}.{word}" for name in elsewhere)
        return f"{word}: no command of {folder.name}, but {places}"
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if near:
        return f"{word}: a command is joined to its package by a point: python -m {folder.name}.{near[0]}"
    return f"{word}: no command of {folder.name}; there are {', '.join(names)}"
