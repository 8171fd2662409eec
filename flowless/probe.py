"""A table of videos, before days are spent on them: frames, rate, size, codec, damage.

    python -m flowless.probe --videos demo/videos
    python -m flowless.probe --videos videos/ --json probe.json
    python -m flowless.probe --videos videos/ --decode            # decode every frame as well: finds all damage

Reads the packets of each file and decodes one frame; nothing is hashed and nothing is written. Videos that cannot be
read, or are cut short, are told with the remedy, and the exit code is 3. What differs from most videos (rate, size) is
told as a note: features of other rates mean something else.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from command.exit_codes import ExitCode
from command.outputs import check_outputs
from command.runner import run_command
from command.writing import write_json
from flow.decode.options import add_decoder, add_videos
from flow.decode.video import list_videos
from flowless.seen import Seen, look_at

SHOWN = 3  # videos that a note names


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.probe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_videos(parser)
    add_decoder(parser)
    parser.add_argument("--decode", action="store_true", help="decode every frame: takes as long as playing, or less")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the same as JSON")
    parser.add_argument("--brief", action="store_true", help="the totals and what is wrong, no line for each video")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    videos = list_videos(args.videos, fps=args.fps)
    check_outputs({"--json": args.json}, videos.values())
    seen = list(look_at(videos, decoder=args.decoder, fps=args.fps, decode=args.decode).values())
    if not args.brief:
        print(table(seen))
    print(totals(seen))
    for note in notes(seen):
        print(f"note: {note}", file=sys.stderr)
    for one in seen:
        if one.problem:
            print(one.problem, file=sys.stderr)
    if args.json:
        write_json(args.json, {"videos": {one.video: asdict(one) for one in seen}, "notes": notes(seen)})
    return ExitCode.FAILURES if any(one.problem for one in seen) else ExitCode.DONE


def table(seen: Sequence[Seen]) -> str:
    width = max(len("video"), *(len(one.video) for one in seen))
    lines = [f"{'video':<{width}}  {'frames':>8} {'fps':>8} {'seconds':>9} {'size':>10} {'turned':>6} {'codec':<8} "
             f"{'MB':>8}  remarks"]  # fmt: skip
    for one in seen:
        size = f"{one.width}x{one.height}" if one.readable else "-"
        remarks = [text for told, text in (
            (one.is_vfr, "variable rate"), (one.start_s > 0.05, f"starts at {one.start_s:.2f} s"),
            (one.readable and bool(one.problem), "DAMAGED"), (not one.readable, "UNREADABLE"),
        ) if told]  # fmt: skip
        lines.append(
            f"{one.video:<{width}}  {one.frames:>8} {one.fps:>8.3f} {one.duration_s:>9.2f} {size:>10} "
            f"{one.rotation or '':>6} {one.codec:<8} {one.size / 1e6:>8.2f}  {', '.join(remarks)}".rstrip()
        )
    return "\n".join(lines)


def totals(seen: Sequence[Seen]) -> str:
    good = [one for one in seen if one.readable]
    return (
        f"{len(seen)} videos, {sum(one.duration_s for one in good) / 3600:.2f} h, "
        f"{sum(one.frames for one in good):,} frames, {sum(one.size for one in seen) / 1e9:.2f} GB; "
        f"{sum(bool(one.problem) for one in seen)} with problems, looked at in {sum(one.probe_s for one in seen):.1f} s"
    )


def notes(seen: Sequence[Seen]) -> list[str]:
    """What differs from most, a sentence each."""
    good = [one for one in seen if one.readable]
    found = []
    if good:
        rate = Counter(round(one.fps) for one in good).most_common(1)[0][0]
        if others := [one for one in good if abs(one.fps - rate) > 0.1 * rate]:
            found.append(f"most videos have {rate} fps, {_some(others)} have others; --fps {rate} of extract.rgb, "
                         "extract.motion and flow.tvl1 gives all the same")  # fmt: skip
        if varying := [one for one in good if one.is_vfr]:
            found.append(f"{_some(varying)} have a variable frame rate: times are taken from the frames themselves; "
                         "--fps makes them regular")  # fmt: skip
        if turned := [one for one in good if one.rotation]:
            found.append(f"{_some(turned)} are turned by their header; frames are read upright")
    sums = Counter((one.size, one.frames, one.duration_s) for one in good)
    if twice := [one for one in good if sums[one.size, one.frames, one.duration_s] > 1]:
        found.append(f"{_some(twice)} have the bytes, frames and seconds of another one: copies?")
    return found


def _some(videos: Sequence[Seen]) -> str:
    names = ", ".join(one.video for one in videos[:SHOWN]) + (" ..." if len(videos) > SHOWN else "")
    return f"{len(videos)} ({names})"


if __name__ == "__main__":
    sys.exit(main())
