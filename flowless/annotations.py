"""Annotations as people have them, and a folder of videos, to the JSON that every command here reads.

    python -m flowless.annotations actions.csv --videos videos/ --out annotations.json --split .7/.1/.2
    python -m flowless.annotations actions.csv --videos videos/ --out annotations.json --split .8/.2 --by subject
    python -m flowless.annotations demo/annotations.json --videos demo/videos --out split.json --split .7/.1/.2
    python -m flowless.annotations elan/ --videos videos/ --out annotations.json --label gesture

Reads tables (video, start, end, label in any order and under the usual names; seconds, mm:ss, or frames with --fps),
ELAN (.eaf), BORIS (.csv), VIA 3 (.json, .csv), CVAT for video (.xml), Label Studio (.json), and what the other commands
read: ActivityNet's and mmaction2's JSON, THUMOS'14's text. Durations and frame rates come from the videos.
--split makes the subsets Training, Validation and Test; every class is shared out alike, and the same seed gives the
same. --by keeps videos together that show the same: a column, `folder`, or a regular expression on the video's id,
of which the first group counts: --by '(.*)-cam\\d'. Each flaw is told with its file and line; the rest is written, and
the exit code is 3.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command.errors import FlowlessError, told_apart
from command.exit_codes import ExitCode
from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from evaluate.files.annotation_files import truth_files
from evaluate.importing.any_file import files_of, read_any
from evaluate.importing.intervals import LineFlaw
from flow.decode.video import list_videos
from flowless.placing import Action, Placed, place
from flowless.seen import Seen, look_at
from flowless.splitting import NAMES, parse_shares, split, torn_apart

SHOWN = 50  # flaws told without --all-flaws


class NothingUsable(FlowlessError):
    """Not one action of the files lies in a video that is there."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.annotations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("annotations", type=Path, nargs="+", help="files, or folders of files; each is told by what it holds")
    add("--videos", nargs="+", required=True, help="files, folders, globs, or .txt lists of videos")
    add("--out", type=Path, required=True, help="the JSON to write")
    add("--split", metavar="SHARES", help=".7/.1/.2 of Training/Validation/Test, or .8/.2 of Training/Test "
        "(default: as the files say; else all are Training)")  # fmt: skip
    add("--by", metavar="GROUP", help="never split such videos: a column, folder, or a regular expression on the id")
    add("--seed", type=int, default=0, help="of --split (default: %(default)s)")
    add("--fps", type=rate, help="the times of a table are frames of this rate (columns called start_frame and "
        "end_frame need none), or the rate of folders of pictures")  # fmt: skip
    add("--label", metavar="NAME", help="the column, tier or attribute that holds the labels")
    add("--only-annotated", action="store_true", help="leave out videos that no line names; else they count as "
        "videos without an action")  # fmt: skip
    add("--all-flaws", action="store_true", help=f"tell more than {SHOWN} flaws")
    return parser.parse_args(argv)


def rate(text: str) -> float:
    """Frames per second of the command line."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected frames per second, more than 0")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    shares = parse_shares(args.split) if args.split else None
    files = [file for given in args.annotations for file in files_of(given)]
    videos = list_videos(args.videos, fps=args.fps)
    check_outputs({"--out": args.out}, [*(one for file in files for one in truth_files(file)), *videos.values()])
    read = [read_any(file, fps=args.fps, known=videos.keys(), label=args.label) for file in files]
    seen = look_at(videos, fps=args.fps)
    placed = place(read, seen, args.fps)
    if args.only_annotated:
        named = set(placed.named.values())
        placed.actions = {video: actions for video, actions in placed.actions.items() if video in named}
    for one in seen.values():
        if one.problem:
            placed.flaws.append(of_video(one))
    if not any(placed.actions.values()):
        tell(placed, args.all_flaws)
        raise NothingUsable(f"not one action lies in a video of --videos; {len(placed.flaws)} reasons stand above")
    groups = groups_of(placed, args.by)
    subsets = subsets_of(placed, groups, shares, args.seed)
    write_json(args.out, database(placed, seen, subsets, groups if args.by else {}))
    note(placed, subsets, shares is not None)
    if shares is not None and args.by is None and (torn := torn_apart(subsets)):
        note_torn(placed, *torn)
    tell(placed, args.all_flaws)
    print(table(placed, subsets, groups))
    print(f"{args.out}: {len(placed.actions)} videos, {sum(map(len, placed.actions.values()))} actions, "
          f"{len(placed.flaws)} flaws; from {', '.join(dict.fromkeys(one.format for one in read))}")  # fmt: skip
    return ExitCode.FAILURES if placed.flaws else ExitCode.DONE


def of_video(one: Seen) -> LineFlaw:
    """A video's own problem, which tells its remedy, as a flaw."""
    what, remedy = told_apart(one.problem.removeprefix(f"{one.path}: "), "Repair the file")
    return LineFlaw(Path(one.path), "", what, remedy + ("" if one.readable else "; the video is left out"))


