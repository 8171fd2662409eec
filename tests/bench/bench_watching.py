"""How fluid the page to watch videos is: an hour of video with 2,000 detections, in headless Chromium.

python tests/bench/bench_watching.py
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "evaluate")]

from browsing import browser, write_brightening  # noqa: E402

from evaluate.watching.page import Film, Track, watch_page  # noqa: E402

TIMED = """
const done = arguments[arguments.length - 1];
const slider = document.getElementById("score"), times = [];
let i = 0;
(function once() {
  if (i === 60) { done(times); return; }
  slider.value = i++ / 100;
  const start = performance.now();
  slider.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => { times.push(performance.now() - start); setTimeout(once, 20); });
})();
"""  # from a move of the slider to the picture drawn
PLAYED = """
const done = arguments[arguments.length - 1], video = document.getElementById("video"), gaps = [];
video.play();
let last = performance.now();
requestAnimationFrame(function next(now) {
  gaps.push(now - last);
  last = now;
  if (gaps.length < 240) requestAnimationFrame(next); else done(gaps.slice(1));
});
"""  # between two pictures while the video plays


def main() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 3590, 2000)
    labels = [f"class {i}" for i in rng.integers(0, 20, 2000)]
    found = Track("detected", np.c_[starts, starts + rng.uniform(1, 9, 2000)], labels, rng.uniform(0, 1, 2000))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_brightening(folder / "v.webm", 10)
        page = folder / "index.html"
        page.write_text(watch_page([Film("hour", 3600.0, [found], ["v.webm"])], 0.0))
        with browser(folder / "downloads") as driver:
            start = time.monotonic()
            driver.get(page.as_uri())
            opened_s = time.monotonic() - start
            driver.set_script_timeout(120)
            slid = driver.execute_async_script(TIMED)
            played = driver.execute_async_script(PLAYED)
            line = {
                "claim": "the page of an hour of video with 2,000 detections is fluid",
                "page_bytes": page.stat().st_size,
                "opened_s": round(opened_s, 2),
                "slider_ms_median": round(float(np.median(slid)), 1),
                "slider_ms_p95": round(float(np.percentile(slid, 95)), 1),
                "frame_ms_median_while_playing": round(float(np.median(played)), 1),
                "frame_ms_p95_while_playing": round(float(np.percentile(played, 95)), 1),
            }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
