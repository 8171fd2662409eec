"""Judge detections against annotations: mean average precision, by the rules of the official evaluators.

    python -m evaluate.run --annotations demo/annotations.json --subset Test \\
        --detections demo/runs/seed0/decomposed/detections.json --tiou 0.3:0.1:0.7 --json metrics.json
    python -m evaluate.run --annotations demo/annotations.json --subset Test \\
        --detections demo/runs/seed0/rgb-only/detections.json --compare demo/runs/seed0/decomposed/detections.json

Prints a table in percent and, with --json, writes the same numbers as fractions: `tiou`, `mAP` (one per tIoU),
`average_mAP`, `per_class` (label -> AP per tIoU), with protocol, rule, counts and remarks. Whatever a reader must
know beside the numbers goes to stderr as "note:". Detections of other codebases (pickle, csv, text) are read by
the ending of their name. See docs/evaluation.md for protocols and rules.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from evaluate.files.annotation_files import read_ambiguous, read_class_ids, read_classes, truth_files
from evaluate.files.annotations import REPAIRS, Annotations, read_annotations
from evaluate.files.class_ids import ClassIds
from evaluate.files.formats import detections_for
from evaluate.metrics.protocols import PROTOCOLS, ProtocolError
from evaluate.metrics.recall import average_recall
from evaluate.metrics.rules import RULES
from evaluate.metrics.runs import add_class_ids
from evaluate.metrics.scores import Score, judge
from evaluate.metrics.significance import bootstrap, compare


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluate.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--detections", type=Path, required=True, help="what the detector said: .json, .pkl, .csv or .txt")
    add("--annotations", type=Path, required=True, help="the truth: annotation JSON, or folder of THUMOS text files")
    add("--subset", help="which videos (default: the protocol's, or the only one there is)")
    add("--tiou", help="thresholds: 0.3:0.1:0.7, or 0.5,0.75 (default: the protocol's)")
    add("--json", type=Path, metavar="OUT", help="write the numbers here as well")
    add("--per-class", action="store_true", help="a row for each class, however many there are")
    group = parser.add_argument_group("how to judge")
    add = group.add_argument
    add("--protocol", choices=PROTOCOLS, help="which videos and thresholds (default: recognised by the class names)")
    add("--rule", choices=RULES, default="activitynet", help="whose evaluator (default: %(default)s)")
    add("--ambiguous", type=Path, metavar="FILE", help="THUMOS'14's Ambiguous intervals, .json or .txt "
        "(default: NAME_ambiguous.json beside NAME.json, for the rules that ask for them)")  # fmt: skip
    add("--ignore-ambiguous", action="store_true", help="misses on Ambiguous are not false, under any rule")
    add("--unknown-videos", choices=("false", "ignore"), default="false",
        help="detections outside the subset (default: %(default)s, as in the official evaluators)")  # fmt: skip
    group = parser.add_argument_group("what to let through")
    add = group.add_argument
    add("--lenient", dest="degenerate", action="store_const", const="drop", default="refuse",
        help="drop NaN scores and reversed segments, and say how many")  # fmt: skip
    add("--keep-degenerate", dest="degenerate", action="store_const", const="keep",
        help="judge them as the official evaluators do, where some count as hits")  # fmt: skip
    add_class_ids(group)
    add("--strict", action="store_true", help="refuse videos without detections, and detections without annotation")
    add("--classes", type=Path, help="class list that all labels must come from (default: the annotations' own)")
    add("--repair", choices=REPAIRS, help="what to do with truth that is empty, reversed or outside its video "
        "(default: refuse it, but keep what a published data set is known for)")  # fmt: skip
    group = parser.add_argument_group("more numbers")
    add = group.add_argument
    add("--recall", metavar="N,N", help="average recall of the N best detections of each video, such as 10,50,100")
    add("--bootstrap", action="store_true", help="interval of the average mAP over resampled test videos")
    add("--compare", type=Path, metavar="OTHER", help="is this detection file better, or lucky? paired bootstrap")
    add("--resamples", type=int, default=1000, help="bootstrap resamples of the test videos (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    ambiguous = args.ambiguous or ambiguous_beside(args)
    read = [args.detections, args.compare, args.classes, ambiguous, *truth_files(args.annotations)]
    check_outputs({"--json": args.json}, read)
    annotations = read_annotations(
        args.annotations,
        read_classes(args.classes) if args.classes else None,
        strict=args.repair is None,
        repair=args.repair or "keep",
    )
    if ids := read_class_ids(args.classes) if args.classes else {}:
        annotations = replace(annotations, ids=ClassIds(ids, source=f"id in {args.classes}"))
    if ambiguous:
        annotations = replace(annotations, ambiguous=read_ambiguous(ambiguous))
    score = score_of(args, args.detections, annotations)
    more = further_numbers(args, score, annotations)
    if args.json:
        write_json(args.json, {**score.to_json(), **{name: numbers.to_json() for name, numbers in more.items()}})
    for remark in score.remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(score.table(per_class=True) if args.per_class else score)
    for numbers in more.values():
        print(f"\n{numbers}")
    return 0


def score_of(args: argparse.Namespace, path: Path, annotations: Annotations) -> Score:
    rule = RULES[args.rule]
    if args.ignore_ambiguous and not rule.drops_ambiguous:
        rule = replace(rule, name=f"{rule.name} without misses on Ambiguous", drops_ambiguous=True)
    return judge(
        annotations,
        detections_for(annotations, path, degenerate=args.degenerate, counted=args.class_ids),
        subset=args.subset,
        protocol=PROTOCOLS[args.protocol] if args.protocol else None,
        tiou=args.tiou,
        rule=rule,
        unknown_videos=args.unknown_videos,
        strict=args.strict,
    )


def ambiguous_beside(args: argparse.Namespace) -> Path | None:
    """`thumos14_ambiguous.json` beside `thumos14.json`, for the rules that ask for it."""
    beside = args.annotations.with_name(f"{args.annotations.stem}_ambiguous.json")
    wanted = args.ignore_ambiguous or RULES[args.rule].drops_ambiguous
    return beside if wanted and beside.is_file() else None


def further_numbers(args: argparse.Namespace, score: Score, annotations: Annotations) -> dict[str, Any]:
    """What was asked for beyond the mAP, by its key in the JSON."""
    more: dict[str, Any] = {}
    if (args.bootstrap or args.compare) and (args.resamples < 1 or args.seed < 0):
        raise ProtocolError(
            f"--resamples {args.resamples} --seed {args.seed}: expected at least 1 test set, a seed from 0"
        )
    if args.recall:
        counts = parse_counts(args.recall)
        more["recall"] = average_recall(score.annotations, score.detections, counts)
    if args.bootstrap:
        more["interval"] = bootstrap(score, args.resamples, seed=args.seed)
    if args.compare:
        other = score_of(args, args.compare, annotations)
        names = (str(args.detections), str(args.compare))
        more["comparison"] = compare(score, other, names, args.resamples, seed=args.seed)
    return more


def parse_counts(text: str) -> list[int]:
    """Numbers of detections, each from 1; ProtocolError for anything else."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and 0 < int(word[:12]) < 10**9 for word in words):
        raise ProtocolError(f"--recall {text!r}: expected numbers of detections, such as 10,50,100")
    return [int(word) for word in words]


if __name__ == "__main__":
    sys.exit(main())
