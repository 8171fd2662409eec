"""Commands that only pretend: quick_commands.py MODULE ARGUMENTS writes what the command would write, at once.

Called as the prefix of jobs in place of `python -m`. FAKED=FOLDER tells where to note what was called; `train.run` of a
run whose folder is named in FAKED/broken fails. It imports nothing of the project, so that it starts at once.
"""

import json
import os
import sys
import time
import zlib
from pathlib import Path


def main(module: str, *words: str) -> int:
    given = dict(zip(words, [*words[1:], ""], strict=True))
    folder = Path(os.environ["FAKED"])
    with (folder / "called").open("a") as log:
        log.write(f"{module} {given.get('--out') or given.get('--features')}\n")
    time.sleep(float(os.environ.get("FAKED_S", "0")))
    out = Path(given.get("--json") or given.get("--out") or given["--features"])
    if module == "train.run":
        broken = folder / "broken"
        if broken.exists() and out.name in broken.read_text().split():
            print(f"TrainingError: {out.name} cannot be trained", file=sys.stderr)
            return 2
        out = out / "detector.pt"
    if module.startswith(("extract", "flow")) and out.exists():  # a store, to which nothing is to be added
        return 0
    score = round(0.2 + 0.5 * zlib.crc32(str(out.parent).encode()) / 2**32, 6)
    content = {"average_mAP": score, "results": {}} if out.suffix == ".json" else "made"
    temporary = out.with_name(f"{out.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content) if out.suffix == ".json" else f"made {out}")
    temporary.replace(out)
    if module == "detect.run":
        out.with_suffix(".report.json").write_text("{}")
    if "--timeline" in given:
        Path(given["--timeline"]).write_text("png")
    print(f"{module} says {score}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
