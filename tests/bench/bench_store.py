"""Speed of the feature store: parts written and read against plain .npy files, and the index of a large store.

    python tests/bench/bench_store.py

THUMOS-sized parts (2304 x 1024 float16, 4.7 MB), interleaved, median of several. .npy files written the same safe way
(temporary file, sync, rename) are the yardstick: they can do nothing that a store is for, but nothing is faster.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import features
from command import writing
from command.writing import whole_file
from features.storage.index import build_index
from features.storage.store import Part, fingerprint, write_part

REPEATS = 7
VIDEOS = 1000


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def make_part(video: str, stream: str, array: np.ndarray) -> Part:
    arrays = {"features": array, "t_center": np.arange(len(array), dtype=np.float64)}
    attributes = {
        "fingerprint": fingerprint({"v": video}),
        "feature_id": stream,
        "fps": 30.0,
        "stride": 4,
        "window": 16,
    }
    return Part(video, stream, arrays, attributes)


def write_npy(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def large_parts(folder: Path) -> dict[str, float]:
    array = np.random.default_rng(0).standard_normal((2304, 1024)).astype(np.float16)
    store = folder / "large.h5"
    names = ("write_part", "write_npy", "first_read", "read", "read_unverified", "read_npy", "first_window", "window")
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(REPEATS):
        video = f"v{repeat}"
        times["write_part"].append(timed(lambda: write_part(store, make_part(video, "rgb", array))))  # noqa: B023
        times["write_npy"].append(timed(lambda: write_npy(folder / f"{video}.npy", array)))  # noqa: B023
    opened, trusting = features.open(build_index(store)), features.open(store, verify=False)
    for repeat in range(REPEATS):
        video = f"v{repeat}"
        others = features.open(store)  # which has verified nothing yet
        times["first_window"].append(timed(lambda: others.read(video, "rgb", 512, 768)))  # noqa: B023
        times["first_read"].append(timed(lambda: opened.read(video, "rgb")))  # noqa: B023
        times["read"].append(timed(lambda: opened.read(video, "rgb", 0, 2304)))  # noqa: B023
        trusting.attributes(video, "rgb")
        times["read_unverified"].append(timed(lambda: trusting.read(video, "rgb")))  # noqa: B023
        times["read_npy"].append(timed(lambda: np.load(folder / f"{video}.npy")))  # noqa: B023
        times["window"].append(timed(lambda: opened.read(video, "rgb", 512, 768)))  # noqa: B023
    return {name: statistics.median(values) for name, values in times.items()}


def large_index(folder: Path) -> dict[str, float]:
    store = folder / "many.h5"
    writing._sync = lambda path: None  # thousands of waits for the disk, and not what is measured here
    array = np.ones((8, 16), np.float16)
    for number in range(VIDEOS):
        for stream in ("rgb", "flow"):
            write_part(store, make_part(f"video_{number:05d}", stream, array))
    build = timed(lambda: build_index(store))
    opening = [timed(lambda: features.open(store)) for _ in range(REPEATS)]
    opened = features.open(store)
    check = timed(lambda: opened.check(opened.videos, ["rgb", "flow"]))
    reading = [timed(lambda: opened.read(video, "rgb")) for video in opened.videos[:50]]  # noqa: B023
    return {
        "index_build_s": build,
        "index_open_ms": 1e3 * statistics.median(opening),
        "check_ms": 1e3 * check,
        "small_read_ms": 1e3 * statistics.median(reading),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = large_parts(folder)
        result = {
            "bench": "store",
            "ratio": round(times["write_npy"] / times["write_part"], 3),
            "bar": 0.25,
            "span_ratio": round(times["read"] / times["read_npy"], 2),
            "span_bar": 2.0,
            "part_megabytes": 4.7,
            **{f"{key}_ms": round(1e3 * value, 2) for key, value in times.items()},
            "videos": VIDEOS,
            **{key: round(value, 2) for key, value in large_index(folder).items()},
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
