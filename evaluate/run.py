"""Judge detections against annotations: mean average precision, by the rules of the official evaluators.

    python -m evaluate.run --detections detections.json --annotations demo/annotations.json --subset Test \\
        --tiou 0.3:0.1:0.7 --json metrics.json

Prints a table in percent and, with --json, writes the same numbers as fractions: `tiou`, `mAP` (one per tIoU),
`average_mAP`, `per_class` (label -> AP per tIoU), with protocol, rule, counts and remarks. Whatever a reader must
know beside the numbers goes to stderr as "note:".
"""

import argparse
import json
import sys
from pathlib import Path

from evaluate.annotations import REPAIRS, AnnotationError, read_annotations
from evaluate.detections import DetectionError
from evaluate.formats import read_any_detections
from evaluate.protocols import PROTOCOLS, ProtocolError, protocol_named
from evaluate.rules import RULES
from evaluate.scores import judge


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluate.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detections", type=Path, required=True, help="what the detector said: a results JSON")
    parser.add_argument("--annotations", type=Path, required=True, help="the truth: an annotation JSON or folder")
    parser.add_argument("--subset", help="which videos; default: the protocol's, or the only one there is")
    parser.add_argument("--tiou", help="thresholds, 0.3:0.1:0.7 or 0.5,0.75; default: the protocol's")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers here as well")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: recognised by the class names")
    parser.add_argument("--rule", choices=RULES, default="activitynet", help="whose evaluator (default: %(default)s)")
    parser.add_argument(
        "--lenient", action="store_true", help="drop NaN scores and reversed segments, and say how many"
    )
    parser.add_argument("--strict", action="store_true", help="refuse videos without detections or without annotation")
    parser.add_argument(
        "--repair",
        choices=REPAIRS,
        help="truth that is empty, reversed or outside its video; default: refused, but kept where a published data "
        "set is known for it",
    )
    parser.add_argument(
        "--unknown-videos",
        choices=("false", "ignore"),
        default="false",
        help="detections outside the subset (default: %(default)s, as in the official evaluators)",
    )
    parser.add_argument("--per-class", action="store_true", help="a row for each class, however many there are")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        annotations = read_annotations(args.annotations, strict=args.repair is None, repair=args.repair or "keep")
        score = judge(
            annotations,
            read_any_detections(args.detections, annotations.classes, degenerate="drop" if args.lenient else "refuse"),
            subset=args.subset,
            protocol=protocol_named(args.protocol) if args.protocol else None,
            tiou=args.tiou,
            rule=RULES[args.rule],
            unknown_videos=args.unknown_videos,
            strict=args.strict,
        )
    except (AnnotationError, DetectionError, ProtocolError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for remark in score.remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(score.table(per_class=True) if args.per_class else score)
    if args.json:
        write_json(args.json, score.to_json())
    return 0


def write_json(path: Path, content: dict[str, object]) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
