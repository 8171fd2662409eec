"""The report: one file that loads nothing, numbers that agree with each other, a page a browser can show and print."""

import json
import os
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from evaluate import report as command
from evaluate.files.annotations import read_annotations
from evaluate.files.detections import make_detections
from evaluate.metrics.curves import RECALL, class_curves
from evaluate.metrics.runs import JudgedRun
from evaluate.metrics.scores import judge
from evaluate.reporting.findings import find, roles_of, share_of_gap
from evaluate.reporting.svg import spread, tag, text_width
from evaluate.reporting.timeline_svg import tick_step

CLASSES = ("jump", "run", "throw & catch")


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """Annotations of 12 videos, and four runs that find a third, a half, two thirds and all of the actions."""
    database, results = {}, {name: {} for name in ("rgb", "direct", "decomposed", "two-stream")}
    for v in range(12):
        actions = [(CLASSES[(v + k) % 3], 10.0 + 20 * k, 16.0 + 20 * k + v / 4) for k in range(3)]
        database[f"v{v:02}"] = {
            "subset": "Test",
            "duration": 80.0,
            "annotations": [{"label": label, "segment": [start, end]} for label, start, end in actions],
        }
        for step, rows in enumerate(results.values()):
            found = [
                {"label": label, "score": 0.9 - 0.05 * k - 0.01 * v, "segment": [start + 0.3, end]}
                for k, (label, start, end) in enumerate(actions)
                if (v + k) % 6 < (2, 3, 4, 6)[step]
            ]
            rows[f"v{v:02}"] = [*found, {"label": "jump", "score": 0.2, "segment": [70.0, 78.0]}]
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    for name, rows in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": rows}))
    return {path.stem: str(path) for path in tmp_path.glob("*.json")}


def arguments(world: dict[str, str], *names: str) -> list[str]:
    names = names or ("rgb", "direct", "decomposed", "two-stream")
    runs = [f"{name}={world[name]}" for name in names]
    return ["--annotations", world["annotations"], "--subset", "Test", "--runs", *runs, "--resamples", "50"]


