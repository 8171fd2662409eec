"""Every case of ../shared/cases has a test that names it."""

import re
from pathlib import Path

import pytest
from case_runner import CASES

HERE = Path(__file__).parent


def test_every_case_has_a_test() -> None:
    if not CASES.is_dir():
        pytest.skip("reference cases not found: expected ../shared/cases beside the checkout")
    tested = {
        name for page in HERE.glob("test_*.py") for name in re.findall(r'run_case\(\s*"([\w-]+)"', page.read_text())
    }
    there = {folder.name for folder in CASES.iterdir() if folder.is_dir()}
    assert there <= tested, f"no test for {sorted(there - tested)}"
