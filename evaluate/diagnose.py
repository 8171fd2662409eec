"""Explain the errors of a run: what kinds they are, what removing each would gain, which actions are hard.

    python -m evaluate.diagnose --annotations demo/annotations.json --subset Test \\
        --runs rgb=demo/runs/seed0/rgb-only/detections.json decomposed=demo/runs/seed0/decomposed/detections.json \\
        --json diagnosis.json

Error kinds, sensitivity and misses are those of DETAD (Alwassel et al., ECCV 2018), averaged over the thresholds of
--tiou. With two or more runs, the last is compared with the first: classes by what they gain, and how often the two
agree. docs/diagnosis.md explains every number.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from evaluate.errors.compare import class_gains, confident_agreement
from evaluate.errors.diagnosis import agreement_sentence, diagnose, gain_table
from evaluate.files.annotation_files import truth_files
from evaluate.metrics.runs import add_run_arguments, judged_runs, parse_runs


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluate.diagnose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers here as well")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    check_outputs({"--json": args.json}, [*truth_files(args.annotations), *parse_runs(args.runs).values()])
    runs = judged_runs(args)
    found = {run.name: diagnose(run.score) for run in runs}
    content: dict[str, object] = {"runs": {name: each.to_json() for name, each in found.items()}}
    compared = ""
    if len(runs) > 1:
        first, last = runs[0], runs[-1]
        gains = class_gains(first.score.result, last.score.result)
        agreed, tiou = confident_agreement(first.score, last.score)
        table = gain_table(first.name, last.name, gains)
        compared = f"{table}\n\n{agreement_sentence(first.name, last.name, agreed, tiou)}"
        content["gains"] = [{**asdict(each), "gain": each.gain} for each in gains]
        content["agreement"] = {**asdict(agreed), "tiou": tiou, "runs": [first.name, last.name]}
    if args.json:
        write_json(args.json, content)
    for run in runs:
        for remark in run.score.remarks:
            print(f"note: {run.name}: {remark}", file=sys.stderr)
        print(f"{run.name}: average mAP {100 * run.score.result.average_mAP:.2f} %\n\n{found[run.name]}\n")
    if compared:
        print(compared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
