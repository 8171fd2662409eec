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
import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import features
from command.outputs import refuse_no_place
from command.runner import run_command
from command.signals import StopSignal
from command.writing import write_whole
from extract.backbones import BACKBONES, build_backbone, find_backbone
from extract.backbones.base import Backbone
from extract.backbones.checkpoints import write_state
from extract.cues.cue import MOTION_CUES, RGB
from extract.pipeline.plan import computes_bfloat16
from extract.pipeline.settings import SettingsError
from extract.students.clip_samples import TaughtVideo, VideoClips
from extract.students.student import Student, StudentRecipe
from extract.students.training import Epoch, Training, train_student
from features.running.devices import OF_EXTRACTION, add_device, choose_device
from features.running.options import add_verify
from features.running.ranks import ALONE, Ranks, device_of_rank, joined
from features.storage.store import Store
from flow.decode.video import VideoError, list_videos, probe


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, distill, argv)


def distill(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.out.exists() and not args.overwrite:
        raise SettingsError(f"{args.out}: exists. --overwrite trains a new one, or name another --out")
    refuse_no_place("--out", args.out)
    store = features.open(args.features, verify=args.verify)
    stream = args.stream or first_motion(store)
    videos = taught_videos(store, stream, args.videos)
    with joined() as ranks:
        device = device_of_rank(str(choose_device(args.device, OF_EXTRACTION)), ranks)
        training, kept = train(args, store, stream, videos, ranks, device)
    if not ranks.first:
        return 0
    record = {
        "taught_by": str(store.attributes(videos[0].name, stream)["feature_id"]),
        "stream": stream,
        "videos": len(videos),
        "clips": training.source.num_clips_of_all,
        "init": str(args.init or "shipped"),
        "shared": list(kept.shared),
        "recipe": asdict(training.recipe),
        "epochs": [asdict(epoch) for epoch in training.history],
    }
    write_state(args.out, kept.state_dict(), json.dumps(record), args.half)
    Path(f"{args.out}.training.pt").unlink(missing_ok=True)
    print(f"{args.out}: {learned(training.history, stream)}sha256 {hashlib.sha256(args.out.read_bytes()).hexdigest()}")
    return 0


def train(
    args: argparse.Namespace, store: Store, stream: str, videos: list[TaughtVideo], ranks: Ranks, device: str
) -> tuple[Training, Backbone]:
    """The training, at its end, and the network that it kept."""
    taught = store.attributes(videos[0].name, stream)
    backbone, original = begin(args, backbone_name(args, stream, taught))
    recipe = StudentRecipe(args.seed, args.epochs, args.batch, args.learning_rate, patience=args.patience)
    source, held_out = split(args, videos, store, stream, backbone, taught, ranks)
    student, bfloat16 = Student(backbone, source.dim, args.seed), uses_bfloat16(args.precision, device)
    training = Training(student, recipe, source, device, bfloat16, original, ranks)
    state, log = Path(f"{args.out}.training.pt"), Path(f"{args.out}.log.csv")
    if state.exists() and not args.overwrite:
        training.load(state)
    if ranks.first:
        print(summary(source, held_out, training), file=sys.stderr)
    with StopSignal() as stop:
        kept = train_student(training, held_out, state, lambda: stop.asked, lambda _: write_log(log, training.history))
    return training, kept


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
    scored = [epoch for epoch in history if epoch.score is not None]
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
        return VideoClips(chosen, store, stream, *made, reads=backbone.reads(window), ranks=ranks)

    learning = [video for video in videos if video not in apart]
    if not learning:
        raise SettingsError(f"--held-out {args.held_out}: leaves no video to learn from")
    return clips(learning, 0.9 if apart else 1.0, ranks), clips(apart, 0.1) if apart else None


def uses_bfloat16(precision: str, device: str) -> bool:
    """auto: where the processor computes in it."""
    native = device != "cpu" or computes_bfloat16()
    if precision == "bfloat16" and not native:
        raise SettingsError("--precision bfloat16: this CPU only emulates it. Leave the option away, or say float32")
    return native if precision == "auto" else precision == "bfloat16"


def summary(source: VideoClips, held_out: VideoClips | None, training: Training) -> str:
    rounds = "decoded once" if source.fits else "decoded anew in every epoch, --memory-gb would have to hold them"
    apart = f", {held_out.num_clips:,} clips held out" if held_out else ""
    going_on = f"; going on after step {training.step:,}" if training.step else ""
    frames = f"{source.bytes_needed / 2**30:.1f} GiB of frames, {rounds}"
    return f"{source.num_clips_of_all:,} clips ({frames}){apart}{going_on}"


def write_log(path: Path, history: list[Epoch]) -> None:
    """A CSV, a row for each epoch; it appears whole or not at all."""
    table = io.StringIO()
    rows = [asdict(epoch) for epoch in history]
    if all(epoch.appearance_r2 is None for epoch in history):
        rows = [{name: value for name, value in row.items() if name != "appearance_r2"} for row in rows]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, table.getvalue().encode())


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
    add("--epochs", type=int, default=recipe.epochs, help="over all clips (default: %(default)s)")
    add("--batch", type=int, default=recipe.batch, help="clips a step (default: %(default)s)")
    add("--learning-rate", type=float, default=recipe.learning_rate, help="at its peak (default: %(default)s)")
    add(
        "--patience", type=int, default=recipe.patience, help="epochs without a better R2 before the end; 0: never ends"
    )
    add("--held-out", type=float, default=0.1, help="share of the videos to measure R2 on (default: %(default)s)")
    add("--memory-gb", type=float, default=2.0, help="of decoded frames held at a time (default: %(default)s)")
    add("--workers", type=int, default=1, help="threads that decode (default: %(default)s)")
    add(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="auto: bfloat16 where it is native"
    )
    add("--threads", type=int, default=0, help="of the CPU that train; 0: as PyTorch chooses. 1 for a small network")
    add_device(parser, OF_EXTRACTION)
    add("--seed", type=int, default=0)
    add(
        "--half",
        action="store_true",
        help="write the weights in 16 bits: half the size, features alike to three digits",
    )
    add("--overwrite", action="store_true", help="train anew, whatever is there")
    add_verify(parser)
    args = parser.parse_args(argv)
    for name, least in (("epochs", 1), ("batch", 2), ("workers", 1), ("threads", 0), ("seed", 0), ("patience", 0)):
        if (value := getattr(args, name)) < least:
            parser.error(f"--{name} {value}: expected {least} or more")
    if not 0 <= args.held_out < 1:
        parser.error(f"--held-out {args.held_out}: expected a share from 0 to below 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
