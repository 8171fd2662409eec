"""Every command that a page shows exists, and knows every option that the page gives it."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"(?:python3?|\$\(PY\)|\$PY) -m ((?:flow|extract|features|detect|train|evaluate|flowless)\.[\w.]+)([^\n|&;`]*)"
)


def shown_commands() -> list[tuple[str, str, str]]:
    """(page, module, arguments) of each command line in the pages, continuation lines joined."""
    found = []
    for page in PAGES:
        if page.is_file():
            text = page.read_text(encoding="utf-8").replace("\\\n", " ")
            found += [(page.name, module, arguments) for module, arguments in COMMAND.findall(text)]
    return sorted(set(found))


def options_in(arguments: str) -> set[str]:
    words = shlex.split(arguments.split("#")[0].replace("[", " ").replace("]", " "), comments=False)
    return {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}


@pytest.mark.parametrize(("page", "module", "arguments"), shown_commands())
def test_a_shown_command_exists_with_the_options_shown(
    page: str, module: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(module).main(["--help"])
    assert stopped.value.code == 0
    help_text = capsys.readouterr().out
    for option in options_in(arguments):
        assert re.search(rf"{re.escape(option)}\b", help_text), f"{page}: {module} does not know {option}"


def test_the_readme_shows_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = "\n".join(readme.splitlines()[:40])
    assert "make demo" in first_screen
    assert "make check" in readme
    assert "make check" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
    for page in PAGES:
        if page.suffix == ".md" and page.is_file():
            named = set(re.findall(r"`make ([a-z][\w-]*)", page.read_text(encoding="utf-8")))
            assert named <= targets, f"{page.name} names {sorted(named - targets)}"
