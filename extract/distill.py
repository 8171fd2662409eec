"""Train a motion student: an RGB backbone that learns from videos what a motion network says of them, without labels.

    python -m extract.distill --features features/demo.h5 --videos demo/videos --out motion.pt --threads 1
    python -m extract.rgb     --features features/demo.h5 --videos demo/videos --stream rgb_motion \\
        --backbone nano --weights motion.pt

The store holds the motion network's features (extract.motion writes them); the student is trained on the RGB frames of
the same clips to give the same features. What it then extracts from RGB, the stream rgb_motion, is what the motion
branch of a detector reads (train.run --method decomposed): flow is needed while training, not to detect. Any videos
will do, with or without annotations; more of them make a better student. Several GPUs, or processes, train one:

    torchrun --nproc-per-node 4 -m extract.distill ...    # --batch is dealt out to them

With --twin the student keeps the RGB network's own features beside: its first layers are shared, its last layers are
there twice. One pass over the clips then gives what would take two networks:

    python -m extract.distill --twin --features features/thumos.h5 --videos videos/ --out twin.pt
    python -m extract.rgb     --features features/thumos.h5 --videos videos/ --weights twin.pt    # rgb and rgb_motion

A tenth of the videos is held out: the log (OUT.log.csv) tells the share of their motion features that the student
explains (R2). Ctrl-C (75) keeps OUT.training.pt; the same command goes on, bit for bit on the same machine.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import features
from command.runner import run_command
from extract.backbones import BACKBONES, build_backbone, find_backbone, find_weights
from extract.backbones.base import Backbone
from extract.cues.cue import MOTION_CUES, RGB
from extract.learning import options
from extract.learning.streaming import TaughtVideo, VideoClips
from extract.learning.student import Student, StudentRecipe
from extract.learning.student_training import StudentEpoch, StudentTraining, taught_clips
from extract.learning.training import Epoch
from extract.pipeline.seen import SEEN, seen_by_features, videos_seen
from extract.pipeline.settings import SettingsError
from features.running.devices import OF_EXTRACTION, choose_device
from features.running.options import add_verify
from features.running.ranks import ALONE, Ranks, device_of_rank, joined
from features.storage.store import Store
from flow.decode.video import VideoError, list_videos, probe


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, distill, argv)


def distill(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    options.refuse_what_is_there(args)
    store = features.open(args.features, verify=args.verify)
    stream = args.stream or first_motion(store)
    videos = taught_videos(store, stream, args.videos)
    name = backbone_name(args, stream, store.attributes(videos[0].name, stream))
    seen = {**videos_seen(find_weights(name, args.init, RGB.name)), **seen_by_features(store, stream, store.videos)}
    with joined() as ranks:
        device = device_of_rank(str(choose_device(args.device, OF_EXTRACTION)), ranks)
        training, kept = train(args, name, store, stream, videos, ranks, device)
    if not ranks.first:
        return 0
    record: dict[str, object] = {
        "taught_by": str(store.attributes(videos[0].name, stream)["feature_id"]),
        "stream": stream,
        "videos": len(videos),
        "clips": training.source.num_clips_of_all,
        "init": str(args.init or "shipped"),
        "shared": list(kept.shared),
        "recipe": asdict(training.recipe),
        "epochs": [asdict(epoch) for epoch in training.history],
    }
    if seen:
        record[SEEN] = seen
    options.write_weights(args, kept, record, learned(training.history, stream))
    return 0


def train(
    args: argparse.Namespace,
    name: str,
    store: Store,
    stream: str,
    videos: list[TaughtVideo],
    ranks: Ranks,
    device: str,
) -> tuple[StudentTraining, Backbone]:
    """The training, at its end, and the network that it kept."""
    taught = store.attributes(videos[0].name, stream)
    backbone, original = begin(args, name)
    recipe = StudentRecipe(args.seed, args.epochs, args.batch, args.learning_rate, patience=args.patience)
    source, held_out = split(args, videos, store, stream, backbone, taught, ranks)
    student, bfloat16 = Student(backbone, source.dim, args.seed), options.uses_bfloat16(args.precision, device)
    training = StudentTraining(student, recipe, source, device, bfloat16, original, ranks)
    return training, options.go_through(training, held_out, source, args)


def backbone_name(args: argparse.Namespace, stream: str, taught: dict) -> str:
    """The network that is to learn: as asked for, else the motion network's own."""
    name = args.backbone or str(taught.get("backbone", ""))
    if not name:
        raise SettingsError(
            f"--backbone: say which network is to learn: {', '.join(sorted(BACKBONES))} or package.module:Class"
        )
    if int(taught["window"]) < (find_backbone(name).steps or 0):
        raise SettingsError(
            f"--backbone {name}: reads {find_backbone(name).steps} steps of each clip, and {stream} was made of clips "
            f"of {taught['window']}. Extract {stream} with a larger --window, or take another student"
        )
    return name


