"""Every setting of extraction and of a motion student reaches what it names, or says why it changes nothing."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from moving_bars import moving_bars

from extract.backbones import build_backbone
from extract.learning.student import Student, StudentRecipe
from extract.learning.student_training import StudentEpoch, StudentTraining
from extract.learning.training import train_to_end
from extract.pipeline.settings import ClipSettings

pytestmark = pytest.mark.usefixtures("one_thread")

# Another value for every field. A new field must be entered here or below, or the tests say so.
CLIPS: dict[str, Any] = {
    "cue": "gradient", "backbone": "i3d_inception", "weights_sha256": "1" * 64, "window": 32, "stride": 8,
    "precision": "bfloat16", "motion": "{}", "first_layer": "mean", "tail": "window",
    "geometry": "size256x340-crop224-linear/1", "output": "motion", "min_decoded": 0.5, "fps": 15.0,
}  # fmt: skip
CHANGE_NO_FEATURE = {
    "weights": "their digest counts, not where they lie",
    "convention": "a name for values that count themselves",
    "batch": "rounding alone: test_a_clip_in_a_batch_has_the_features_it_has_alone",
    "device": "rounding alone",
    "compiled": "rounding alone: test_a_compiled_network_gives_the_features_that_it_gives_otherwise",
    "decoder": "counts where it gives other pixels, by the video's decoded_by: below",
    "flow_store": "stored flow and computed flow are one: motion says how it is made",
    "flow_backend": "in motion",
    "flow_preset": "in motion",
    "stream": "a name",
}
STUDENT: dict[str, Any] = {
    "seed": 1, "epochs": 2, "batch": 4, "learning_rate": 1e-3, "weight_decay": 0.5, "warmup": 0.9, "colour": 0.0,
    "light": 0.0,
}  # fmt: skip
OF_STUDENTS_ELSEWHERE = {
    "appearance_weight": "of a twin: test_twin",
    "patience": "when training ends: below",
}


def identity(**changes: Any) -> tuple[str, str]:
    made = ClipSettings(**{"cue": "rgb", "backbone": "nano", "weights_sha256": "0" * 64, **changes})
    return made.feature_id, made.fingerprint("2" * 64)


def test_every_setting_of_a_clip_is_accounted_for() -> None:
    assert {field.name for field in dataclasses.fields(ClipSettings)} == {*CLIPS, *CHANGE_NO_FEATURE}
    assert not set(CLIPS) & set(CHANGE_NO_FEATURE)


@pytest.mark.parametrize("name", CLIPS)
def test_features_are_made_anew_where_a_setting_that_changes_them_is_another(name: str) -> None:
    usual: dict[str, Any] = (
        {"cue": "flow", "weights": Path("w.pt")} if name == "first_layer" else {}
    )  # which RGB does not have
    before, after = identity(**usual), identity(**{**usual, name: CLIPS[name]})
    assert after[1] != before[1]
    kept = name in ("min_decoded", "fps")  # such videos may be used beside others
    assert (after[0] == before[0]) is kept


def test_features_are_kept_where_a_setting_that_changes_none_is_another() -> None:
    others: dict[str, Any] = {
        "weights": Path("elsewhere.pt"), "batch": 3, "device": "cuda", "decoder": "opencv", "flow_store": Path("x.h5"),
        "compiled": True,
        "flow_backend": "cuda", "flow_preset": "fast", "stream": "rgb_motion", "convention": "actionformer",
    }  # fmt: skip
    assert others.keys() == CHANGE_NO_FEATURE.keys()
    assert all(identity(**{name: value}) == identity() for name, value in others.items())
    settings = ClipSettings("rgb", backbone="nano")
    assert settings.fingerprint("2" * 64, decoded_by="opencv") != settings.fingerprint("2" * 64)


def trained(**changes: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    source = moving_bars(16)
    backbone = build_backbone("nano", "rgb").requires_grad_(True)
    recipe = StudentRecipe(**{"epochs": 1, "batch": 8, **changes})
    return train_to_end(StudentTraining(Student(backbone, source.dim), recipe, source), None).state_dict()


def test_every_setting_of_a_student_changes_what_it_learns() -> None:
    assert {field.name for field in dataclasses.fields(StudentRecipe)} == {*STUDENT, *OF_STUDENTS_ELSEWHERE}
    usual, again = trained(), trained()
    assert all(torch.equal(usual[name], again[name]) for name in usual)
    for name, value in STUDENT.items():
        other = trained(**{name: value})
        assert any(not torch.equal(usual[weight], other[weight]) for weight in usual), name


@pytest.mark.parametrize(("patience", "ended"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_student_that_no_longer_gets_better_is_waited_for_as_long_as_the_recipe_says(
    patience: int, ended: bool
) -> None:
    source = moving_bars(8)
    student = Student(build_backbone("nano", "rgb"), source.dim)
    training = StudentTraining(student, StudentRecipe(epochs=9, batch=8, patience=patience), source)
    training.history = [StudentEpoch(n, n + 1, 0.0, r2, None) for n, r2 in enumerate([0.5, 0.6, 0.4, 0.3])]
    assert training.finished is ended
