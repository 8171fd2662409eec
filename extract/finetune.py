"""Fine-tune a backbone on labelled actions of your own: which one a clip shows, and whether it lies inside one at all.

    python -m extract.finetune --videos demo/videos --annotations demo/annotations.json \\
        --backbone nano --cue rgb --out rgb.pt --threads 1
    python -m extract.rgb --videos demo/videos --features features/tuned.h5 --backbone nano --weights rgb.pt

Clips inside actions, at their borders and in the background of the *training* videos teach two classifiers and the
backbone below them (temporally-sensitive pretraining, Alwassel et al., ICCVW 2021). What is written is a checkpoint
like any other, for extract.rgb or extract.motion --weights. Videos of other subsets are not opened. Flow comes from the
store that flow.tvl1 wrote (--flow), or is computed:

    python -m extract.finetune --videos demo/videos --annotations demo/annotations.json \\
        --backbone nano --cue flow --flow flow/demo.h5 --out flow.pt --threads 1

A tenth of the videos is held out, groups of videos together (--group, else as annotated): the log (OUT.log.csv) tells
the recall of classes and of inside/outside there, and training ends when they no longer rise. The checkpoint records
whose labels it has seen; flowless.doctor and train.run warn where such videos are to be tested on. Ctrl-C (75) keeps
OUT.training.pt; the same command goes on, bit for bit on the same machine. Several GPUs, or processes, train one:

    torchrun --nproc-per-node 4 -m extract.finetune ...    # --batch is dealt out to them
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import flow.pipeline.store
from command.runner import run_command
from evaluate.files.annotations import Annotations
from extract.backbones import BACKBONES, build_backbone, file_sha256, find_backbone, find_weights, identity_of
from extract.backbones.base import Backbone
from extract.cues.cue import CUES
from extract.learning import options
from extract.learning.actions import LabelledClips, action_targets, held_out
from extract.learning.labelled import groups_of, labelled_videos, training_truth
from extract.learning.steps import DecodedSteps, Steps, StoredFlow, bytes_of_a_step
from extract.learning.streaming import TaughtVideo, VideoClips
from extract.learning.training import Epoch
from extract.learning.tuning import Classifier, Tuning, TuningRecipe
from extract.pipeline.of_flow import add_first_layer
from extract.pipeline.plan import check_flow
from extract.pipeline.seen import SEEN, videos_seen
from extract.pipeline.settings import ClipSettings, SettingsError
from features.files.dashes import parse_args
from features.running.devices import OF_EXTRACTION, choose_device
from features.running.ranks import ALONE, Ranks, device_of_rank, joined
from features.storage.store import fingerprint
from flow.decode.options import add_decoder, add_videos
from flow.decode.video import probe
from flow.solver import choose_backend
from flow.tvl1_common.parameters import PRESETS


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parse, finetune, argv)


def finetune(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    options.refuse_what_is_there(args)
    settings = clip_settings(args)
    truth = training_truth(args.annotations, args.train_subset or "")
    with joined() as ranks:
        device = device_of_rank(str(choose_device(args.device, OF_EXTRACTION)), ranks)
        videos = clips_of_videos(args, truth, settings)
        apart = held_out(list(videos), groups_of(truth, list(videos), args.group), args.held_out)
        training, kept = train(args, settings, videos, apart, len(truth.classes), ranks, device)
    if ranks.first:
        options.write_weights(args, kept, record(args, settings, truth, videos, apart, training), learned(training))
    return 0


def clip_settings(args: argparse.Namespace) -> ClipSettings:
    """Clips as extraction would cut them; SettingsError where they cannot be."""
    choice = {name: getattr(args, name) for name in ("backbone", "window", "stride", "decoder", "min_decoded", "fps")}
    if args.flow is not None and not CUES[args.cue].of_flow:
        raise SettingsError(f"--flow {args.flow}: {args.cue} is computed from frames alone. Leave the option out")
    init = find_weights(args.backbone, args.init, args.cue, args.first_layer)
    made = {"first_layer": args.first_layer, "flow_store": args.flow, "flow_preset": args.preset}
    return ClipSettings(args.cue, **choice, weights=init, **made)


def clips_of_videos(args: argparse.Namespace, truth: Annotations, settings: ClipSettings) -> dict[str, LabelledClips]:
    """The clips of the videos to learn from, by video; a video too short for one is left out, which is said."""
    made = {}
    for video in labelled_videos(truth, args.videos, settings.decoder, settings.fps):
        made[video.name] = video.clips(settings.window, settings.stride)
    short = [name for name, clips in made.items() if not len(clips)]
    if short:
        print(f"{len(short)} videos are shorter than a clip and left out, such as {short[0]!r}", file=sys.stderr)
    return {name: clips for name, clips in made.items() if len(clips)}


def train(
    args: argparse.Namespace,
    settings: ClipSettings,
    videos: dict[str, LabelledClips],
    apart: set[str],
    classes: int,
    ranks: Ranks,
    device: str,
) -> tuple[Tuning, Backbone]:
    """The training, at its end, and the network that it kept."""
    backbone = begin(settings)
    rates = (args.seed, args.epochs, args.batch, args.learning_rate)
    recipe = TuningRecipe(*rates, frozen=args.freeze or "", patience=args.patience)
    targets, steps = action_targets(videos, classes), steps_of(args, settings, videos)

    def clips(chosen: list[str], share: float, ranks: Ranks = ALONE) -> VideoClips:
        taught = [TaughtVideo(name, videos[name].video.path, len(videos[name])) for name in chosen]
        made = (settings.window, settings.stride, args.seed, args.memory_gb * 2**30 * share, args.workers)
        return VideoClips(taught, steps, targets, *made, reads=backbone.reads(settings.window), ranks=ranks)

    learning = [name for name in videos if name not in apart]
    if not learning:
        raise SettingsError(f"--held-out {args.held_out}: leaves no video to learn from")
    source = clips(learning, 0.9 if apart else 1.0, ranks)
    judged = clips(sorted(apart), 0.1) if apart else None
    classifier = Classifier(backbone, classes, recipe.dropout, args.seed)
    tuning = Tuning(classifier, recipe, source, device, options.uses_bfloat16(args.precision, device), ranks)
    taught = [clips.video.taught for clips in videos.values()]
    tuning.learns_from = fingerprint({"taught": taught, "held_out": sorted(apart), "clips": settings.values()})
    return tuning, options.go_through(tuning, judged, source, args)


def begin(settings: ClipSettings) -> Backbone:
    """The network that learns, from --init, else the weights that ship, else random ones."""
    backbone = build_backbone(
        settings.backbone, settings.cue, settings.weights, quiet=True, first_layer=settings.first_layer
    )
    if backbone.twin is not None:
        raise SettingsError(f"--init {settings.weights}: is a twin. Begin with one network")
    if origin_of(settings) == "random":
        print(f"note: {settings.backbone} begins with random weights for {settings.cue}: none were given (--init)",
              file=sys.stderr)  # fmt: skip
    return backbone.requires_grad_(True)


def origin_of(settings: ClipSettings) -> str:
    """What the network began with, in words."""
    if settings.weights is not None:
        return str(settings.weights)
    kind = find_backbone(settings.backbone)
    return "shipped" if kind.shipped_weights(settings.cue) else "its own" if kind.brings_weights else "random"


def steps_of(args: argparse.Namespace, settings: ClipSettings, videos: dict[str, LabelledClips]) -> Steps:
    """Where the clips' steps come from; a flow store is compared with the videos first."""
    cue, geometry = CUES[settings.cue], settings.network.geometry
    if settings.flow_store is None:
        backend = choose_backend(args.backend) if cue.of_flow else "auto"
        made = (settings.decoder, settings.min_decoded, settings.fps, backend, settings.flow_preset)
        return DecodedSteps(geometry, cue, *made)
    store = flow.pipeline.store.open(settings.flow_store)
    for name, clips in videos.items():
        check_flow(store, settings, name, probe(clips.video.path, decoder=settings.decoder, fps=settings.fps))
    return StoredFlow(store, bytes_of_a_step(cue, geometry))


