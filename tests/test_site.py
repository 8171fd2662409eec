"""The pages of docs/ as a site: every page has its place, every link arrives, nothing is fetched from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOADED = re.compile(r"<(?:script|img|link|iframe|source)[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason="the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html"]  # as make docs
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", out], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return out


def test_every_page_becomes_one_without_a_warning(site: Path) -> None:
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {page.stem for page in site.glob("*.html")}


def test_the_first_page_leads_to_every_other(site: Path) -> None:
    first = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or f'href="{page.stem}.html"' in first


def test_a_page_of_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        assert not LOADED.findall(page.read_text(encoding="utf-8")), page.name
