"""The command lines and Python examples of a page, in the order in which they stand there."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLED = re.compile(r"(?:^|(?<=\s))(?:python3? -m|make|srun|torchrun|pip|git|dask)\s")

SAVED = re.compile(r"\A\n```\n+Saved as `(\w+\.py)`")


@dataclass(frozen=True)
class Example:
    """A command line, joined where it goes on in the next line, or a block of Python."""

    page: str
    line: int  # where it begins, from 1
    text: str
    language: str = "shell"
    saved: str = ""  # the file that the page says a block of Python is


def examples_in_help(module: Path) -> list[Example]:
    """The command lines in the docstring of a command, which is its --help."""
    told = ast.get_docstring(ast.parse(home(module).read_text(encoding="utf-8"))) or ""
    shown = [(line, text) for line, language, text in blocks_of(told) if language == "shell"]
    return [Example(str(module), line, one) for line, text in shown for one in commands_in(text)]


def home(module: Path) -> Path:
    """The file that defines a command's `main`: one under another name imports it."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and "main" in [alias.name for alias in node.names]:
            return module.parents[1].joinpath(*node.module.split(".")).with_suffix(".py")
    return module


def commands_in(block: str) -> list[str]:
    joined = (line.strip() for line in block.replace("\\\n", "  ").splitlines())
    return [line for line in joined if CALLED.search(line)]


def examples_of(page: Path) -> list[Example]:
    found: list[Example] = []
    written = page.read_text(encoding="utf-8")
    for line, language, text in blocks_of(written):
        if language == "python":
            saved = SAVED.search(written.split(text, 1)[1])
            found.append(Example(page.name, line, text, "python", saved[1] if saved else ""))
        else:
            found += [Example(page.name, line, one) for one in commands_in(text)]
    return found


def blocks_of(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, language, text) of fenced blocks, and of blocks that are set in by four spaces."""
    fence, language, begun, lines = False, "", 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        indented = line.startswith("    ") and not fence
        if line.startswith("```"):
            if fence:
                yield begun, language, "\n".join(lines)
            fence, language, begun, lines = not fence, line[3:].strip() or "shell", number + 1, []
        elif fence or indented:
            begun, lines = begun if lines else number, [*lines, line[4:] if indented else line]
        elif lines:
            yield begun, "shell", "\n".join(lines)
            lines = []


def words_of(command: str) -> list[str]:
    """As a shell would take it: quotes, comments, and globs of files that are there."""
    reader = shlex.shlex(command, posix=False)  # keeps the quotes
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    for raw in reader:
        if raw.startswith("#"):
            break
        [word] = shlex.split(raw)
        files = sorted(map(str, Path().glob(word))) if "*" in word and word == raw else []
        words += files or [word]
    return words