class Checker(HTMLParser):
    """Every element closed in order; everything that could be fetched collected."""

    EMPTY = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for key, value in attrs if key in ("src", "href", "data", "xlink:href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_is_whole_and_loads_nothing(world: dict[str, str], tmp_path: Path):
    out = tmp_path / "report.html"
    assert command.main([*arguments(world), "--out", str(out)]) == 0
    page = out.read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.fetched == []
    assert not {"script", "link", "img", "iframe", "object"} & set(checker.tags)
    assert "url(" not in page and "@import" not in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "throw &amp; catch" in page and "throw & catch" not in page
    assert "nan" not in re.sub("<style>.*?</style>", "", page, flags=re.S).lower().replace("finance", "")
    for title in ("Scores", "Curves", "Which classes gain", "What goes wrong", "Which actions are hard", "Timelines"):
        assert f"<h2>{title}</h2>" in page


def test_table_page_and_json_tell_the_same_numbers(world: dict[str, str], tmp_path: Path, capsys):
    out, numbers = tmp_path / "report.html", tmp_path / "report.json"
    assert command.main([*arguments(world), "--out", str(out), "--json", str(numbers), "--table"]) == 0
    found = json.loads(numbers.read_text())
    printed = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    page = out.read_text()
    for name, run in found["runs"].items():
        average = f"{100 * run['average_mAP']:.2f}"
        assert printed[name][6] == average
        assert f"<td>{average}</td>" in page or f'<td class="best">{average}</td>' in page
        assert printed[name][1:6] == [f"{100 * value:.2f}" for value in run["mAP"]]
        assert run["interval"]["low"] <= run["average_mAP"] <= run["interval"]["high"]
    assert printed["rgb"][-2:] == ["0", "%"] and printed["two-stream"][-2:] == ["100", "%"]
    low, high = found["runs"]["rgb"]["average_mAP"], found["runs"]["two-stream"]["average_mAP"]
    closed = (found["runs"]["decomposed"]["average_mAP"] - low) / (high - low)
    assert 0 < closed < 1
    assert found["runs"]["decomposed"]["gap_closed"] == pytest.approx(closed)
    assert printed["decomposed"][-2] == f"{100 * closed:.0f}"
    assert found["gains_of"] == "decomposed"
    assert [each["gain"] for each in found["gains"]] == sorted((each["gain"] for each in found["gains"]), reverse=True)


def test_one_run_alone_makes_a_report_without_comparisons(world: dict[str, str], tmp_path: Path, capsys):
    out = tmp_path / "report.html"
    assert command.main([*arguments(world, "decomposed"), "--tiou", "0.5", "--out", str(out), "--table"]) == 0
    page = out.read_text()
    assert "<h2>Agreement</h2>" not in page and "<h2>Which classes gain</h2>" not in page
    assert "gap closed" not in page + capsys.readouterr().out
    assert "mAP in % over tIoU" not in page  # a curve needs two points


def test_many_classes_and_thresholds_still_make_a_page(tmp_path: Path):
    """60 classes at ten thresholds: no small curves, the ends of the gains, three columns of the ten."""
    labels = [f"class {i:02}" for i in range(60)]
    rows = {f"v{i}": {"label": label, "segment": [5, 15]} for i, label in enumerate(labels)}
    truth = {v: {"subset": "validation", "duration": 30, "annotations": [row]} for v, row in rows.items()}
    (tmp_path / "truth.json").write_text(json.dumps({"database": truth}))
    for name, keep in (("a", 30), ("b", 60)):
        found = {v: [{**row, "score": 0.5}] for v, row in list(rows.items())[:keep]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": found}))
    out = tmp_path / "report.html"
    judged = ["--annotations", str(tmp_path / "truth.json"), "--tiou", "0.5:0.05:0.95", "--resamples", "0"]
    runs = ["--runs", f"a={tmp_path / 'a.json'}", f"b={tmp_path / 'b.json'}"]
    assert command.main([*judged, *runs, "--out", str(out)]) == 0
    page = out.read_text()
    assert "12 classes in between are left out" in page
    assert re.search(r"<th>0.5</th><th>0.75</th><th>0.95</th><th>average</th>", page)
    assert "The same for each class" not in page


def test_cost_and_timeline_are_part_of_it(world: dict[str, str], tmp_path: Path, capsys):
    record = {"duration_s": 60.0, "frames": 1800, "peak_memory_bytes": 2**20}
    reports = []
    for name, seconds in (
        ("extract.rgb", {"decode": 1.0, "rgb_network": 2.0}),
        ("flow.tvl1", {"decode": 1.0, "flow": 30.0}),
        ("extract.motion.flow", {"flow_network": 2.0}),
        ("detect.run", {"detector": 1.0}),
    ):
        content = {"schema": "flowless/report/1", "command": name, "machine": {"processor": "Abacus", "cores": 1}}
        reports.append(tmp_path / f"{name}.report")
        reports[-1].write_text(json.dumps({**content, "videos": {"v00": {**record, "seconds": seconds}}}))
    out, picture = tmp_path / "report.html", tmp_path / "timeline.png"
    shown = ["--timeline", str(picture), "--timeline-videos", "v03", "v05", "--table"]
    assert command.main([*arguments(world), "--cost", *map(str, reports), "--out", str(out), *shown]) == 0
    assert re.search(r"times RGB-only +1\.0 +9\.0", capsys.readouterr().out)
    page = out.read_text()
    assert "<h2>Cost</h2>" in page and "36.00" in page and "Abacus" in page
    assert page.count("truth and detections of v0") == 2
    assert image.imread(picture).shape[1] > 1000


def test_timelines_link_to_a_page_that_plays_their_videos(world: dict[str, str], tmp_path: Path, capsys):
    for name in ("deep/v03.mp4", "v_v05.webm", "v03.npy"):  # a folder above, a prefix, features of the same name
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    out = tmp_path / "report.html"
    shown = ["--timeline-videos", "v03", "v05", "v07", "--videos", str(tmp_path / "videos")]
    assert command.main([*arguments(world), "--out", str(out), *shown]) == 0
    assert "--videos: no file of v07;" in capsys.readouterr().err
    links = re.findall(r'<a href="(.+?)">Watch (.+?)</a>', out.read_text())
    assert links == [(f"report.videos.html#video={video}", video) for video in ("v03", "v05")]
    page = (tmp_path / "report.videos.html").read_text()
    films = [json.loads(text) for text in re.findall(r'id="film-\d">(.*?)</script>', page)]
    assert [film["sources"] for film in films] == [["videos/deep/v03.mp4"], ["videos/v_v05.webm"]]
    for film in films:
        assert [t["name"] for t in film["tracks"]] == ["truth", "rgb", "direct", "decomposed", "two-stream"]
        of_run = json.loads(Path(world["rgb"]).read_text())["results"][film["name"]]
        assert sorted(film["tracks"][1]["score"]) == sorted(row["score"] for row in of_run)  # all, not only the likely
    assert command.main([*arguments(world), "--out", str(out), "--videos", str(tmp_path / "gone")]) == 2
    assert "gone: No such file" in capsys.readouterr().err


def test_errors_name_what_is_wrong(world: dict[str, str], tmp_path: Path, capsys):
    assert command.main([*arguments(world), "--ceiling", "oracle", "--out", str(tmp_path / "r.html")]) == 2
    assert "--ceiling oracle: no run of this name; there are rgb, direct, decomposed" in capsys.readouterr().err
    assert command.main([*arguments(world), "--timeline-videos", "v99", "--timeline", str(tmp_path / "t.png")]) == 2
    assert "no video 'v99' in this subset" in capsys.readouterr().err
    assert command.main([*arguments(world), "--cost", "nowhere.json"]) == 2
    assert "CostError: nowhere.json: no such file" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists() and not (tmp_path / "t.png").exists()


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (("rgb", "direct", "decomposed", "two_stream"), ("rgb", "decomposed", "two_stream")),
        (("two-stream", "RGB-only", "mine"), ("RGB-only", "mine", "two-stream")),
        (("a", "b"), ("a", "b", None)),
        (("rgb,flow", "rgb"), ("rgb", "rgb,flow", "rgb,flow")),
        (("alone",), ("alone", None, None)),
    ],
)
def test_names_tell_the_roles(names: tuple[str, ...], roles: tuple[str | None, ...]):
    found = roles_of(names)
    assert (found.baseline, found.subject, found.ceiling) == roles


