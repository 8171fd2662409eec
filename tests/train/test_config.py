"""The configuration: every field reaches what it names, and whatever else a file may hold is refused in one line."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TinyWorld
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.model.architecture import Architecture
from detect.model.detector import Detector
from train.assemble import assemble, open_material
from train.config import Config, Data, Sampling, TrainingError
from train.run import main
from train.settings import difference, flat, set_values

# Another value for every field, and where it arrives. A new field must be entered here, or this test says so.
OTHER: dict[str, Any] = {
    "method": "decomposed", "cues": ["flow"], "seed": 7,
    "data.repair": "drop", "data.subset": "Test", "data.fps": 20.0, "data.window": 8, "data.stride": 2,
    "sampling.batch_size": 3, "sampling.max_length": 16, "sampling.crop_ratio": [0.8, 1.0],
    "sampling.min_overlap": 0.5, "sampling.trials": 1, "sampling.memory_gib": 0.0,
    "model.width": 24, "model.projection_depth": 1, "model.dropout": 0.5, "model.normalise": True,
    "fusion.kind": "concat", "fusion.bias": True,
    "suppression.kind": "hard", "suppression.sigma": 0.3, "suppression.iou": 0.4, "suppression.min_score": 0.2,
    "suppression.max_per_video": 7, "suppression.voting": 0.7,
    "optimiser.epochs": 4, "optimiser.warmup_epochs": 0, "optimiser.min_steps": 20,
    "optimiser.learning_rate": 0.01, "optimiser.final_learning_rate": 1e-3, "optimiser.weight_decay": 0.5,
    "optimiser.clip_norm": 0.01, "optimiser.ema": 0.5, "optimiser.ema_warmup": True,
    "optimiser.threads": 1, "head_options.levels": 2, "head_options.resize": 40,
    "head_options.normaliser": 3.0, "head_options.normaliser_momentum": 0.1, "method_options.branch_weight": 0.5,
}  # fmt: skip
ELSEWHERE = {
    "joint_teacher": "test_unlabelled",
    "data.train_videos": "test_unlabelled",
    "save_every_s": "changes nothing but when last.pt is written: test_last_pt_and_log_are_written_now_and_then",
    "data.verify": "changes nothing but what is compared: test_altered_features_are_refused_unless_told_not_to_look",
    "data.missing": "test_videos_without_features_may_be_left_out",
    "data.unlabelled": "test_unlabelled",
    "data.unlabelled_subset": "test_unlabelled",
    "data.unlabelled_videos": "test_unlabelled",
    "sampling.unlabelled_batch_size": "test_unlabelled",
    "cue": "read where a teacher is loaded: test_teacher",
    "teacher": "read where a teacher is loaded: test_teacher",
    "recipe": "a note: where the values came from",
    "device": "there may be one device alone: test_devices",
    "precision": "test_precision",
    "data.features": "every test names it",
    "data.annotations": "every test names it",
    "data.strict": "test_strict_refuses_what_repair_would_mend",
    "data.repair": "test_a_segment_beyond_its_video_is_refused_clipped_or_dropped_as_told",
    "sampling.workers": "changes nothing but speed: test_workers_change_nothing",
    "sampling.memory_gib": "changes nothing but speed; the room is asserted below",
    "data.fps": "speaks for .npy files: test_npy_training",
    "data.window": "speaks for .npy files: test_npy_training",
    "data.stride": "speaks for .npy files: test_npy_training",
    "method": "every test of test_methods",
    "model.head": "there is one head so far: test_methods has small ones",
}


def base(world: TinyWorld) -> Config:
    config = Config(
        cues=("rgb", "flow"),
        data=Data(str(world.features), str(world.annotations)),
        model=Architecture(width=16),
        sampling=Sampling(batch_size=2, max_length=48, crop_ratio=(0.1, 0.3), min_overlap=1.0),
        head_options={"levels": 3, "window": 5, "heads": 2},
    )
    return set_values(config, ["optimiser.warmup_epochs=1", "optimiser.epochs=3", "optimiser.clip_norm=0.5"])


def fields_of(config: Config) -> set[str]:
    paths = set(flat(dataclasses.asdict(config)))
    return {path for path in paths if not path.startswith(("head_options.", "method_options."))}


def trained(world: TinyWorld, folder: Path, path: str = "") -> tuple[Any, ...]:
    """What a short run is built of and ends with: the detector's whole configuration and every weight of the method."""
    config = base(world)
    if path:
        spelled = path.replace("head_options", "head").replace("method_options", "method")
        config = set_values(config, [f"{spelled}={json.dumps(OTHER[path])}"])
    folder.mkdir()
    config.write(folder / "given.json")
    torch.set_num_threads(1)
    assert main(["--config", str(folder / "given.json"), "--out", str(folder / "run")]) == 0
    detector = Detector.load(folder / "run/detector.pt")
    weights = b"".join(value.numpy().tobytes() for value in detector.state_dict().values())
    return detector.config.to_json(), weights


