"""Two workers against one: jobs of a comparison side by side, jobs that sleep and jobs that compute.

The graph is that of `flowless.compare` with three seeds: motion-only, rgb-only and two-stream, then direct and
decomposed, which wait for motion-only. Each job sleeps for half a second, or computes as long. Jobs that
compute say something on a machine with two free cores only; the load is told.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from flowless.graph.job import Graph, Job, Step
from flowless.graph.ledger import Ledger
from flowless.graph.runner import Runner

SLEEPS = "import sys, time; time.sleep({seconds}); open(sys.argv[1], 'w').write('x')"
COMPUTES = "import sys\nfor n in range({loops}): pass\nopen(sys.argv[1], 'w').write('x')"
LOOPS = 12_000_000  # about half a second
SECONDS = 0.5
SEEDS = 3


def graph(folder: Path, script: str) -> Graph:
    """Fifteen jobs."""
    jobs = []
    for taught, names in ((False, ("motion", "rgb", "both")), (True, ("direct", "decomposed"))):
        for seed in range(SEEDS):
            for name in names:
                out = folder / f"{name}{seed}"
                step = Step(("-S", "-c", script, str(out)), (out,))
                jobs.append(Job(f"{name}{seed}", (step,), (f"motion{seed}",) if taught else ()))
    return Graph.of(jobs)


def measure(script: str, workers: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runner = Runner(Ledger(graph(folder, script), folder / "jobs"), workers, prefix=(sys.executable,))
        began = time.perf_counter()
        runner.run()
        assert set(runner.state.values()) == {"done"}
        return time.perf_counter() - began


def main() -> None:
    told: dict[str, object] = {"bench": "compare", "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for kind, script in (("sleeping", SLEEPS.format(seconds=SECONDS)), ("computing", COMPUTES.format(loops=LOOPS))):
        seconds = {workers: measure(script, workers) for workers in (1, 2)}
        told[kind] = {"one_s": round(seconds[1], 2), "two_s": round(seconds[2], 2),
                      "ratio": round(seconds[1] / seconds[2], 2)}  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
