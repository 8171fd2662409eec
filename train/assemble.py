"""From a configuration to a run that can start: data checked, detector and method built, teachers cached."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import features
from detect.heads import HEADS
from detect.heads.base import Croppable
from detect.missing import with_features
from detect.model.detector import Detector, DetectorConfig, sample_rule
from detect.precision import set_precision
from detect.windows import SampleRule
from evaluate.files.annotations import Annotations, read_annotations
from evaluate.files.subsets import training_subset
from features.importing.fit import misfit
from features.running.devices import choose_device
from features.running.ranks import ALONE, Ranks, device_of_rank
from features.storage.rates import note_of_many, rates_of, usual_rate
from features.storage.store import Store
from train.checkpoint import Run
from train.config import Config, Data, TrainingError
from train.data.dataset import Samples
from train.data.memory import Memory
from train.data.unlabelled import Unlabelled, find_unlabelled, labelled_part, unlabelled_pool
from train.data.videos import Pool, channel_statistics, check_actions, videos_of
from train.methods import METHODS
from train.methods.base import Method
from train.optimiser import Average, make_optimiser
from train.origin import Origin, annotations_id, origin_of
from train.settings import check_types, from_dict
from train.teacher import ROLES, LiveTeacher, cache_of, cache_teacher, check_teacher, motion_branch

LOOKED_AT = 200  # videos whose features are compared with their durations; a slip shows in each


@dataclass(frozen=True)
class Material:
    """What there is to learn from."""

    store: Store
    truth: Annotations  # of the labelled videos; its classes are those of the whole file
    unlabelled: Unlabelled | None = None
    whole: Annotations | None = None  # of all subsets, as read

    @property
    def streams(self) -> set[str]:
        """What the store holds of any labelled video."""
        there = set(self.store.videos)
        return {s for v in self.truth.videos if v in there for s in self.store.streams(v)}

    @property
    def num_steps(self) -> int:
        there = set(self.store.videos)
        return sum(self.store.row(v, self.store.streams(v)[0]).num_steps for v in self.truth.videos if v in there)


def open_material(data: Data) -> Material:
    """Annotations of the training subset and the store of their features; remarks about either go to stderr."""
    everything = read_annotations(data.annotations, strict=not data.repair, repair=data.repair or "clip")
    truth = labelled_part(everything.subset(training_subset(everything, data.subset)), data.train_videos)
    if data.strict and truth.flaws:
        raise TrainingError(f"{data.annotations}: {'; '.join(truth.remarks)}. Correct the file, or leave --strict away")
    for remark in truth.remarks:
        print(f"{data.annotations}: {remark}", file=sys.stderr)
    fps = data.fps or {video: t.fps for video, t in truth.videos.items() if t.fps}
    window, stride = data.window or None, data.stride or None
    store = features.open(data.features, fps=fps or None, window=window, stride=stride, verify=data.verify)
    for remark in store.remarks:
        print(remark, file=sys.stderr)
    unlabelled = find_unlabelled(data, everything, truth, store)
    if unlabelled is not None:
        print(unlabelled.remark, file=sys.stderr)
    return Material(store, truth, unlabelled, everything)


def assemble(config: Config, material: Material, folder: Path, ranks: Ranks = ALONE) -> tuple[Run, Samples]:
    """Everything `loop.fit` needs. The same configuration gives the same weights and samples."""
    if config.optimiser.threads:
        torch.set_num_threads(config.optimiser.threads)
    device = choose_device(device_of_rank(config.device, ranks))
    kind = METHODS[config.method]
    branches = kind.branches(config.cues)
    student_cues = tuple(dict.fromkeys(branches))
    teachers = load_teachers(config, kind)
    cues = tuple(dict.fromkeys([*student_cues, *(cue for teacher in teachers.values() for cue in teacher.cues)]))
    rule = sample_rule(config.model, config.head_options)
    pools = make_pools(material, cues, rule)
    if kind.needs_teacher:
        check_rgb(material.store, pools[0].videos[0].name, student_cues)
    seed_everything(config.seed)
    detector = Detector(detector_config(config, branches, material))
    rates = rates_of(material.store, material.truth.videos, student_cues[0], detector.config.stride)
    if remark := note_of_many(rates):
        print(f"note: {remark}", file=sys.stderr)
    if config.model.normalise:
        detector.set_normalisation({cue: channel_statistics(pools, cue, rule) for cue in student_cues})
    memory = Memory(int(config.sampling.memory_gib * 2**30))
    for role, teacher in teachers.items():
        check_teacher(Path(getattr(config, ROLES[role])), teacher.config, detector.config, material.store, role)
    live = {}
    if isinstance(detector.head, Croppable):
        with ranks.first_before_others():  # who find the answers cached
            pools = [
                with_teachers(pool, config, teachers, cache_of(pool.store, folder, name), memory, device)
                for pool, name in zip(pools, ("teacher", "teacher-unlabelled"), strict=False)
            ]
    else:
        live = {role: LiveTeacher(teacher, device, role) for role, teacher in teachers.items()}
    optimiser = config.optimiser
    method = kind(detector, method_options(config)).to(device)
    method.among(ranks)
    for network in (method, *(one.detector for one in live.values())):
        set_precision(network, config.precision)
    unlabelled = pools[1] if len(pools) > 1 else None
    samples = Samples(pools[0], unlabelled, student_cues, config.sampling, config.seed, detector, memory, live, ranks)
    average = Average(detector, optimiser.ema, optimiser.ema_warmup)
    epochs, _ = optimiser.lengths(samples.steps_per_epoch())
    if not ranks.first:
        torch.manual_seed(config.seed + 2**32 * ranks.rank)  # the same weights, but another dropout of other samples
    return Run(method, average, make_optimiser(method, optimiser), epochs=epochs), samples


def check_members(config: Config) -> None:
    """Refuse a method or a head that there is not, and options of the head that are of no type of its own."""
    for what, name, family in (("method", config.method, METHODS), ("head", config.model.head, HEADS)):
        if name not in family:
            raise TrainingError(f"{what} {name!r:.60}: there is none of this name. There are: {', '.join(family)}")
    if not config.cues:
        raise TrainingError("cues: empty. Expected the stream that each branch reads, such as rgb")
    check_types(HEADS[config.model.head].Config, config.head_options, "head")


def cues_read(config: Config) -> list[str]:
    """The streams that a run reads, its own and its teachers'."""
    watched = [cue for path in teacher_paths(config) for cue in Detector.load(path).cues]
    return list(dict.fromkeys([*METHODS[config.method].branches(config.cues), *watched]))


