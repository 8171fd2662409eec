"""Which settings suit my data: proposed from lengths, overlaps and classes, each with its reason, as a config to run.

    python -m flowless.suggest --annotations demo/annotations.json --features features/demo.h5 --out config.json
    python -m flowless.suggest --annotations annotations.json --out config.json    # before there are features
    python -m train.run --config config.json --features features/demo.h5 --out runs/suggested

Before features are made it says how to make them (window, stride); with --features it takes those that are there, with
--videos their frame rates and durations. Training takes the file as it is: options given beside --config count more.
Seconds and memory are those of one training step done here, scaled to the whole run; --no-cost leaves that out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import features
from command.exit_codes import ExitCode
from command.outputs import check_outputs
from command.runner import run_command
from detect.heads import HEADS
from evaluate.files.annotation_files import truth_files
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.subsets import training_subset
from features.storage.store import Store
from flow.decode.video import list_videos
from flowless.seen import look_at
from flowless.suggesting import rules
from flowless.suggesting.cost import expected
from flowless.suggesting.measured import Measured, measure
from flowless.suggesting.rules import Clips, Proposal
from train.checks.spans import features_of
from train.config import Config, Data
from train.recipes import recipe_for
from train.recipes.recipe import NAMES

CHANNELS = 1024  # of features that are not there yet: I3D's


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flowless.suggest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--annotations", type=Path, required=True, help="annotation JSON, or folder of THUMOS'14 text")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--features", type=Path, help="feature store, or directory of .npy files, if there is one")
    source.add_argument("--videos", nargs="+", metavar="PATH", help="the videos: files, folders, globs, .txt lists")
    add("--out", type=Path, required=True, help="the config to write, for train.run --config")
    add("--head", choices=list(HEADS), help="settings of this head (default: actionformer)")
    add("--recipe", choices=NAMES, help="settings to start from (default: by the amount and kind of data)")
    add("--cues", metavar="STREAM[,STREAM]", help="what training reads (default: rgb)")
    add("--train-subset", metavar="NAME", help="subset to learn from (default: Training; of THUMOS'14 Validation)")
    add("--fps", type=float, help="frames per second, where neither annotations nor features nor videos tell it")
    add("--no-cost", action="store_true", help="don't do a training step to tell seconds and memory")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, work, argv)


def work(args: argparse.Namespace) -> int:
    videos = list_videos(args.videos) if args.videos else {}
    read = [*truth_files(args.annotations), *([args.features] if args.features else []), *videos.values()]
    check_outputs({"--out": args.out}, read)
    everything = read_annotations(args.annotations, strict=False, repair="clip")
    truth = everything.subset(training_subset(everything, args.train_subset or ""))
    store = open_store(args.features, truth, args.fps) if args.features else None
    rates, durations = told_by(store, truth, videos)
    if args.fps and not rates:
        rates = dict.fromkeys(truth.videos, args.fps)
    data = measure(truth, rates, durations)
    cues = tuple(args.cues.split(",")) if args.cues else ("rgb",)
    proposal = Proposal()
    config, made = propose(data, args.head, args.recipe, clips_of(store, truth, data), proposal)
    config = replace(
        config,
        cues=cues,
        data=Data(
            features=str(args.features or ""),
            annotations=str(args.annotations),
            subset=args.train_subset or "",
            fps=args.fps or 0.0 if args.features else 0.0,
        ),
    )
    tell(data, proposal)
    if not args.no_cost:
        steps = np.maximum((data.durations_s / made.step_s).astype(np.int64), 1)
        print(f"cost of one run: {expected(config, data.num_classes, widths(store, truth, cues), steps)}")
    replace(config, reasons=in_config(proposal)).write(args.out)
    print(f"{args.out}: written\n{then(args, proposal)}")
    return ExitCode.DONE


def propose(
    data: Measured, head: str | None, recipe: str | None, given: Clips | None, proposal: Proposal
) -> tuple[Config, Clips]:
    """The configuration without its data; TrainingError where the head has no recipe for such data."""
    made = rules.clips(data, proposal, given)
    steps = rules.resized(data, made, proposal)
    name = rules.recipe(data, made, steps, proposal)
    if recipe is not None:
        name = recipe
        proposal.say("recipe", recipe, "as asked for")
    head = rules.choose_head(head, data, proposal)
    base = recipe_for(head, name)
    options = rules.samples(head, base.head, data, made, steps, proposal)
    optimiser = base.optimiser_of(HEADS[head])
    epochs, least = rules.epochs(head, optimiser.epochs, data, name, proposal)
    warmup = min(round(optimiser.warmup_epochs * epochs / optimiser.epochs), epochs - 1)
    span = proposal.values.get("sampling.max_length", base.sampling.max_length)
    config = Config(
        recipe=name,
        sampling=replace(base.sampling, max_length=span),
        model=replace(base.model, head=head),
        optimiser=replace(optimiser, epochs=epochs, warmup_epochs=warmup, min_steps=max(least, optimiser.min_steps)),
        suppression=base.suppression or HEADS[head].suppression,
        head_options=options,
        precision=base.precision,
    )
    return config, made


def open_store(path: Path, truth: Annotations, fps: float | None) -> Store:
    rates = fps or {video: one.fps for video, one in truth.videos.items() if one.fps}
    store = features.open(path, fps=rates or None, verify=False)
    for remark in store.remarks:
        print(remark, file=sys.stderr)
    return store


def told_by(
    store: Store | None, truth: Annotations, videos: Mapping[str, Path]
) -> tuple[dict[str, float], dict[str, float]]:
    """Frame rates, and durations (seconds), of videos as their features or files have them; a note of what lacks."""
    rates: dict[str, float] = {}
    durations: dict[str, float] = {}
    if store is not None:
        there = set(store.videos)
        for video in truth.videos:
            if video in there and (rows := features_of(store, video)):
                rates[video] = rows[0].fps
                if not truth.videos[video].duration_s > 0:
                    durations[video] = rows[0].duration_s
    elif videos:
        wanted = {video: videos[video] for video in truth.videos if video in videos}
        seen = {video: one for video, one in look_at(wanted).items() if one.readable}
        rates = {video: one.fps for video, one in seen.items()}
        durations = {video: one.duration_s for video, one in seen.items()}
    if (store is not None or videos) and len(rates) < len(truth.videos):
        print(f"note: {len(truth.videos) - len(rates)} of {len(truth.videos)} videos to learn from are not there; "
              "flowless.doctor says why; --missing skip of train.run goes on without", file=sys.stderr)  # fmt: skip
    return {video: rate for video, rate in rates.items() if math.isfinite(rate) and rate > 0}, durations


def clips_of(store: Store | None, truth: Annotations, data: Measured) -> Clips | None:
    """How the features that are there were made."""
    if store is None:
        return None
    there = set(store.videos)
    first = next((video for video in truth.videos if video in there), None)
    if first is None:
        return None
    attributes = store.attributes(first, features_of(store, first)[0].stream)
    return Clips(int(attributes["window"]), int(attributes["stride"]), data.fps)


def widths(store: Store | None, truth: Annotations, cues: Sequence[str]) -> dict[str, int]:
    """Channels of each cue."""
    found = dict.fromkeys(cues, CHANNELS)
    there = set(store.videos) if store is not None else set()
    first = next((video for video in truth.videos if video in there), None)
    if store is not None and first is not None:
        for cue in cues:
            found[cue] = int(store.array(first, cue, "features", 0, 1).shape[1])
    return found


def tell(data: Measured, proposal: Proposal) -> None:
    low, middle, high = (data.length_s(share) for share in (0.05, 0.5, 0.95))
    print(
        f"{data.num_videos} videos, {data.durations_s.sum() / 3600:.1f} h at {data.fps:.4g} frames a second; "
        f"{len(data.lengths_s):,} actions of {data.num_classes} classes, 90 % of them from {low:.2g} to "
        f"{high:.3g} s, the usual one {middle:.2g} s"
    )
    width = max(map(len, proposal.values))
    for path, value in proposal.values.items():
        print(f"  {path:<{width}}  {'-' if value is None else value!s:<12}  {proposal.reasons[path]}")


def in_config(proposal: Proposal) -> dict[str, str]:
    """Reasons beside their settings; what is no setting of training says its value."""
    plain = {path for path in proposal.values if "." not in path and path != "recipe"}
    return {path: f"{proposal.values[path]}: {why}" if path in plain else why for path, why in proposal.reasons.items()}


def then(args: argparse.Namespace, proposal: Proposal) -> str:
    """The commands that come next."""
    learn = f"python -m train.run --config {args.out}"
    if args.features:
        return f"next: {learn} --out runs/{args.out.stem}"
    rate = f" --fps {proposal.values['fps']:g}" if "fps" in proposal.values else ""
    videos = " ".join(args.videos) if args.videos else "videos/"
    window, stride = proposal.values["window"], proposal.values["stride"]
    return (
        f"next: python -m extract.rgb --videos {videos} --features features/mine.h5 --weights WEIGHTS.pt "
        f"--window {window} --stride {stride}{rate}\n"
        f"then: {learn} --features features/mine.h5 --out runs/{args.out.stem}"
    )


if __name__ == "__main__":
    sys.exit(main())
