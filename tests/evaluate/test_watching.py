"""The page to watch videos: a click seeks, the slider filters, keys step, the export is the JSON, nothing is loaded."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import LEVEL, browser, requests_of, write_brightening
from matplotlib import image

from evaluate.files.detections import read_detections, write_detections
from evaluate.files.formats import read_any_detections
from evaluate.watching.page import Film, Track, film_data, link_to, watch_page

SECONDS = 10
# label, start_s, end_s, score: in order of time the likely ones are jump, spin, jump
FOUND = [
    ("jump", 6.25, 7.5, 0.9),
    ("spin", 4.125, 5.0, 0.6),
    ("jump", 1.5, 2.0, 0.4),
    ('<script>window.harm = 1</script>, "x"', 8.0, 9.0, 0.1 + 0.2),
    ("jump", 3.0, 3.1, 1 / 7),
]
LIKELY = [1.5, 4.125, 6.25, 8.0]  # starts of those with a score of at least 0.3


def film(name: str, sources: list[str], *more: Track, duration_s: float = SECONDS, file: str = "") -> Film:
    labels, starts, ends, scores = zip(*FOUND, strict=True)
    track = Track("detected", np.c_[starts, ends], labels, scores)
    return Film(name, duration_s, [track, *more], sources, file, "Run it again with --burn.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages beside a video that every Chromium plays, and one that none does."""
    folder = tmp_path_factory.mktemp("pages")
    write_brightening(folder / "a #1 é.webm", SECONDS)
    write_brightening(folder / "old.avi", SECONDS, "mpeg4")
    video = [link_to(folder / "a #1 é.webm", folder)]
    truth = Track("truth", [[1.4, 2.1], [6.0, 7.0]], ["jump", "spin"])
    (folder / "plain.html").write_text(watch_page([film("b/a", video)], 0.3))
    both = [film("b/a", video, truth), film("old", ["old.avi"], file="-videos/it's old.avi")]
    both.append(film("copied", ["old.avi", *video]))
    (folder / "three.html").write_text(watch_page(both, 0.3))
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 3590, 2000)
    labels = [f"class {i}" for i in rng.integers(0, 20, 2000)]
    hour = Track("detected", np.c_[starts, starts + rng.uniform(1, 9, 2000)], labels, rng.uniform(0, 1, 2000))
    (folder / "hour.html").write_text(watch_page([Film("hour", 3600.0, [hour], video)], 0.0))
    return folder


@pytest.fixture(scope="module")
def driver(folder: Path) -> Iterator[Any]:
    with browser(folder / "downloads") as started:
        yield started


@pytest.fixture
def page(driver: Any, folder: Path) -> Callable[..., "Page"]:
    def opened(name: str, query: str = "", playable: bool = True) -> Page:
        driver.get("about:blank")
        driver.get((folder / f"{name}.html").as_uri() + query)
        shown = Page(driver)
        if playable:
            shown.wait("document.getElementById('video').readyState >= 2")
        return shown

    return opened