def teacher_paths(config: Config) -> list[str]:
    return [path for name in ROLES.values() if (path := getattr(config, name))]


def without_missing(config: Config, material: Material, folder: Path) -> Material:
    """The material without the videos that have no features, where these may be skipped; else StoreError."""
    cues, how, others = cues_read(config), config.data.missing, material.unlabelled
    names = with_features(material.store, list(material.truth.videos), cues, how, folder / "missing.txt")
    if others is not None:
        found = with_features(others.store, others.videos, cues, how, folder / "missing-unlabelled.txt")
        others = replace(others, videos=tuple(found))
    return Material(material.store, material.truth.only(names), others)


def origin_for(config: Config, material: Material) -> Origin:
    """What the run is made from, in fingerprints."""
    stores: list[tuple[Store, Sequence[str]]] = [(material.store, list(material.truth.videos))]
    if material.unlabelled is not None:
        stores.append((material.unlabelled.store, material.unlabelled.videos))
    return origin_of(material.truth, stores, cues_read(config), teacher_paths(config))


def detector_config(config: Config, branches: tuple[str, ...], material: Material) -> DetectorConfig:
    store = material.store
    first = next(iter(material.truth.videos))
    attributes = store.attributes(first, branches[0])
    return DetectorConfig(
        classes=material.truth.classes,
        feature_dims={cue: int(store.read(first, cue, 0, 1).shape[1]) for cue in dict.fromkeys(branches)},
        branches=branches,
        **asdict(config.model),
        fusion=config.fusion,
        suppression=config.suppression,
        head_config=dict(config.head_options),
        feature_ids={cue: store.feature_id(cue) for cue in dict.fromkeys(branches)},
        window=int(attributes["window"]),
        stride=int(attributes["stride"]),
        geometry=str(attributes.get("geometry", "")),
        steps_per_s=usual_rate(rates_of(store, material.truth.videos, branches[0], int(attributes["stride"]))),
        annotations=annotations_id(material.truth),
        precision=config.precision,
    )


