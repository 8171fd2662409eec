"""The script that films the page to watch videos for README.md: docs/pictures/watching.py."""

import importlib.util
import io
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from browsing import browser, write_brightening

from evaluate.watching.page import Film, Track, watch_page

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "watching.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script adds to it
    spec = importlib.util.spec_from_file_location("film_of_the_page", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_of(folder: Path) -> Path:
    """Eight seconds, three actions of two classes, as many detections."""
    write_brightening(folder / "v.webm", 8)
    times = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]])
    truth = Track("truth", times, ["jump", "run", "run"])
    found = Track("detected", times, ["jump", "run", "run"], np.array([0.9, 0.4, 0.8]))
    page = folder / "index.html"
    page.write_text(watch_page([Film("v", 8.0, [truth, found], ["v.webm"])], 0.3))
    return page


def test_without_a_browser_the_script_says_what_is_missing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("selenium")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    page, out = page_of(tmp_path), tmp_path / "film.gif"
    monkeypatch.setattr(sys, "argv", ["watching.py", str(page), "--video", "v", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert "no chromium with a chromedriver (Debian, Ubuntu: apt install chromium" in capsys.readouterr().err
    assert not out.exists()


def test_without_a_page_the_script_says_what_makes_one(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["watching.py", str(tmp_path / "p.html"), "--video", "v", "--out", "film.gif"])
    with pytest.raises(SystemExit):
        script.main()
    assert "p.html: no such file; detect.video --out" in capsys.readouterr().err


@pytest.mark.slow
def test_the_film_shows_the_video_playing_a_click_that_seeks_and_what_is_left_out(
    script: ModuleType, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    with browser(tmp_path) as driver:
        told, colours = script.film(driver, page_of(tmp_path), "v")
        shown = driver.execute_script("return document.getElementById('shown').textContent")
        time_s = driver.execute_script("return document.getElementById('video').currentTime")
    assert shown == "1 of 3 detections"  # above the score of .4, and no more jumps
    assert 5.0 <= time_s < 6.5  # within the last detection
    film = image.open(io.BytesIO(script.gif(told.pictures, told.seconds, colours)))
    assert film.n_frames > 40 and film.size[0] == script.WIDTH
