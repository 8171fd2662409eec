"""A detector trained from arrays in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detect.model.architecture import Architecture
from detect.model.detector import Detector
from evaluate.files.annotations import Annotations, make_annotations
from flowless.api.arrays import VideoFeatures, in_memory
from train.assemble import Material, check_members
from train.config import Config, TrainingError
from train.methods import METHODS
from train.recipes.choosing import by_recipe, for_epochs
from train.recipes.recipe import NAMES
from train.settings import set_values
from train.whole_run import carry_out, make_ready, with_usual_cues

Rows = Sequence[tuple[float, float, str]]  # (start_s, end_s, label)


def train(
    features: Mapping[str, VideoFeatures],
    annotations: Mapping[str, Rows] | Annotations,
    *,
    method: str = "supervised",
    cues: Sequence[str] | str | None = None,
    teacher: Detector | Path | str | None = None,
    joint_teacher: Detector | Path | str | None = None,
    head: str = "actionformer",
    recipe: str = "auto",
    epochs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str | None = None,
    out: Path | str | None = None,
) -> Detector:
    """Learns from the videos that are annotated; each must have features. What a run remarks on goes to stderr.

    annotations: (start_s, end_s, label) of each action by video, none for a video of background; or what
    `read_annotations` gave, of the subset to learn from.
    method, cues, head, recipe, epochs, seed, device, precision: as the options of train.run. cues: the stream that
    each branch reads. teacher, joint_teacher: of a method that distils. settings: any field of config.json by its
    path, such as {"optimiser.learning_rate": 1e-3, "head.levels": 4}.
    out: a folder to keep the run in, as train.run writes it; None: nothing is left on the disk.

    Returns the detector in evaluation mode. Raises ArrayError, AnnotationError, TrainingError, DetectorError or
    DeviceError, each saying what to do. After Ctrl-C a run without `out` is lost.
    """
    if out is not None and (isinstance(teacher, Detector) or isinstance(joint_teacher, Detector)):
        raise TrainingError("out: a run that is kept names its teachers by their files: give the detector.pt of each")
    asked = Config(method=method, seed=seed, device=device, model=Architecture(head=head))
    check_members(asked)
    if recipe not in ("auto", *NAMES):
        raise TrainingError(f"recipe {recipe!r}: there is none of this name. There are: auto, {', '.join(NAMES)}")
    if METHODS[method].needs_teacher and teacher is None:
        raise TrainingError(
            f'method {method} learns from a motion teacher: train one first, train(..., cues="flow"), and give it as '
            "teacher="
        )
    material = Material(in_memory(features), _truth(annotations, features))
    with tempfile.TemporaryDirectory(prefix="flowless-") as nowhere:
        teachers = {"teacher": teacher, "joint_teacher": joint_teacher}
        files: dict[str, Any] = {n: _as_file(one, Path(nowhere) / f"{n}.pt") for n, one in teachers.items()}
        config = _settled(replace(asked, **files), material, cues, recipe, epochs, precision, settings or {})
        folder = Path(nowhere) / "training" if out is None else Path(out)
        ready = make_ready(config, material, folder)
        assert ready is not None, "there is no run that could be finished"
        carry_out(ready, folder)
        return Detector.load(folder / "detector.pt", next(ready.run.method.parameters()).device)


def _settled(
    config: Config,
    material: Material,
    cues: Sequence[str] | str | None,
    recipe: str,
    epochs: int | None,
    precision: str | None,
    settings: Mapping[str, Any],
) -> Config:
    """In the order of the command: cues, recipe, epochs, then single settings."""
    if cues is None:
        config = with_usual_cues(config, material)
    else:
        config = replace(config, cues=tuple(cues.split(",")) if isinstance(cues, str) else tuple(cues))
    many = (len(material.truth.videos), material.num_steps, material.truth.dataset)
    config = for_epochs(by_recipe(config, recipe, config.model.head, *many), epochs)
    if precision is not None:
        config = replace(config, precision=precision)
    config = set_values(config, [f"{path}={json.dumps(value)}" for path, value in settings.items()])
    check_members(config)
    return config


def _truth(annotations: Mapping[str, Rows] | Annotations, features: Mapping[str, VideoFeatures]) -> Annotations:
    if isinstance(annotations, Annotations):
        return annotations
    known = {video: features[video] for video in annotations if video in features}
    durations_s = {video: one.duration_s for video, one in known.items()}
    return make_annotations(annotations, durations_s, fps={video: one.fps for video, one in known.items()})


def _as_file(teacher: Detector | Path | str | None, place: Path) -> str:
    """The path of a teacher's file, which is written to `place` where there is none; "" for no teacher."""
    if isinstance(teacher, Detector):
        teacher.save(place)
        return str(place)
    return "" if teacher is None else str(teacher)
