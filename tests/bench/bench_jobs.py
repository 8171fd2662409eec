"""What the machinery around a job costs: jobs that do nothing, in a child process, against plain calls.

    python tests/bench/bench_jobs.py

The bar is on the price of a job, start included: 10 ms, a thousandth of the time of a short video.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "features"))

from features.running import jobs
from features.running.jobs import Job

COUNT = 500  # the start of the first child is shared by all of them


def seconds_of(count: int, folder: Path, engine: str, workers: int) -> float:
    work = [Job(f"v{number}", "taskbench:add", {"a": number, "b": 1}, 1) for number in range(count)]
    began = time.perf_counter()
    report = jobs.run(work, command="bench", report_path=folder / f"{engine}.json", engine=engine, workers=workers)
    assert report.done == count
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = {engine: seconds_of(1, folder, engine, 2) for engine in ("serial", "loky")}
        many = {engine: seconds_of(COUNT, folder, engine, 2) for engine in ("serial", "loky")}
    each_ms = {engine: 1e3 * many[engine] / COUNT for engine in many}
    bar_ms = 10.0
    result = {
        "bench": "jobs",
        "ratio": round(bar_ms / each_ms["serial"], 2),
        "bar": 1.0,
        **{f"{engine}_start_s": round(value, 2) for engine, value in start.items()},
        **{f"{engine}_ms_per_job": round(value, 2) for engine, value in each_ms.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