def test_every_field_is_accounted_for(world: TinyWorld) -> None:
    """A field that nobody sets here, and that has no reason to be set elsewhere, may be read by nobody."""
    assert fields_of(base(world)) <= set(OTHER) | set(ELSEWHERE)


def test_every_field_of_the_configuration_changes_what_is_trained(world: TinyWorld, tmp_path: Path) -> None:
    usual = trained(world, tmp_path / "usual")
    without = [p for p in OTHER if p not in ELSEWHERE and trained(world, tmp_path / p, p) == usual]
    assert without == ["optimiser.threads"], "threads alone change speed and not results, so small a network"


def test_threads_are_set(world: TinyWorld, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        config = set_values(base(world), ["optimiser.threads=1"])
        torch.set_num_threads(2)
        assemble(config, open_material(config.data), tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_memory_has_the_room_it_was_given(world: TinyWorld, tmp_path: Path) -> None:
    config = set_values(base(world), ["sampling.memory_gib=0"])
    _, samples = assemble(config, open_material(config.data), tmp_path)
    assert samples.memory.room == 0


def test_suppression_and_fusion_reach_the_detector(world: TinyWorld) -> None:
    more = ["--set", "suppression.sigma=0.3", "--set", "fusion.bias=true", "--cues", "rgb,flow", "--epochs", "1"]
    assert main(world.arguments(*more)) == 0
    detector = Detector.load(world.runs / "run/detector.pt")
    assert detector.config.suppression.sigma == 0.3
    assert detector.fusion is not None and detector.fusion.query[0].bias is not None


def test_a_configuration_survives_its_file(world: TinyWorld, tmp_path: Path) -> None:
    config = set_values(base(world), ["head.window=[5,5,7]", "suppression.voting=0.7", "model.resize=40"])
    config.write(tmp_path / "config.json")
    assert difference(config, Config.read(tmp_path / "config.json")) == []


def test_a_tuple_in_a_recipe_is_no_difference_to_the_list_in_a_file() -> None:
    one, other = Config(head_options={"window": (7, 9)}), Config(head_options={"window": [7, 9]})
    assert difference(one, other) == []


def test_the_way_two_branches_meet_is_read_from_where_it_stood_before(tmp_path: Path) -> None:
    values = {"model": {"width": 64, "fusion": "concat"}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = Config.read(tmp_path / "config.json")
    assert config.fusion.kind == "concat" and config.model.width == 64
    assert set_values(Config(), ["model.fusion=residual"]).fusion.kind == "residual"


def test_what_a_head_declares_is_read_from_where_it_stood_before(tmp_path: Path) -> None:
    values = {"model": {"resize": 192}, "optimiser": {"normaliser": 200.0}, "head_options": {"levels": 5}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    moved = {"levels": 5, "resize": 192, "normaliser": 200.0}
    assert Config.read(tmp_path / "config.json").head_options == moved
    usual = {"model": {"resize": None}, "optimiser": {"normaliser": 100.0, "normaliser_momentum": 0.9}}
    (tmp_path / "config.json").write_text(json.dumps(usual))
    assert Config.read(tmp_path / "config.json") == Config()
    assert set_values(Config(), ["optimiser.normaliser=7"]).head_options == {"normaliser": 7}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expected the config.json of a run"),
        ("[" * 100_000, "Expected the config.json of a run"),
        ("[1]", "expected an object of settings"),
        ('{"seed": 1, "seed": 2}', "'seed' is there twice"),
        ('{"seed": 1' + "0" * 5000 + "}", "Expected the config.json of a run"),
        ('{"seed": 1' + "0" * 400 + "}", "expected an int"),
        ('{"seed": -1}', "expected 0 to"),
        ('{"seed": true}', "expected an int"),
        ('{"optimiser": {"ema": NaN}}', "ema = nan: expected a float such as 0.999"),
        ('{"optimiser": 3}', "optimiser: 3: expected an object of settings"),
        ('{"optimiser": null}', "expected an object of settings"),
        ('{"cues": "rgb"}', "cues = 'rgb': expected a list of strs"),
        ('{"cues": [1]}', "expected a list of strs"),
        ('{"sampling": {"crop_ratio": [0.5]}}', "expected a list of floats"),
        ('{"sampling": {"workers": -1}}', "expected zero or more"),
        ('{"model": {"width": 0}}', "model.width = 0: expected a value above zero"),
        ('{"model": {"width": 9007199254740993}}', "expected an int"),
        ('{"model": {"width": 9007199254740991}}', "expected at most"),
        ('{"head_options": [1]}', "expected an object of settings"),
        ('{"suppression": {"kind": "soft"}}', "kind must be one of"),
        ('{"data": {"repair": "mend"}}', "expected 'clip', 'drop' or nothing"),
    ],
)
def test_a_damaged_configuration_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(TrainingError) as refused:
        Config.read(tmp_path / "config.json")
    assert said in str(refused.value) and "config.json" in str(refused.value) and "\n" not in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(path=st.sampled_from(sorted({*OTHER, *ELSEWHERE})), value=JSON)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_place_is_taken_or_refused(tmp_path: Path, path: str, value: Any) -> None:
    values: dict[str, Any] = json.loads(Config().to_json())
    *sections, name = path.split(".")
    inner: Any = values
    for section in sections:
        inner = inner[section]
    inner[name] = value
    (tmp_path / "config.json").write_text(json.dumps(values))
    try:
        config = Config.read(tmp_path / "config.json")
    except TrainingError as error:
        assert len(str(error)) < 1000
        return
    assert isinstance(config.head_options, Mapping) and type(config.seed) is int


@pytest.mark.parametrize(
    "values",
    [
        {"method": "magic"}, {"model": {"head": "magic"}}, {"cues": []}, {"cues": ["rgb", "rgb", "rgb"]},
        {"head_options": {"levels": "x"}}, {"head_options": {"levels": 0}}, {"head_options": {"heads": 0}},
        {"head_options": {"heads": 10**30}}, {"head_options": {"window": []}}, {"head_options": {"prior": 0}},
        {"head_options": {"width": 2**40}}, {"head_options": {"dropout": 7}}, {"head_options": {"mlp_ratio": -1}},
        {"head_options": {"first_range": "far"}}, {"head_options": {"radius": None}}, {"head_options": {"window": 4}},
        {"head_options": {"max_candidates": 1.5}}, {"head_options": {"resize": 0}}, {"head_options": {"tower": [1]}},
        {"head_options": {"normaliser": 0}}, {"head_options": {"normaliser_momentum": 1.0}},
        {"head_options": {"resize": "long"}},
        {"method_options": {"branch_weight": "x"}}, {"method_options": {"branch_weight": [1]}},
        {"device": "magic"}, {"data": {"subset": "magic"}}, {"data": {"train_videos": "99"}},
        {"data": {"features": "nowhere.h5"}}, {"data": {"annotations": "nowhere.json"}},
        {"data": {"unlabelled": "nowhere.h5"}}, {"teacher": "nowhere.pt", "method": "direct"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_settings_that_no_run_can_have_are_refused_in_one_line(
    world: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any]
) -> None:
    whole = json.loads(base(world).to_json())
    for name, value in values.items():
        whole[name] = whole[name] | value if isinstance(value, dict) else value
    (tmp_path / "given.json").write_text(json.dumps(whole))
    assert main(["--config", str(tmp_path / "given.json"), "--out", str(tmp_path / "run")]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "Error: " in line]
    assert len(said) == 1 and not (tmp_path / "run").exists()
