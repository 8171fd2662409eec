"""A headless browser that a test drives, and small videos that it can play."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
RATE = 10  # frames a second
LEVEL = 20  # by which each second of a made video is brighter than the one before


class NoBrowserError(RuntimeError):
    """What is missing to drive a browser."""


@contextmanager
def browser(downloads: Path) -> Iterator[Any]:
    """As driven; skips the test where there is no Chromium, no driver for it, or no selenium."""
    with ExitStack() as stack:
        try:
            driver = stack.enter_context(driven(downloads))
        except NoBrowserError as error:
            pytest.skip(f"{error}: the page is not tried in a browser")
        yield driver


@contextmanager
def driven(downloads: Path, *more: str) -> Iterator[Any]:
    """A driver of selenium; more: options of Chromium. NoBrowserError where something is missing."""
    try:
        from selenium import webdriver
    except ImportError as error:
        raise NoBrowserError("selenium is not installed (pip install -c constraints.txt -e '.[dev]')") from error
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    steering = shutil.which("chromedriver")
    if program is None or steering is None:
        raise NoBrowserError("no chromium with a chromedriver (Debian, Ubuntu: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, *more):
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=steering))
    try:
        driver.set_window_size(1280, 1000)
        yield driver
    finally:
        driver.quit()


def requests_of(driver: Any) -> set[str]:
    """Every URL that was asked for since the last call."""
    told = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return {one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"}


def write_brightening(path: Path, seconds: int, codec: str = "libvpx") -> Path:
    """A video whose second k is grey of LEVEL * k: a picture of it tells where it is."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        stream.gop_size = RATE
        for index in range(seconds * RATE):
            image = np.full((90, 160, 3), LEVEL * (index // RATE), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
