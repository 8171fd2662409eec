"""Jobs of a shell that take a moment, and a process that runs them: quick_jobs.py FOLDER WORKERS [I N].

Each job writes one or two files, whole; it complains in `twice` if the files it is to make are there already, and notes
when it began and ended. Some go on where they stopped, by a file of how far they came, as a training does.
"""

import sys
from pathlib import Path

from flowless.graph.job import Graph, Job, Step
from flowless.graph.ledger import Ledger
from flowless.graph.runner import Runner

SEEDS, METHODS = (0, 1), ("motion", "rgb", "both", "direct", "decomposed")
ONCE = """
echo "began $1" >> times
if [ -e "$2" ] && [ -e "$3" ]; then echo "$1" >> twice; fi
sleep {sleep}
echo "$1" > "$2.$$"; mv "$2.$$" "$2"
echo 1 > "$3.$$"; mv "$3.$$" "$3"
echo "ended $1" >> times
"""
GOES_ON = """
echo "began $1" >> times
if [ -e "$2" ]; then echo "left alone $1" >> times; exit 0; fi
for n in 1 2 3 4; do
  if [ ! -e "$2.part$n" ]; then sleep {sleep}; echo "$1 $n" >> epochs; echo . > "$2.part$n"; fi
done
echo "$1" > "$2.$$"; mv "$2.$$" "$2"
echo "ended $1" >> times
"""


def quick_graph(root: Path, sleep: float = 0.01, shards: int = 1) -> Graph:
    """Features, then five methods with two seeds, each a training that goes on, and a scoring that does not."""
    scripts = root / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    once, goes_on = scripts / "once.sh", scripts / "goes_on.sh"
    if not once.exists():
        goes_on.write_text(GOES_ON.format(sleep=sleep))
        once.write_text(ONCE.format(sleep=sleep, reads="*.trained"))
    features = Step(
        (str(once), "features", "features.one", "features.two"), (root / "features.one", root / "features.two")
    )
    jobs = [Job("features", (features,))]
    for seed in SEEDS:
        for number, method in enumerate(METHODS):
            name = f"{method}-{seed}"
            trained = root / f"{name}.trained"
            train = Step((str(goes_on), name, trained.name), (trained,), resumes=True, keeps=True)
            found, scores = root / f"{name}.found", root / f"{name}.json"
            score = Step((str(once), f"{name} scores", found.name, scores.name), (found, scores), watches=(trained,))
            needs = ("features", *([f"motion-{seed}"] if number > 2 else []))
            jobs.append(Job(name, (train, score), needs, shard=(number + seed) % shards))
    return Graph.of(jobs)


def main(root: Path, workers: int, shard: int = 0, shards: int = 1, sleep: float = 0.01) -> int:
    import os

    os.chdir(root)
    runner = Runner(Ledger(quick_graph(root, sleep, shards), root / "jobs"), workers, shard, prefix=("/bin/sh",))
    runner.run()
    return 3 if {"failed", "blocked"} & set(runner.state.values()) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
