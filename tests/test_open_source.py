"""What a stranger looks for first: licence, citation, how to contribute, the checks before a commit."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("command", "flow", "extract", "features", "detect", "train", "evaluate", "flowless")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_licence_is_the_same_wherever_it_is_told() -> None:
    assert "Apache License\n                           Version 2.0, January 2004" in text("LICENSE")
    assert "END OF TERMS AND CONDITIONS" in text("LICENSE")
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "license: Apache-2.0" in text("CITATION.cff")


def test_the_version_is_the_same_in_package_and_citation() -> None:
    [packaged] = re.findall(r'^version = "(.+)"$', text("pyproject.toml"), re.M)
    [cited] = re.findall(r"^version: (.+)$", text("CITATION.cff"), re.M)
    assert packaged == cited


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is in the standard library since 3.11")
def test_data_files_of_the_packages_are_installed() -> None:
    import tomllib

    settings = tomllib.loads(text("pyproject.toml"))["tool"]["setuptools"]["package-data"]
    packages = {page.parent for package in PACKAGES for page in (ROOT / package).rglob("__init__.py")}
    for folder in packages - {ROOT / "features", ROOT / "flow"}:  # where users keep files of their own
        package = ".".join(folder.relative_to(ROOT).parts)
        kept = settings.get(package, [])
        for file in folder.iterdir():
            if file.is_file() and file.suffix not in {".py", ".pyc"}:
                assert any(file.match(pattern) for pattern in kept), f"{file} is not installed"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_that_a_page_names_exist(page: Path) -> None:
    written = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", re.sub(r"```.*?```", "", written, flags=re.S)):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(
        r"`((?:command|flow|extract|features|detect|train|evaluate|flowless|tests)/[\w/]+\.py)`", written
    ):
        assert (ROOT / name).is_file(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_arrive(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        there = (page.parent / target if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", there, re.M)
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{page.name}: {target} has no heading for #{anchor}"


def test_no_metaphor_of_the_projects_own_has_to_be_guessed() -> None:
    own = re.compile(
        r"\b(the house|this room|the rooms|the shelf|held to|come by|its company|if mended|leg of the)\b", re.I
    )
    for page in [*PAGES, *(page for package in PACKAGES for page in (ROOT / package).rglob("*.py"))]:
        assert not (found := own.search(page.read_text(encoding="utf-8"))), f"{page}: {found[0]!r}"


def test_the_hooks_before_a_commit_are_the_checks_of_make_check() -> None:
    hooks, makefile = text(".pre-commit-config.yaml"), text("Makefile")
    for tool, called in (
        ("ruff format", "-m ruff format --check"),
        ("ruff check", "-m ruff check"),
        ("mypy", "-m mypy"),
    ):
        assert f"entry: .venv/bin/{tool}" in hooks and called in makefile