def begin(args: argparse.Namespace, name: str) -> tuple[Backbone, Backbone | None]:
    """The network that learns and, for a twin, the one whose features its appearance goes on giving."""
    backbone = build_backbone(name, RGB.name, args.init)
    original = None
    if args.twin is None:
        if backbone.twin is not None:
            raise SettingsError(
                f"--init {args.init}: is a twin. Train it further with --twin, or begin with one network"
            )
    else:
        original = build_backbone(name, RGB.name, args.init, quiet=True)
        if args.twin or backbone.twin is None:
            backbone.grow_twin(args.twin)
    return backbone.requires_grad_(True), original


def learned(history: Sequence[Epoch], stream: str) -> str:
    """What the best epoch explained of held-out videos, in words."""
    scored = [epoch for epoch in history if isinstance(epoch, StudentEpoch) and epoch.score is not None]
    if not scored:
        return ""
    best = max(scored, key=lambda epoch: epoch.score or 0.0)
    own = "" if best.appearance_r2 is None else f", {best.appearance_r2:.2f} of that of the RGB network's own features"
    return f"explains {best.r2:.2f} of the variance of {stream} features of held-out videos (R2){own}, "


def first_motion(store: Store) -> str:
    """The motion stream of a store, flow before gradient: told by the cue that its parts say they show."""
    there: dict[str, str] = {}  # stream -> cue
    for video in store.videos:
        for stream in set(store.streams(video)) - set(there):
            there[stream] = str(store.attributes(video, stream).get("cue", stream))
    for cue in MOTION_CUES:
        if of_cue := sorted((stream for stream in there if there[stream] == cue), key=lambda s: (s != cue, s)):
            return of_cue[0]
    raise SettingsError(
        f"{store.path}: holds {', '.join(sorted(there)) or 'nothing'}, and no motion to learn from. "
        "Make it: python -m extract.motion --cue flow --features ..."
    )


def taught_videos(store: Store, stream: str, paths: list[str]) -> list[TaughtVideo]:
    """The videos whose features the store holds; those it does not hold are said."""
    listed = list_videos(paths)
    having = [name for name in listed if name in store.videos and stream in store.streams(name)]
    if not having:
        raise SettingsError(
            f"{store.path}: holds {stream} of none of these {len(listed)} videos (the first is {next(iter(listed))!r}; "
            f"the store begins with {next(iter(store.videos), 'nothing')!r}). Give the folder that extract.motion had"
        )
    if missing := len(listed) - len(having):
        print(f"{missing} of {len(listed)} videos have no {stream} in {store.path} and are left out", file=sys.stderr)
    made = {str(store.attributes(name, stream)["feature_id"]) for name in having}
    if len(made) > 1:
        raise SettingsError(f"{store.path}: {stream} was made in {len(made)} ways ({', '.join(sorted(made))})")
    for name in having:
        said = store.attributes(name, stream).get("video_sha256")
        if said and said != probe(listed[name]).sha256:
            raise VideoError(f"{listed[name]}: is not the file that {stream} of {name!r} was made from")
    return [TaughtVideo(name, listed[name], store.row(name, stream).num_steps) for name in having]


def split(
    args: argparse.Namespace,
    videos: list[TaughtVideo],
    store: Store,
    stream: str,
    backbone: Backbone,
    taught: dict,
    ranks: Ranks,
) -> tuple[VideoClips, VideoClips | None]:
    """Clips to learn from, and those of held-out videos: every n-th, in order of name."""
    every = round(1 / args.held_out) if args.held_out else 0
    apart = [video for number, video in enumerate(videos) if every and number % every == every - 1]
    window, stride = int(taught["window"]), int(taught["stride"])

    def clips(chosen: list[TaughtVideo], share: float, ranks: Ranks = ALONE) -> VideoClips:
        room = args.memory_gb * 2**30 * share
        made = (backbone.geometry, window, stride, args.seed, room, args.workers)
        return taught_clips(chosen, store, stream, *made, reads=backbone.reads(window), ranks=ranks)

    learning = [video for video in videos if video not in apart]
    if not learning:
        raise SettingsError(f"--held-out {args.held_out}: leaves no video to learn from")
    return clips(learning, 0.9 if apart else 1.0, ranks), clips(apart, 0.1) if apart else None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    recipe = StudentRecipe()
    parser = argparse.ArgumentParser(
        prog="python -m extract.distill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--features", type=Path, required=True, help="feature store that holds the motion network's features")
    add("--videos", nargs="+", required=True, metavar="PATH", help="files, folders, globs or .txt lists of paths")
    add("--out", type=Path, required=True, help="weights to write, for extract.rgb --weights")
    add("--stream", help="of the store, to learn from (default: flow, else gradient)")
    add(
        "--backbone",
        metavar="NAME",
        help=f"of the student: {', '.join(sorted(BACKBONES))} or package.module:Class (default: the motion network's)",
    )
    add("--init", type=Path, metavar="WEIGHTS", help="to begin with (default: the RGB weights that ship with it)")
    add(
        "--twin",
        nargs="?",
        const="",
        metavar="LAYER",
        help="keep the RGB network's own features beside: the layers from LAYER on are there twice, those before are "
        "shared (default of LAYER: the backbone's own choice)",
    )
    options.add_training(parser, recipe, recipe.patience, "R2")
    add_verify(parser)
    args = parser.parse_args(argv)
    options.check_training(parser, args)
    return args


if __name__ == "__main__":
    sys.exit(main())