def make_pools(material: Material, cues: Sequence[str], rule: SampleRule) -> list[Pool]:
    """The labelled videos and, where there are some, those without labels; both checked against their stores."""
    store, truth = material.store, material.truth
    videos = videos_of(store, truth, cues, rule)
    durations = {video.name: truth.videos[video.name].duration_s for video in videos[:LOOKED_AT]}
    slip = (
        "--set data.stride=... or --fps" if Path(store.path).is_dir() else "window, stride or rate when they were made"
    )
    for remark in (check_actions(store, truth, videos), misfit(store, durations, cues[0], slip)):
        if remark:
            print(remark, file=sys.stderr)
    pools = [Pool(store, videos)]
    if material.unlabelled is not None:
        pools.append(unlabelled_pool(material.unlabelled, store, [video.name for video in videos], cues, rule))
    return pools


def with_teachers(
    pool: Pool, config: Config, teachers: Mapping[str, Detector], cache: Path, memory: Memory, device: torch.device
) -> Pool:
    """The pool with every teacher's answers to its videos."""
    names = [video.name for video in pool.videos]
    cached = {
        role: cache_teacher(Path(getattr(config, ROLES[role])), teacher, pool.store, names, cache, memory, device, role)
        for role, teacher in teachers.items()
    }
    return replace(pool, teachers=cached)


def check_rgb(store: Store, video: str, cues: Sequence[str]) -> None:
    """Refuse, for a student that is to detect from RGB, a stream that was made from anything else."""
    for cue in cues:
        shown = store.attributes(video, cue).get("cue", "rgb")
        if shown != "rgb":
            raise TrainingError(
                f"--cues {','.join(cues)}: the stream {cue!r} of {store.path} was made from {shown}. "
                f"A distilling method reads rgb alone; extract it with extract.rgb"
            )


def load_teachers(config: Config, kind: type[Method]) -> dict[str, Detector]:
    """The frozen teachers of a distilling method by role; a missing one is an error saying how to make it."""
    if not kind.needs_teacher:
        refuse_distillation(config)
        return {}
    cue = config.cue or "flow"
    data = config.data
    if not config.teacher:
        raise TrainingError(
            f"method {config.method} learns from a motion teacher: give it with --teacher runs/{cue}/detector.pt. "
            f"To make it:\n  python -m train.run --features {data.features} --annotations {data.annotations} "
            f"--method supervised --cues {cue} --head {config.model.head} --out runs/{cue}"
        )
    if (data.unlabelled or data.unlabelled_subset) and not config.joint_teacher:
        print("without --joint-teacher the deployed head hears nothing of videos without labels", file=sys.stderr)
    teachers = {role: Detector.load(path) for role, name in ROLES.items() if (path := getattr(config, name))}
    branches = teachers["motion"].config.branches
    watched = " and ".join(branches)
    if config.cue and {branch for branch in branches if branch != "rgb"} != {config.cue}:
        raise TrainingError(
            f"{config.teacher}: watches {watched}, but --cue is {config.cue}. "
            f"Leave --cue away, or name a teacher of this cue"
        )
    if motion_branch(branches) is None:
        lacking = f"{config.teacher}: watches {watched} with no single motion branch whose features could be mimicked"
        if kind.needs_teacher_features:
            raise TrainingError(f"{lacking}, which is all that {config.method} does. Name a teacher of one motion cue")
        print(f"{lacking}: its predictions alone teach the motion branch", file=sys.stderr)
    return teachers


def refuse_distillation(config: Config) -> None:
    """Of a method that learns from ground truth alone, whatever only a teacher could make use of."""
    data = config.data
    for option, given, why in (
        ("--teacher", config.teacher, "has no teacher"),
        ("--joint-teacher", config.joint_teacher, "has no teacher"),
        ("--unlabelled", data.unlabelled, "learns from ground truth alone, which videos without labels have none of"),
        ("--unlabelled-subset", data.unlabelled_subset, "learns from ground truth alone, and would not read it there"),
    ):
        if given:
            distilling = ", ".join(name for name, kind in METHODS.items() if kind.needs_teacher)
            raise TrainingError(
                f"{option} {given}: method {config.method} {why}. Leave {option} away (with --config: give "
                f"{option} ''), or take a method that distils a teacher: {distilling}"
            )


def method_options(config: Config) -> Any:
    return from_dict(METHODS[config.method].Options, config.method_options, f"method {config.method}")


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (for code that draws from the global generator)
    torch.manual_seed(seed)
