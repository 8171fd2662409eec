"""Several runs on one command line: their names, their files, judged alike.

--annotations demo/annotations.json --subset Test --runs rgb=runs/rgb/detections.json decomposed=...
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluate.files.annotations import REPAIRS, read_annotations
from evaluate.files.class_ids import COUNTED
from evaluate.files.detections import DetectionError
from evaluate.files.formats import detections_for
from evaluate.metrics.protocols import PROTOCOLS, protocol_named
from evaluate.metrics.scores import Score, judge


@dataclass(frozen=True)
class JudgedRun:
    """One detection file under a short name, judged."""

    name: str
    score: Score


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what is judged against what; the same for every command that reads several runs."""
    parser.add_argument("--annotations", type=Path, required=True, help="the truth: an annotation JSON or folder")
    parser.add_argument(
        "--runs",
        nargs="+",
        required=True,
        metavar="NAME=DETECTIONS",
        help="detections in any format of evaluate.run, each with a short name, in the order in which they are shown",
    )
    parser.add_argument("--subset", help="which videos; default: the protocol's, or the only one there is")
    parser.add_argument("--tiou", help="thresholds, 0.3:0.1:0.7 or 0.5,0.75; default: the protocol's")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: recognised by the class names")
    parser.add_argument(
        "--lenient", action="store_true", help="drop NaN scores and reversed segments, and say how many"
    )
    add_class_ids(parser)
    parser.add_argument("--repair", choices=REPAIRS, help="truth that contradicts its file, see evaluate.run")


def add_class_ids(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The option that says what class ids are; the same for every command that reads detections."""
    parser.add_argument(
        "--class-ids",
        choices=COUNTED,
        help="what numbers instead of class names are: label_id of the annotations, places in the list of classes "
        "counted from 0 or 1, or the THUMOS kits' numbers (default: label_id where the annotations have it)",
    )


def judged_runs(args: argparse.Namespace) -> list[JudgedRun]:
    """Read and judge what `add_run_arguments` named. Raises AnnotationError, DetectionError, ProtocolError."""
    files = parse_runs(args.runs)
    annotations = read_annotations(args.annotations, strict=args.repair is None, repair=args.repair or "keep")
    protocol = protocol_named(args.protocol) if args.protocol else None
    degenerate = "drop" if args.lenient else "refuse"
    return [
        JudgedRun(
            name,
            judge(
                annotations,
                detections_for(annotations, path, degenerate=degenerate, counted=args.class_ids),
                subset=args.subset,
                protocol=protocol,
                tiou=args.tiou,
            ),
        )
        for name, path in files.items()
    ]


def parse_runs(texts: Sequence[str]) -> dict[str, Path]:
    """ "rgb=runs/rgb/detections.json" -> {"rgb": Path(...)}; without a name, the file's folder is the name."""
    runs: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.rpartition("=")
        name = name or Path(path).resolve().parent.name
        if not path or name in runs:
            what = f"two runs are called {name!r}" if name in runs else "the file is missing"
            raise DetectionError(f"--runs {text}: {what}; expected NAME=DETECTIONS with a different name for each run")
        runs[name] = Path(path)
    return runs