def test_a_run_below_the_baseline_closes_less_than_nothing(world: dict[str, str]):
    truth = read_annotations(world["annotations"])
    nothing = judge(truth, make_detections([("v00", "jump", 70, 75, 0.5)]), subset="Test", tiou="0.5")
    some = judge(truth, make_detections([("v00", "jump", 10, 16, 0.5)]), subset="Test", tiou="0.5")
    runs = [JudgedRun("rgb", some), JudgedRun("worse", nothing), JudgedRun("two-stream", some)]
    assert find(runs, roles_of([run.name for run in runs]), resamples=0).gap_closed("worse") is None  # no gap at all
    assert share_of_gap(0.50, 0.509, 0.48) is None and share_of_gap(0.50, 0.52, 0.51) == pytest.approx(0.5)
    runs = [JudgedRun("rgb", nothing), JudgedRun("decomposed", nothing), JudgedRun("two-stream", some)]
    assert find(runs, roles_of([run.name for run in runs]), resamples=0).gap_closed("decomposed") == 0


def test_the_area_under_a_curve_is_the_ap(world: dict[str, str]):
    truth = read_annotations(world["annotations"])
    run = make_detections([("v00", "jump", 70, 75, 0.9), *[(f"v{v:02}", "jump", 10, 17, 0.5) for v in range(12)]])
    score = judge(truth, run, subset="Test", tiou="0.5")
    curve = class_curves(score.matches, 0)["jump"]
    assert np.trapezoid(curve, RECALL) == pytest.approx(score.result.per_class["jump"][0], abs=0.01)
    assert curve[-1] == 0  # not every jump is found


def test_labels_at_the_ends_of_lines_never_overlap():
    placed = spread([100, 101, 102, 40], 14, 10, 110)
    gaps = np.diff(sorted(placed))
    assert gaps.min() >= 14 - 1e-9 and max(placed) <= 110
    assert placed[0] < placed[1] < placed[2] and placed[3] == 40


def test_ticks_are_round_and_few():
    assert [tick_step(d) for d in (3.0, 12.0, 60.0, 130.0, 1673.0)] == [0.5, 1, 5, 20, 200]


def test_markup_is_escaped_and_text_is_measured():
    assert tag("text", x=1.50, font_size=11, fill=None, title='a"<b') == (
        '<text x="1.5" font-size="11" title="a&quot;&lt;b"/>'
    )
    assert text_width("mm") > text_width("ii")


# --- in a browser --------------------------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--no-pdf-header-footer",
)  # fmt: skip


def browse(page: Path, profile: Path, *options: str, made: Path) -> None:
    """Let a headless browser open the page and write `made`; skips where there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no chromium on this machine: the page is not looked at in a browser")
    started = [browser, *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    with subprocess.Popen(
        started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as child:
        try:
            child.wait(timeout=90)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
    for _ in range(20):
        if made.exists() and made.stat().st_size:
            return
        time.sleep(0.25)
    pytest.fail(f"{browser} did not write {made.name}")


def test_a_browser_shows_the_page_within_its_width(world: dict[str, str], tmp_path: Path):
    """On 960 pixels the margins stay white: nothing sticks out, and colour is drawn between them."""
    out, shot = tmp_path / "report.html", tmp_path / "shot.png"
    assert command.main([*arguments(world), "--out", str(out)]) == 0
    browse(out, tmp_path / "profile", "--window-size=960,3000", f"--screenshot={shot}", made=shot)
    pixels = (image.imread(shot)[..., :3] * 255).round().astype(int)
    assert pixels.shape[1] == 960
    assert (pixels[:, :30] == 255).all() and (pixels[:, -30:] == 255).all()
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):  # three runs, three colours
        assert (np.abs(pixels - np.array(colour)).max(axis=2) <= 2).sum() > 200


def test_a_browser_prints_the_page_on_a_few_sheets(world: dict[str, str], tmp_path: Path):
    out, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    assert command.main([*arguments(world), "--out", str(out)]) == 0
    browse(out, tmp_path / "profile", f"--print-to-pdf={paper}", made=paper)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", content)) <= 8
