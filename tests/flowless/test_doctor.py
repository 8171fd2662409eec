"""Forty kinds of broken input: each is found under its own name, and the remedy is one that works for this user."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from broken_worlds import FPS, NAMES, STRIDE, WINDOW, World, seconds

from features.storage.grid import ClipGrid
from features.storage.store import Part, build_index, write_part
from flowless.doctor import main
from train.checks.examine import SPAN
from train.config import Sampling

Breaks = Callable[[World], None]


def findings(world: World) -> tuple[int, dict[str, dict]]:
    out = world.folder / "doctor.json"
    code = main([*world.write(), "--json", str(out)])
    return code, {one["kind"]: one for one in json.loads(out.read_text())["findings"]} if out.exists() else {}


def segments(world: World, change: Callable[[list[float]], list[float]]) -> None:
    for row in world.database.values():
        for one in row["annotations"]:
            one["segment"] = change(one["segment"])


def label(world: World, subset: str, old: str, new: str) -> None:
    for row in world.database.values():
        for one in row["annotations"]:
            if row["subset"] == subset and one["label"] == old:
                one["label"] = new


def each(world: World, **values: object) -> None:
    for row in world.database.values():
        row.update(values)


def array(world: World, change: Callable[[np.ndarray], np.ndarray], stream: str = "rgb", video: str = NAMES[3]) -> None:
    world.arrays[video, stream] = change(world.arrays[video, stream])


def attribute(world: World, video: str = NAMES[3], **values: object) -> None:
    for stream in world.streams:
        world.attributes[video, stream] |= values


def gone(world: World, video: str = NAMES[3], streams: tuple[str, ...] = ("rgb", "flow")) -> None:
    for stream in streams:
        del world.arrays[video, stream]


def hole(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[5, 2] = np.nan
    return values


def ends(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[12:] = 0
    return values


def swap(world: World, video: str = NAMES[3]) -> None:
    rgb, flow = world.arrays[video, "rgb"], world.arrays[video, "flow"]
    world.arrays[video, "rgb"], world.arrays[video, "flow"] = flow, rgb


def turn(world: World) -> None:
    world.arrays = {key: values.T.copy() for key, values in world.arrays.items()}


def as_videos(world: World, **other: tuple[float, int]) -> None:
    world.videos = {video: (row["duration"], 10) for video, row in list(world.database.items())[:3]}
    world.database = dict(list(world.database.items())[:3])
    world.database[NAMES[0]]["subset"] = "Test"
    world.arrays = {key: values for key, values in world.arrays.items() if key[0] in world.database}
    world.videos |= other


def missing_file(world: World) -> None:
    as_videos(world)
    assert world.videos is not None
    del world.videos[NAMES[1]]


def renamed_file(world: World) -> None:
    as_videos(world)
    assert world.videos is not None
    world.videos[f"v_{NAMES[1]}"] = world.videos.pop(NAMES[1])


def taught_on(world: World) -> None:
    """A backbone that has seen the labels of the first four videos, two of which are to be tested on."""
    for video in NAMES:
        attribute(world, video, labels_seen=video in NAMES[:4])


# name, place, how it is broken, the finding's kind, words of its remedy (or of what it says)
BROKEN: list[tuple[str, str, Breaks, str, str]] = [
    ("v_ before the ids", "extracted", lambda w: w.rename(lambda v: f"v_{v}"), "names-differ", "rename the videos in"),
    ("v_ before the files", "npy", lambda w: w.rename(lambda v: f"v_{v}"), "names-differ", "--npy .* --prefix v_"),
    (
        "v_ in an imported store",
        "imported",
        lambda w: w.rename(lambda v: f"v_{v}"),
        "names-differ",
        "features.importer --prefix v_ --features ANOTHER",
    ),
    ("upper case", "npy", lambda w: w.rename(str.upper), "names-differ", "--ignore-case"),
    ("a suffix", "npy", lambda w: w.rename(lambda v: f"{v}_i3d"), "names-differ", "--suffix _i3d"),
    ("a folder", "extracted", lambda w: w.rename(lambda v: f"set/{v}"), "names-differ", "path below --videos"),
    (
        "another data set",
        "extracted",
        lambda w: w.rename(lambda v: f"x{v[::-1]}x"),
        "no-video-in-common",
        "another data",
    ),
    ("a video without features", "extracted", gone, "features-missing", "Repeat the command .* --missing skip"),
    ("an .npy missing", "npy", gone, "features-missing", "Put their .npy files into .* --missing skip"),
    ("an import missing", "imported", gone, "features-missing", "Import their files as well"),
    ("a misspelt id", "extracted", lambda w: w.rename(lambda v: v.replace("03", "O3")), "features-missing", "may be"),
    ("no flow of a video", "extracted", lambda w: gone(w, streams=("flow",)), "stream-missing", "Make it, or .*skip"),
    (
        "cues of two lengths",
        "imported",
        lambda w: array(w, lambda x: x[:-1], "flow"),
        "cues-differ-in-length",
        "--trim",
    ),
    (
        "cues of two lengths, .npy",
        "npy",
        lambda w: array(w, lambda x: x[:-1], "flow"),
        "cues-differ-in-length",
        "features.importer --npy .* --trim",
    ),
    (
        "cues of two videos",
        "extracted",
        lambda w: w.attributes[NAMES[3], "flow"].update(video_sha256="other"),
        "cues-differ-in-origin",
        "Repeat the commands",
    ),
    ("two ways of making", "extracted", lambda w: attribute(w, feature_id="other"), "mixed-settings", "one set of"),
    (
        "one video twice",
        "extracted",
        lambda w: attribute(w, video_sha256=f"{NAMES[4]}-bytes"),
        "same-video-twice",
        "Keep",
    ),
    ("labels seen", "extracted", taught_on, "labels-seen", "extract.finetune --train-subset"),
    ("rate of an import", "imported", lambda w: each(w, fps=30.0), "fps-differs", "Import again"),
    ("several rates", "extracted", lambda w: attribute(w, fps=25.0), "rates-differ", "extract.rgb .*--fps"),
    ("no rate", "npy", lambda w: each(w, fps=None), "fps-unknown", "Write 'fps' into"),
    (
        "stride of an import",
        "imported",
        lambda w: each(w, duration=60.0),
        "features-end-elsewhere",
        "importer .*--stride",
    ),
    (
        "durations of another cut",
        "extracted",
        lambda w: w.database[NAMES[2]].update(duration=25.0),
        "duration-differs",
        "another cut",
    ),
    (
        "few steps",
        "extracted",
        lambda w: [array(w, lambda x: x[:4], s) for s in w.streams] and None,
        "few-steps",
        "stride",
    ),
    (
        "very short actions",
        "extracted",
        lambda w: segments(w, lambda s: [s[0], s[0] + 0.2]),
        "action-shorter-than-step",
        "smaller --stride",
    ),
    (
        "very long actions",
        "extracted",
        lambda w: w.options.extend(["--span", "5"]),
        "action-longer-than-span",
        "sampling.max_length",
    ),
    (
        "actions in frames",
        "extracted",
        lambda w: segments(w, lambda s: [s[0] * 10, s[1] * 10]),
        "segment-outside",
        "look like frames: divide by the frame rate .10",
    ),
    (
        "actions in milliseconds",
        "extracted",
        lambda w: segments(w, lambda s: [s[0] * 1e3, s[1] * 1e3]),
        "segment-outside",
        "milliseconds",
    ),
    (
        "a reversed action",
        "extracted",
        lambda w: w.database[NAMES[1]]["annotations"].append({"segment": [9.0, 8.0], "label": "run"}),
        "segment-reversed",
        "--repair",
    ),
    (
        "an empty action",
        "extracted",
        lambda w: w.database[NAMES[1]]["annotations"].append({"segment": [9.0, 9.0], "label": "run"}),
        "segment-empty",
        "--repair",
    ),
    (
        "an action twice",
        "extracted",
        lambda w: w.database[NAMES[1]]["annotations"].append({"segment": [1.0, 3.0], "label": "run"}),
        "segment-duplicate",
        "Correct",
    ),
    ("no action", "extracted", lambda w: each(w, annotations=[]), "no-actions", "Annotate"),
    (
        "a class only tested",
        "extracted",
        lambda w: label(w, "Test", "jump", "leap"),
        "class-never-learnt",
        "Split anew",
    ),
    ("a class only learnt", "extracted", lambda w: label(w, "Training", "jump", "leap"), "class-never-tested", "mAP"),
    (
        "a class written in two ways",
        "extracted",
        lambda w: label(w, "Test", "jump", "Jump"),
        "class-twins",
        "same label",
    ),
    (
        "a subset of another name",
        "extracted",
        lambda w: [r.update(subset="train") for r in w.database.values() if r["subset"] == "Training"] and None,
        "no-training-subset",
        "train.run --train-subset 'train'",
    ),
    ("one subset alone", "extracted", lambda w: each(w, subset="Training"), "no-test-subset", "--split"),
    ("NaN", "npy", lambda w: array(w, hole), "nan", "Repair the files they come from"),
    ("zero throughout", "extracted", lambda w: array(w, lambda x: 0 * x), "all-zero", "Extract these videos anew"),
    ("zero throughout, imported", "imported", lambda w: array(w, lambda x: 0 * x), "all-zero", "import them again"),
    ("the same at every step", "npy", lambda w: array(w, lambda x: 0 * x + x[:1]), "constant", "Repair the files"),
    ("padded with zeros", "imported", lambda w: array(w, ends), "zero-steps", "without their padding"),
    (
        "stretched",
        "imported",
        lambda w: array(w, lambda x: x[::2].repeat(2, 0)[: len(x)]),
        "steps-repeated",
        "own stride",
    ),
    (
        "features of another video",
        "npy",
        lambda w: array(w, lambda x: w.arrays[NAMES[4], "rgb"].copy()),
        "features-repeated",
        "wrong name",
    ),
    (
        "flow that is rgb",
        "imported",
        lambda w: array(w, lambda x: w.arrays[NAMES[3], "rgb"].copy(), "flow"),
        "cues-alike",
        "One was saved as the other",
    ),
    ("halves of one video swapped", "imported", swap, "halves-swapped", "--columns flow=0:1024,rgb=1024:2048"),
    (
        "files called after the other cue",
        "imported",
        lambda w: [w.attributes[v, "rgb"].update(imported_from=f"/data/flow/{v}.npy") for v in NAMES] and None,
        "named-other-cue",
        "--columns",
    ),
    (
        "another width",
        "extracted",
        lambda w: array(w, lambda x: x[:, :20]),
        "width-differs",
        "Extract these videos anew",
    ),
    ("axes turned, .npy", "npy", turn, "transposed", "features.importer --npy .* --layout DT"),
    ("axes turned, imported", "imported", turn, "width-differs", "--layout DT"),
    ("numbers too large", "extracted", lambda w: array(w, lambda x: 2e4 * x / x.max()), "huge", "pooled"),
    ("no .npy in the folder", "npy", lambda w: w.arrays.clear(), "no-features", ""),
    ("a video file missing", "extracted", missing_file, "video-missing", "Fetch them"),
    ("a video file of another name", "extracted", renamed_file, "video-names-differ", "Rename"),
    (
        "a video that lasts otherwise",
        "extracted",
        lambda w: as_videos(w, **{NAMES[1]: (3.0, 10)}),
        "video-duration-differs",
        "fetch those that were annotated",
    ),
    (
        "a video of another rate",
        "extracted",
        lambda w: as_videos(w, **{NAMES[1]: (seconds(31), 25)}),
        "video-fps-differs",
        "Correct 'fps'",
    ),
]


def test_there_are_forty_kinds_and_more() -> None:
    assert len({name for name, *_ in BROKEN}) == len(BROKEN) >= 40


@pytest.mark.parametrize(("place", "breaks", "kind", "remedy"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN])
def test_broken_input_is_found_with_the_remedy_for_this_user(
    tmp_path: Path, place: str, breaks: Breaks, kind: str, remedy: str
) -> None:
    world = World(tmp_path, place)
    if kind == "no-features":
        (tmp_path / "npy").mkdir()
    breaks(world)
    code, found = findings(world)
    assert kind in found, list(found)
    told = found[kind]
    assert re.search(remedy, f"{told['what']} {told['remedy']}"), told
    assert code == (0 if {one["severity"] for one in found.values()} == {"note"} else 3)
    if place != "extracted":
        assert "extract" not in told["remedy"].replace("extracted", ""), "nobody can extract imported features anew"


@pytest.mark.parametrize("place", ["extracted", "imported", "npy"])
def test_sound_data_has_no_finding(tmp_path: Path, place: str) -> None:
    world = World(tmp_path, place)
    if place == "extracted":
        as_videos(world)
        world.options = ["--all"]
        notes = {"class-rare"}
    else:
        notes = set()
    assert findings(world)[1].keys() <= notes
    assert main(world.write()) == 0


def test_only_videos_to_test_on_may_not_have_been_seen(tmp_path: Path) -> None:
    world = World(tmp_path)
    taught_on(world)
    assert findings(world)[1]["labels-seen"]["videos"] == [NAMES[0], NAMES[3]]
    for video in NAMES:
        attribute(world, video, labels_seen=world.database[video]["subset"] == "Training")
    assert "labels-seen" not in findings(world)[1]


def test_the_usual_span_is_that_of_training() -> None:
    assert Sampling().max_length == SPAN


def test_what_is_not_there_could_not_begin(tmp_path: Path) -> None:
    arguments = World(tmp_path).write()
    assert main(["--features", str(tmp_path / "none.h5"), *arguments[2:]]) == 2
    assert main([*arguments[:2], "--annotations", str(tmp_path / "none.json")]) == 2
    assert main([*arguments, "--json", str(tmp_path / "annotations.json")]) == 2


def test_a_missing_part_is_found_where_arrays_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = World(tmp_path).write()
    (tmp_path / "store.parts" / "rgb" / f"{NAMES[2]}.h5").unlink()
    assert main(arguments) == 3
    assert "unreadable" in capsys.readouterr().out


@pytest.mark.slow
def test_ten_thousand_videos_take_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command.writing._sync", lambda path: None)  # ten thousand waits for the disk
    database = {}
    values = np.random.default_rng(0).random((40, 8), np.float32)
    store = tmp_path / "large.h5"
    times = ClipGrid.regular(40, FPS, WINDOW, STRIDE).t_center
    for i in range(10_000):
        video = f"clip{i:05d}"
        attributes = {
            "fingerprint": str(i), "feature_id": "a", "window": WINDOW, "stride": STRIDE, "fps": FPS,
            "duration_s": seconds(40), "video_sha256": str(i), "geometry": "g",
        }  # fmt: skip
        write_part(store, Part(video, "rgb", {"features": values + i % 7, "t_center": times}, attributes))
        row = {"label": "run", "segment": [1.0, 2.0 + i % 3]}
        database[video if i % 10 else f"v_{video}"] = {
            "subset": ("Training", "Test")[i % 2], "duration": seconds(40), "fps": FPS, "annotations": [row],
        }  # fmt: skip
    build_index(store)
    (tmp_path / "a.json").write_text(json.dumps({"database": database}))
    began = time.process_time()
    assert main(["--features", str(store), "--annotations", str(tmp_path / "a.json")]) == 3
    assert time.process_time() - began < 10


def test_the_sample_is_said_and_all_reads_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = World(tmp_path, "imported").write()
    assert main([*arguments, "--all"]) == 0
    assert f"arrays of {len(NAMES)} of {len(NAMES)} read" in capsys.readouterr().out