def record(
    args: argparse.Namespace,
    settings: ClipSettings,
    truth: Annotations,
    videos: dict[str, LabelledClips],
    apart: set[str],
    training: Tuning,
) -> dict[str, object]:
    """What the checkpoint tells of itself."""
    return {
        "made_by": "extract.finetune",
        "backbone": identity_of(settings.backbone),
        "cue": settings.cue,
        "window": settings.window,
        "stride": settings.stride,
        "taught_by": Path(args.annotations).name,
        "classes": list(truth.classes),
        SEEN: {**videos_seen(settings.weights), **{name: clips.video.sha256 for name, clips in videos.items()}},
        "held_out": sorted(apart),
        "clips": training.source.num_clips_of_all,
        "init": origin_of(settings),
        "first_layer": settings.first_layer,
        "init_sha256": file_sha256(settings.weights) if settings.weights is not None else "",
        "recipe": asdict(training.recipe),
        "epochs": [asdict(epoch) for epoch in training.history],
    }


def learned(training: Tuning) -> str:
    """What the best epoch told right of held-out videos, in words."""
    scored: list[Epoch] = [epoch for epoch in training.history if epoch.score is not None]
    if not scored:
        return ""
    best = max(scored, key=lambda epoch: epoch.score or 0.0)
    told = [f"{name} {value:.2f}" for name, value in best.shown.items() if value is not None]
    return f"recall on held-out videos: {', '.join(told)} (epoch {best.epoch + 1}), "


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    recipe = TuningRecipe()
    parser = argparse.ArgumentParser(
        prog="python -m extract.finetune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_videos(parser)
    add("--annotations", type=Path, required=True, help="annotation JSON, or folder of THUMOS'14 text")
    add("--train-subset", metavar="NAME", help="to learn from (default: Training; of THUMOS'14 Validation)")
    add("--cue", choices=list(CUES), required=True, help="what the backbone watches")
    add("--out", type=Path, required=True, help="weights to write, for extract.rgb or extract.motion --weights")
    add("--backbone", default=ClipSettings.backbone, metavar="NAME", help=f"{', '.join(sorted(BACKBONES))}, or one of "
        "your own: package.module:NAME (default: %(default)s)")  # fmt: skip
    add("--init", type=Path, metavar="WEIGHTS", help="to begin with, or DEFAULT for what the backbone's library "
        "publishes (default: what ships, else random)")  # fmt: skip
    add_first_layer(parser)
    add("--freeze", metavar="LAYER", help="layers up to this one stay as they are (default: all learn)")
    add("--window", type=int, default=0, help="frames seen by one clip (default: the backbone's)")
    add("--stride", type=int, default=0, help="frames between the starts of clips (default: the backbone's)")
    add("--group", metavar="REGEX", help="on the id; videos alike in its first group are held out together (default: "
        "'group' of the annotations, else each video by itself)")  # fmt: skip
    add("--flow", type=Path, metavar="STORE", help="flow computed by flow.tvl1; default: compute it here")
    add("--backend", choices=["auto", "cpu", "cuda", "opencv"], default="auto", help="of flow made here")
    add("--preset", choices=sorted(PRESETS), default="compat", help="of flow made here")
    add_decoder(parser)
    options.add_training(parser, recipe, recipe.patience, "recall")
    args = parse_args(parser, argv)
    options.check_training(parser, args)
    return args


if __name__ == "__main__":
    sys.exit(main())
