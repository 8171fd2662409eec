"""Films the page to watch videos at work, in a headless Chromium, as a GIF: docs/pictures/watching.gif.

    python docs/pictures/watching.py demo/watch/index.html --video test_0000 --out docs/pictures/watching.gif

The video plays, a click on a detection goes there, the slider of the score and a class leave some out. `make pictures`
makes the page of a demo video and films it. What is seen is done by clicks and keys of a driven browser; time is set
picture by picture, so that the film is the same on a slow machine.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tests/evaluate")]

from browsing import NoBrowserError, driven  # noqa: E402

from command.writing import write_whole  # noqa: E402

SIZE = (1000, 850)  # of the page, px
WIDTH = 720  # of the film, px
RATE = 8  # pictures a second
STILL_S = 1.0  # how long a picture stands after something was done
COLOURS = 96  # of the palette, beside those of classes and text
POINTER = """
const arrow = document.createElement("div");
arrow.innerHTML = `<svg width="26" height="26" viewBox="0 0 24 24"><path d="M5 2 L5 19 L9.5 15 L12.5 21.5 L15.2 20.3
  L12.2 14 L18 14 Z" fill="#111" stroke="#fff" stroke-width="1.4"/></svg>`;
arrow.style.cssText = "position:fixed;left:0;top:0;z-index:9;pointer-events:none;margin:-2px 0 0 -5px";
document.body.append(arrow);
addEventListener("mousemove", e => { arrow.style.transform = `translate(${e.clientX}px, ${e.clientY}px)`; }, true);
document.getElementById("video").controls = false;
const chips = [...document.querySelectorAll(".chip")].map(chip => getComputedStyle(chip).backgroundColor);
return [...chips, ...["--ink", "--accent", "--cursor", "--truth"].map(
  name => getComputedStyle(document.documentElement).getPropertyValue(name).trim())];
"""  # a picture of the screen shows no pointer; the buttons in the video would be those of a paused one
SEEK = """
const [time_s, done] = arguments, video = document.getElementById("video");
if (Math.abs(video.currentTime - time_s) < 1e-3) return done();
video.addEventListener("seeked", () => requestAnimationFrame(() => requestAnimationFrame(done)), { once: true });
video.currentTime = time_s;
"""


LOADED = """
const [done] = arguments, video = document.getElementById("video");
if (video.readyState > 1 || video.hidden) done(); else video.addEventListener("loadeddata", () => done());
"""
LAST = """
const scroll = document.querySelector(".scroll"), box = scroll.getBoundingClientRect();
const tip = document.querySelector(".tip");
for (let x = box.right - 4; x > box.left; x -= 2) {
  for (let y = box.bottom - 3; y > box.top; y -= 3) {
    scroll.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y }));
    if (!tip.hidden && tip.textContent.includes("score")) {
      scroll.dispatchEvent(new PointerEvent("pointerleave"));
      return [x - 12, y - 2];
    }
  }
}
"""  # where the last detection of the timeline is


class Film:
    """Pictures of the page, and what a visitor does in it."""

    def __init__(self, driver: Any) -> None:
        from selenium.webdriver import ActionChains

        self.driver, self.act = driver, lambda: ActionChains(driver, duration=0)
        self.pictures: list[bytes] = []
        self.seconds: list[float] = []
        self.at = (0.4 * SIZE[0], 0.7 * SIZE[1])

    def picture(self, seconds: float = 1 / RATE) -> None:
        self.pictures.append(self.driver.get_screenshot_as_png())
        self.seconds.append(seconds)

    def play(self, start_s: float, end_s: float) -> None:
        for step in range(round((end_s - start_s) * RATE)):
            self.driver.execute_async_script(SEEK, start_s + step / RATE)
            self.picture()

    def go(self, x: float, y: float, steps: int = 5) -> None:
        """Moves the pointer to a place of the page."""
        before, self.at = self.at, (x, y)
        for step in range(1, steps + 1):
            chain = self.act()
            chain.w3c_actions.pointer_action.move_to_location(
                *(round(a + (b - a) * step / steps) for a, b in zip(before, self.at, strict=True))
            )
            chain.perform()
            self.picture()

    def across(self, what: str, share: float = 0.5, steps: int = 5) -> None:
        """Moves it onto an element, so far across it."""
        box = self.driver.find_element("css selector", what).rect
        self.go(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps)

    def click(self) -> None:
        self.act().click().perform()


def film(driver: Any, page: Path, video: str) -> tuple[Film, list[str]]:
    """The visit, and colours that must be seen as they are."""
    whole = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", whole)
    driver.set_script_timeout(30)
    driver.get(f"{page.absolute().as_uri()}#video={video}")
    driver.execute_async_script(LOADED)
    colours = driver.execute_script(POINTER)
    told = Film(driver)
    told.go(*told.at, steps=1)
    told.play(1.5, 4.5)
    told.go(*driver.execute_script(LAST))
    told.picture(STILL_S)
    told.click()
    start_s = float(driver.execute_script("return document.getElementById('video').currentTime"))
    told.play(start_s, start_s + 1.5)
    least = float(driver.execute_script("const s = document.getElementById('score'); return s.value / s.max"))
    told.across("#score", least)
    for share in (0.4, 0.5, 0.6, 0.7):
        told.across("#score", share, steps=1)
        told.click()
        told.picture(0.3)
    told.picture(STILL_S)
    told.across("#classes .class input")
    told.click()
    told.picture(1.5 * STILL_S)
    return told, colours


def gif(pictures: Sequence[bytes], seconds: Sequence[float], colours: Sequence[str]) -> bytes:
    """All pictures in the colours of one palette, so that what stands still costs nothing."""
    from PIL import Image, ImageColor

    read = [Image.open(io.BytesIO(one)).convert("RGB") for one in pictures]
    height = round(WIDTH * read[0].height / read[0].width)
    small = [one.resize((WIDTH, height), Image.Resampling.LANCZOS) for one in read]
    some = small[:: max(1, len(small) // 8)]
    sheet = Image.new("RGB", (WIDTH, height * len(some)))
    for place, one in enumerate(some):
        sheet.paste(one, (0, place * height))
    usual = sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT).getpalette() or []
    given = [channel for colour in dict.fromkeys(colours) for channel in ImageColor.getrgb(colour)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(given + usual[: 3 * COLOURS])
    drawn = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in small]
    made = io.BytesIO()
    shown_ms = [round(1000 * each) for each in seconds]
    drawn[0].save(made, "GIF", save_all=True, append_images=drawn[1:], duration=shown_ms, loop=0, optimize=True)
    return made.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="index.html of detect.video")
    parser.add_argument("--video", required=True, help="its name in the page")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.gif")
    args = parser.parse_args()
    if not args.page.is_file():
        parser.error(f"{args.page}: no such file; detect.video --out {args.page.parent} VIDEO makes it")
    with tempfile.TemporaryDirectory() as downloads:
        try:
            with driven(Path(downloads), "--hide-scrollbars") as driver:
                told, colours = film(driver, args.page, args.video)
        except NoBrowserError as error:
            parser.error(f"{error}. A film of the page needs them")
    content = gif(told.pictures, told.seconds, colours)
    write_whole(args.out, content)
    print(f"{args.out}: {len(told.pictures)} pictures, {sum(told.seconds):.1f} s, {len(content) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
