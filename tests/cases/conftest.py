"""`run_case`: the commands of one case of ../shared/cases, run in a copy of its folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from case_runner import CASES, ROOT, Said, run_line

Run = Callable[[str], list[Said]]


@pytest.fixture
def run_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """run_case("01_name") copies the case, runs each line of its cmd.txt there and stays in that folder."""

    def run(name: str) -> list[Said]:
        if not (CASES / name).is_dir():
            pytest.skip(f"reference cases not found: expected {name} in ../shared/cases beside the checkout")
        folder = tmp_path / name
        shutil.copytree(CASES / name, folder, symlinks=True)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)  # the reference data is read-only
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        lines = (folder / "cmd.txt").read_text(encoding="utf-8").splitlines()
        return [said for line in lines if (said := run_line(line, capfd.readouterr)) is not None]

    return run