def groups_of(placed: Placed, by: str | None) -> dict[str, str]:
    """Video -> group; without `by` each video is its own. Raises FlowlessError if `by` is nothing that is known."""
    if by is None:
        return {video: video for video in placed.actions}
    if by == "folder":
        return {video: video.rpartition("/")[0] for video in placed.actions}
    columns = {name.casefold(): name for actions in placed.actions.values() for a in actions for name in a.of.extra}
    if by.casefold() in columns:
        column = columns[by.casefold()]
        found = {v: _value(actions, column) for v, actions in placed.actions.items() if actions}
        if lacking := len(placed.actions) - len(found):
            placed.remarks.append(f"{lacking} videos have no line and so no {column!r}: each is a group of its own")
        return {video: found.get(video) or f"video {video}" for video in placed.actions}
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise FlowlessError(f"--by {by}: neither a column nor a regular expression ({error})") from None
    matches = {video: pattern.search(video) for video in placed.actions}
    strangers = [video for video, match in matches.items() if match is None]
    if strangers:
        there = ", ".join(columns.values()) or "none"
        raise FlowlessError(
            f"--by {by}: no column of this name (there are {there}), and as a regular expression it is not found in "
            f"{len(strangers)} of {len(matches)} videos, such as {strangers[0]!r}"
        )
    return {v: (m[1] if pattern.groups else m[0]) or m[0] for v, m in matches.items() if m is not None}


def _value(actions: Sequence[Action], column: str) -> str:
    return next((value for action in actions if (value := action.of.extra.get(column, ""))), "")


def subsets_of(placed: Placed, groups: Mapping[str, str], shares: Sequence[float] | None, seed: int) -> dict[str, str]:
    """Video -> subset: split by `shares`, else as the files say, else Training."""
    if shares is not None:
        return split({v: [a.label for a in actions] for v, actions in placed.actions.items()}, groups, shares, seed)
    return {video: placed.subsets.get(video, "Training") for video in placed.actions}


def database(
    placed: Placed, seen: Mapping[str, Seen], subsets: Mapping[str, str], groups: Mapping[str, str]
) -> dict[str, Any]:
    """ActivityNet's layout."""
    rows = {}
    for video, actions in placed.actions.items():
        told = [
            {"label": one.label, "segment": [round(one.start_s, 6), min(round(one.end_s, 6), seen[video].duration_s)]}
            for one in sorted(actions, key=lambda one: (one.start_s, one.end_s, one.label))
        ]
        rows[video] = {
            "subset": subsets[video],
            "duration": seen[video].duration_s,
            "fps": seen[video].fps,
            **({"group": groups[video]} if video in groups else {}),
            "annotations": told,
        }
    return {"database": rows}


def note(placed: Placed, subsets: Mapping[str, str], was_split: bool) -> None:
    """Adds remarks on what may surprise: videos without actions, classes that a subset lacks."""
    named = set(placed.named.values())
    silent = [video for video in placed.actions if video not in named]
    if silent:
        placed.remarks.append(
            f"{len(silent)} of {len(placed.actions)} videos stand on no line (e.g. {silent[0]!r}) and count as videos "
            "without an action; --only-annotated leaves them out"
        )
    if was_split and placed.subsets:
        placed.remarks.append("the subsets that the files tell are replaced by those of --split")
    classes = {a.label for actions in placed.actions.values() for a in actions}
    for subset in dict.fromkeys(subsets.values()):
        there = {a.label for v, actions in placed.actions.items() if subsets[v] == subset for a in actions}
        if lacking := sorted(classes - there):
            placed.remarks.append(
                f"{subset} holds no action of {len(lacking)} classes: {', '.join(lacking[:5])}; they are in too few "
                "groups for the split"
            )


def note_torn(placed: Placed, pattern: str, torn: Sequence[Sequence[str]]) -> None:
    placed.remarks.append(
        f"videos whose names say that they show the same are in several subsets ({len(torn)} times, such as "
        f"{', '.join(map(repr, torn[0][:3]))}): a detector would be judged on what it learnt from. If they do show the "
        f"same, keep them together with --by '{pattern}'"
    )


def tell(placed: Placed, everything: bool) -> None:
    """Remarks and flaws to stderr, so many of these as are wanted."""
    for remark in dict.fromkeys(placed.remarks):
        print(f"note: {remark}", file=sys.stderr)
    shown = placed.flaws if everything else placed.flaws[:SHOWN]
    for flaw in shown:
        print(flaw, file=sys.stderr)
    if len(shown) < len(placed.flaws):
        print(f"... and {len(placed.flaws) - len(shown)} more flaws: --all-flaws tells them", file=sys.stderr)


def table(placed: Placed, subsets: Mapping[str, str], groups: Mapping[str, str]) -> str:
    """Actions of each class in each subset."""
    names = [name for name in NAMES[3] if name in subsets.values()]
    names += sorted(set(subsets.values()) - set(names))
    counts = {name: Counter(a.label for v, acts in placed.actions.items() if subsets[v] == name for a in acts)
              for name in names}  # fmt: skip
    labels = sorted(set().union(*counts.values()))
    width = max(map(len, [*labels, "videos"]))
    lines = [f"{'':<{width}}" + "".join(f"{name:>12}" for name in names)]
    counted = {"videos": {video: video for video in subsets}, "groups": groups}
    if counted["videos"] == groups:
        del counted["groups"]
    for what, of in counted.items():
        sizes = [len({of[v] for v in subsets if subsets[v] == name}) for name in names]
        lines.append(f"{what:<{width}}" + "".join(f"{size:>12}" for size in sizes))
    lines += [f"{label:<{width}}" + "".join(f"{counts[name][label]:>12}" for name in names) for label in labels]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