class Page:
    """What a visitor does with the page, and sees."""

    def __init__(self, driver: Any) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        self.driver, self.act = driver, lambda: ActionChains(driver)

    def js(self, expression: str, *given: Any) -> Any:
        return self.driver.execute_script(f"return {expression}", *given)

    def wait(self, condition: str, *given: Any) -> None:
        deadline = time.monotonic() + 30
        while not self.js(condition, *given):
            assert time.monotonic() < deadline, f"waited in vain for {condition}"
            time.sleep(0.05)

    def element(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        return str(self.js("document.getElementById(arguments[0]).textContent", name))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.act().send_keys(key).perform()

    @property
    def time_s(self) -> float:
        return float(self.js("document.getElementById('video').currentTime"))

    def settled_at(self, time_s: float) -> None:
        """The video stands there, and its picture is the one of that second."""
        self.wait(
            "!document.getElementById('video').seeking && "
            "Math.abs(document.getElementById('video').currentTime - arguments[0]) < 1e-3",
            time_s,
        )
        deadline = time.monotonic() + 30
        while True:  # the picture follows a moment later
            pixels = image.imread(io.BytesIO(self.element("video").screenshot_as_png))
            level = 255 * float(pixels[pixels.shape[0] // 3, pixels.shape[1] // 2, 0])
            if abs(level - LEVEL * int(time_s)) < LEVEL / 2:
                return
            assert time.monotonic() < deadline, f"a grey of {level} is not that of {time_s} s"

    def click_timeline(self, time_s: float, row: int, duration_s: float = SECONDS) -> None:
        """Where a visitor sees that moment: 6 px to each side of the bars, 22 px of axis, 35 px for a class."""
        box = self.driver.find_element("css selector", ".scroll")
        x = 6 + (box.size["width"] - 12) * time_s / duration_s - box.size["width"] / 2
        y = 22 + 35 * row + 24 - box.size["height"] / 2
        self.act().move_to_element_with_offset(box, round(x), round(y)).click().perform()

    def shown(self) -> list[str]:
        lines = self.driver.find_elements("css selector", ".detection")
        return [" ".join(line.text.split()) for line in lines]


def test_a_click_on_a_detection_seeks_the_video(page: Callable[..., Page]) -> None:
    shown = page("plain")
    assert shown.time_s == 0
    shown.click_timeline(7.0, row=1)  # inside of the jump that begins at 6.25 s
    shown.settled_at(6.25)
    assert shown.text("time") == "0:06.3 / 0:10.0"
    shown.driver.find_elements("css selector", ".detection")[1].click()
    shown.settled_at(4.125)
    shown.click_timeline(9.5, row=1)  # nothing there: the cursor goes to that very moment
    shown.wait("Math.abs(document.getElementById('video').currentTime - 9.5) < 0.05")


def test_keys_step_from_one_detection_to_the_next(page: Callable[..., Page]) -> None:
    shown = page("plain")
    for key, start_s in zip(("n", "\ue014", "n", "n", "n", "p", "\ue012"), (*LIKELY, 8.0, 6.25, 4.125), strict=True):
        shown.press(key)
        shown.settled_at(start_s)
    assert shown.text("said").startswith("spin  0:04.13 – 0:05.00  score 0.600, 2 of 4")
    assert shown.js("document.querySelector('[aria-selected=true]').id") == "detection-1"
    shown.press("\ue010")
    shown.wait("document.getElementById('video').currentTime >= 9.9")
    shown.press("\ue011")
    shown.settled_at(0)


def test_quick_steps_end_with_the_picture_of_the_last(page: Callable[..., Page]) -> None:
    """Each key follows as soon as the seek of the one before is over, sooner than the browser shows its picture."""
    shown = page("plain")
    keys = (
        "const [keys, done] = [[...arguments[0]], arguments[1]];"
        "const press = () => { const key = keys.shift(); if (!key) { done(); return; }"
        "document.getElementById('video').addEventListener('seeked', press, { once: true });"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); };"
        "press();"
    )
    for last in [3, 2] * 6:
        shown.driver.execute_async_script(keys, ["Home", *["n"] * last])
        shown.settled_at(LIKELY[last - 1])


@pytest.mark.parametrize("focus", ["body", "timeline", "score", "video"])
def test_space_plays_and_pauses_wherever_one_is(page: Callable[..., Page], focus: str) -> None:
    shown = page("plain")
    shown.js("(document.getElementById(arguments[0]) || document.body).focus()", focus)
    shown.press(" ")
    shown.wait("document.getElementById('video').currentTime > 0.2")
    moved = shown.js("document.querySelector('.cursor').getBoundingClientRect().left")
    assert moved > shown.js("document.querySelector('.scroll').getBoundingClientRect().left") + 6
    shown.press(" ")
    assert shown.js("document.getElementById('video').paused")
    following = next(start for start in LIKELY if start > shown.time_s)
    shown.press("n")
    shown.settled_at(following)


def test_the_slider_and_the_classes_filter(page: Callable[..., Page]) -> None:
    shown = page("plain")
    assert shown.text("shown") == "4 of 5 detections"
    slider = shown.element("score")
    assert slider.get_attribute("value") == "0.3"
    slider.send_keys("\ue014" * 31)  # 0.61
    assert shown.shown() == ["jump 0:06.3 – 0:07.5 0.90"] and shown.text("least") == "≥ 0.61"
    slider.send_keys("\ue011")  # the least there is
    assert shown.text("shown") == "5 of 5 detections"
    assert [line.split()[0] for line in shown.shown()] == ["jump", "jump", "spin", "jump", "<script>window.harm"]
    boxes = shown.driver.find_elements("css selector", "#classes .class")
    assert [" ".join(box.text.split()) for box in boxes][1:] == ["jump 3", "spin 1"]
    boxes[1].click()
    assert [line.split()[0] for line in shown.shown()] == ["spin", "<script>window.harm"]
    shown.element("none").click()
    assert shown.shown() == [] and shown.element("nothing").is_displayed()
    shown.element("all").click()
    assert len(shown.shown()) == 5


def exported(shown: Page, folder: Path, name: str) -> Path:
    target = folder / "downloads" / name
    target.unlink(missing_ok=True)
    shown.element("export").click()
    deadline = time.monotonic() + 30
    while not target.exists():
        assert time.monotonic() < deadline, f"{name} was not written"
        time.sleep(0.05)
    return target


def test_the_export_equals_the_json(page: Callable[..., Page], folder: Path, tmp_path: Path) -> None:
    """To the last digit, and our own commands read it."""
    labels, starts, ends, scores = zip(*FOUND, strict=True)
    write_detections(tmp_path / "d.json", {"b/a": (np.c_[starts, ends], scores, labels)})
    shown = page("plain")
    assert len(exported(shown, folder, "a.shown.csv").read_text().splitlines()) == 1 + len(LIKELY)
    shown.element("score").send_keys("\ue011")
    ours = read_any_detections(exported(shown, folder, "a.shown.csv"), classes=labels)
    theirs = read_detections(tmp_path / "d.json")

    def rows(of: Any) -> list[tuple[Any, ...]]:
        labels = [of.labels[i] for i in of.label]
        return sorted(zip([of.videos[i] for i in of.video], labels, of.segments.tolist(), of.scores, strict=True))

    assert rows(ours) == rows(theirs) and len(rows(ours)) == len(FOUND)


def test_a_label_of_markup_harms_nothing_and_no_request_leaves_the_page(
    page: Callable[..., Page], folder: Path
) -> None:
    shown = page("three")
    shown.press("n", "n", "n", "n", " ", "+", "-")
    assert "<script>window.harm" in shown.js("document.querySelector('#classes').textContent")
    assert shown.js("window.harm === undefined")
    asked = requests_of(shown.driver)
    here = folder.as_uri() + "/"
    assert any(url.endswith(".webm") for url in asked)
    assert all(url.startswith((here, "data:", "blob:", "about:")) or url == "about:blank" for url in asked), asked
    assert not re.search(r"https?://", (folder / "three.html").read_text())
    shown.js("fetch('three.html').then(() => { window.sent = 1; }, () => { window.sent = 0; })")
    shown.wait("window.sent !== undefined")
    assert shown.js("window.sent") == 0  # not even if it wanted to


def test_a_video_that_browsers_do_not_play_is_told_and_the_rest_works(page: Callable[..., Page], folder: Path) -> None:
    shown = page("three", "#video=old", playable=False)
    shown.wait("!document.getElementById('trouble').hidden")
    told = shown.element("trouble").text
    assert "cannot play it's old.avi" in told and "Run it again with --burn." in told
    assert """ffmpeg -i './-videos/it'"'"'s old.avi' """ in told and """'it'"'"'s old.h264.mp4'""" in told
    shown.press("n", "n")
    assert shown.text("time") == "0:04.1 / 0:10.0"
    shown.element("file").send_keys(str(folder / "a #1 é.webm"))  # a copy, wherever it is
    shown.settled_at(4.125)
    assert not shown.element("trouble").is_displayed()


def test_the_copy_is_played_where_the_video_cannot_be(page: Callable[..., Page]) -> None:
    shown = page("three", "#video=copied")
    shown.press("n")
    shown.settled_at(1.5)
    assert not shown.element("trouble").is_displayed()


def test_the_videos_of_a_page_are_chosen_from_a_list(page: Callable[..., Page]) -> None:
    shown = page("three")
    assert shown.text("name") == "b/a" and shown.element("with-truth").is_displayed()
    shown.press("n")
    shown.element("after").click()
    assert shown.text("name") == "old" and not shown.element("with-truth").is_displayed()
    assert shown.text("time") == "0:00.0 / 0:10.0"
    assert not page("plain").element("films").is_displayed()


def test_everything_is_reached_by_tab_is_named_and_shows_its_focus(page: Callable[..., Page]) -> None:
    shown = page("three")
    reached = {}
    for _ in range(40):
        shown.press("\ue004")
        name, width = shown.js(
            "[document.activeElement.id || document.activeElement.type, "
            "getComputedStyle(document.activeElement).outlineWidth]"
        )
        reached[name] = width
    wanted = {"choice", "after", "video", "next", "previous", "score", "all", "none", "checkbox", "export", "list"}
    assert wanted | {"closer", "further", "timeline"} <= set(reached)
    assert all(reached[name] == "3px" for name in wanted - {"video"})
    tree = shown.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "slider", "checkbox", "listbox", "combobox", "link", "option", "Video"}
    controls = [node for node in tree if node.get("role", {}).get("value") in roles and not node.get("ignored")]
    nameless = [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")]
    assert len(controls) > 15 and not nameless


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_follows_the_scheme(page: Callable[..., Page], width: int, scheme: str) -> None:
    shown = page("three")
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    shown.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    shown.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        assert shown.js("document.documentElement.scrollWidth") <= width
        red = int(re.findall(r"\d+", shown.js("getComputedStyle(document.body).backgroundColor"))[0])
        assert red > 200 if scheme == "light" else red < 40
    finally:
        shown.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        shown.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_an_hour_with_two_thousand_detections_stays_fluid(page: Callable[..., Page]) -> None:
    """Counted rather than timed: what is out of view is not in the document, and playing redraws no timeline."""
    shown = page("hour")
    assert shown.text("shown") == "2,000 of 2,000 detections"
    assert shown.js("document.querySelectorAll('*').length") < 500
    shown.js(
        "(() => { const clear = CanvasRenderingContext2D.prototype.clearRect; window.drawn = 0;"
        "CanvasRenderingContext2D.prototype.clearRect = function (...box) { window.drawn++; clear.apply(this, box); };"
        "})()"
    )
    shown.press(" ")
    shown.wait("document.getElementById('video').currentTime > 1")
    assert shown.js("window.drawn") == 0
    shown.press(" ")
    for _ in range(5):  # of many changes before the next picture, one is drawn
        shown.js(
            "(() => { const slider = document.getElementById('score');"
            "for (let i = 0; i < 50; i++) { slider.value = i / 100; slider.dispatchEvent(new Event('input')); } })()"
        )
    shown.wait("window.drawn > 0")
    assert shown.js("window.drawn") <= 10
    shown.js("(() => { document.getElementById('list').scrollTop = 1e6; })()")
    shown.wait("document.querySelectorAll('.detection').length > 3")
    assert shown.js("document.querySelectorAll('.detection').length") < 40


# --- without a browser -----------------------------------------------------------------------------------------------


def test_a_video_is_linked_by_a_path_that_moves_with_the_page(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "videos").mkdir()
    assert link_to(tmp_path / "videos" / "a #1?.mp4", tmp_path / "out") == "../videos/a%20%231%3F.mp4"
    assert link_to(tmp_path / "out" / "a.mp4", tmp_path / "out") == "a.mp4"
    assert link_to("/elsewhere/a b.mp4", tmp_path) == "file:///elsewhere/a%20b.mp4"
    (tmp_path / "link").symlink_to(tmp_path / "out")  # a page opened through a link would climb elsewhere
    assert link_to(tmp_path / "videos" / "a.mp4", tmp_path / "link") == (tmp_path / "videos" / "a.mp4").as_uri()


def test_a_class_keeps_its_number_over_all_videos_of_a_page() -> None:
    one = Film("1", 1.0, [Track("detected", [[0, 1]], ["b"], [0.5])])
    two = Film("2", 1.0, [Track("detected", [[0, 1], [0, 1]], ["a", "b"], [0.5, 0.5])])
    written = watch_page([one, two], 0.3)
    blocks = dict(re.findall(r'<script type="application/json" id="(.+?)">(.*?)</script>', written))
    about = json.loads(blocks["about"])
    numbers = [json.loads(blocks[f"film-{i}"])["classes"] for i in range(2)]
    assert [[about["classes"][k] for k in each] for each in numbers] == [["b"], ["a", "b"]]


def test_the_page_of_nothing_is_a_page() -> None:
    assert film_data(Film("v", 0.0, [Track("detected", [], [], [])])).scores == (np.inf, -np.inf)
    assert "application/json" in watch_page([Film("v", 0.0, [])], 0.3)
