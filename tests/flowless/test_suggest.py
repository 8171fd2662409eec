"""Settings proposed from lengths: near the published ones where there are such, sound everywhere, and taken whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from broken_worlds import STRIDE, WINDOW, World
from hypothesis import given
from hypothesis import strategies as st

from detect.heads import HEADS
from detect.model.detector import settings_of
from evaluate.files.annotations import Annotations, VideoTruth, read_annotations
from flowless.suggest import main, propose
from flowless.suggesting.measured import measure
from flowless.suggesting.rules import MOST_LEVELS, POINTS, Clips, Proposal
from flowless.suggesting.rules import WINDOW as USUAL_WINDOW
from train import run as training
from train.config import Config
from train.settings import TrainingError

PUBLISHED = {  # ActionFormer's and OpenTAD's configurations: data -> subset, settings
    "thumos14": ("Validation", {"window": 16, "stride": 4, "sampling.max_length": 2304, "head.levels": 6,
                                "head.first_range": 4.0, "head.resize": None, "optimiser.epochs": 35}),
    "multithumos": ("Validation", {"window": 16, "stride": 4, "sampling.max_length": 2304, "head.levels": 6,
                                   "head.first_range": 4.0, "head.resize": None, "optimiser.epochs": 35}),
    "activitynet13": ("training", {"window": 16, "stride": 16, "head.levels": 6, "head.first_range": 4.0,
                                   "head.resize": 192, "optimiser.epochs": 15}),
}  # fmt: skip
WINDOWS = [  # data, head, settings of OpenTAD or the authors
    ("thumos14", "afsd", {"every": 3, "length": 64}),
    ("thumos14", "gtad", {"length": 256, "durations": 64}),
    ("thumos14", "tadtr", {"length": 256, "queries": 40}),
    ("thumos14", "tags", {"length": 256}),
    ("activitynet13", "afsd", {"resize": 96, "length": 96}),
    ("activitynet13", "gtad", {"resize": 100, "length": 100, "durations": 100}),
    ("activitynet13", "tags", {"resize": 100, "length": 100}),
]


def proposed(truth: Annotations, head: str | None = None, given: Clips | None = None) -> tuple[Config, Proposal]:
    proposal = Proposal()
    config, _ = propose(measure(truth, {}, {}), head, None, given, proposal)
    return config, proposal


def published(shared_data: Path, name: str) -> Annotations:
    file = shared_data / f"{name}.json"
    return read_annotations(file, strict=False, repair="clip").subset(PUBLISHED[name][0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_arrives_at_the_published_settings_of_actionformer(shared_data: Path, name: str) -> None:
    config, proposal = proposed(published(shared_data, name))
    assert {path: proposal.values.get(path) for path in PUBLISHED[name][1]} == PUBLISHED[name][1]
    assert config.recipe == name
    assert config.model.head == "actionformer"


@pytest.mark.parametrize(("name", "head", "wanted"), WINDOWS)
def test_windows_of_the_other_heads_are_near_the_published(
    shared_data: Path, name: str, head: str, wanted: dict[str, int]
) -> None:
    options = proposed(published(shared_data, name), head)[0].head_options
    for setting, value in wanted.items():
        assert value / 1.3 <= options[setting] <= value * 1.3, (setting, options[setting])


def test_a_head_without_a_recipe_for_dense_classes_says_why(shared_data: Path) -> None:
    with pytest.raises(TrainingError, match="softmax"):
        proposed(published(shared_data, "multithumos"), "afsd")


def made_up(
    usual_s: float, spread: float, video_s: float, *, videos: int = 60, fps: float = 30.0, per_video: int = 5
) -> Annotations:
    """Lengths of a log-normal distribution, put anywhere in videos whose lengths are of another one."""
    draw = np.random.default_rng(0)
    rows = {}
    for i in range(videos):
        duration_s = video_s * float(np.exp(draw.normal(0, 0.4)))
        length = np.minimum(usual_s * np.exp(draw.normal(0, spread, per_video)), 0.95 * duration_s)
        start = draw.uniform(0, duration_s - length)
        labels = np.arange(per_video) % 3
        rows[f"v{i}"] = VideoTruth("Training", duration_s, fps, np.stack([start, start + length], 1), labels)
    return Annotations(("a", "b", "c"), rows)


@given(
    usual_s=st.floats(0.05, 900),
    spread=st.floats(0.05, 1.5),
    times=st.floats(1.2, 2000),
    fps=st.sampled_from([10.0, 25.0, 60.0]),
    head=st.sampled_from(list(HEADS)),
)
def test_settings_are_sound_whatever_the_lengths(
    usual_s: float, spread: float, times: float, fps: float, head: str
) -> None:
    truth = made_up(usual_s, spread, usual_s * times, videos=12, fps=fps)
    try:
        config, proposal = proposed(truth, head)
    except TrainingError as error:
        assert "has no recipe" in str(error)
        return
    settings_of(config.model, config.head_options)  # the head takes them
    stride = proposal.values["stride"]
    assert stride in (1, 2, 4, 8, 16)
    assert proposal.values["window"] >= stride
    if head == "actionformer":
        levels = config.head_options["levels"]
        span = config.head_options["resize"] or config.sampling.max_length
        assert 2 <= levels <= MOST_LEVELS
        assert levels == 2 or span / 2 ** (levels - 1) >= POINTS
    assert set(proposal.reasons) == set(proposal.values)
    assert all(len(why) > 5 for why in proposal.reasons.values())


def test_twice_as_slow_actions_get_twice_the_stride_and_the_same_pyramid() -> None:
    values = [proposed(made_up(usual_s, 0.8, 60 * usual_s))[1].values for usual_s in (1.5, 3.0)]
    assert values[1]["stride"] == 2 * values[0]["stride"]
    assert values[1]["head.levels"] == values[0]["head.levels"]
    assert values[1]["sampling.max_length"] == values[0]["sampling.max_length"]


def test_a_higher_frame_rate_changes_the_stride_and_no_stretch_of_time() -> None:
    slow, fast = (proposed(made_up(3.0, 0.8, 100.0, fps=fps))[1].values for fps in (15.0, 30.0))
    assert fast["stride"] == 2 * slow["stride"]
    assert fast["head.levels"] == slow["head.levels"]


def test_videos_of_sixty_frames_a_second_are_to_be_read_at_thirty() -> None:
    assert proposed(made_up(3.0, 0.8, 100.0, fps=60.0))[1].values["fps"] == 30.0


def test_wider_spread_lengths_get_more_levels() -> None:
    levels = [proposed(made_up(3.0, spread, 300.0))[1].values["head.levels"] for spread in (0.1, 0.8, 1.4)]
    assert levels[0] < levels[1] < levels[2]


def test_few_short_videos_get_the_small_recipe_and_are_not_resized(shared_data: Path) -> None:
    truth = read_annotations(shared_data / "urfall" / "annotations.json").subset("train")
    config, proposal = proposed(truth)
    assert config.recipe == "small"
    assert proposal.values["head.resize"] is None
    assert proposal.values["stride"] == 4
    assert config.sampling.max_length * 4 / 30 >= 0.85 * np.quantile(
        [v.duration_s for v in truth.videos.values()], 0.85
    )


def test_features_that_are_there_keep_their_stride_and_coarse_ones_are_told() -> None:
    fine = proposed(made_up(1.0, 0.5, 60.0), given=Clips(16, 4, 30.0))[1]
    coarse = proposed(made_up(1.0, 0.5, 60.0), given=Clips(64, 64, 30.0))[1]
    assert (fine.values["stride"], coarse.values["stride"]) == (4, 64)
    assert "a stride of 2 shows more" in coarse.reasons["stride"]
    assert "enough" in fine.reasons["stride"]
    assert coarse.values["head.levels"] < fine.values["head.levels"]


def test_overlap_is_counted_where_another_action_is_in_the_middle() -> None:
    segments = np.array([[0.0, 4.0], [1.0, 3.0], [10.0, 12.0], [20.0, 30.0], [20.0, 30.0]])
    truth = Annotations(("a", "b"), {"v": VideoTruth("T", 40.0, 30.0, segments, np.array([0, 1, 0, 0, 1]))})
    data = measure(truth, {}, {})
    assert data.overlapping == pytest.approx(2 / 5), "one stretch with two labels is one action"
    assert data.most_within(4.0) == 2


def written(folder: Path, *more: str) -> tuple[Path, list[str]]:
    """A config for a small world, and the arguments that name its data."""
    arguments = World(folder, "extracted").write()
    out = folder / "config.json"
    assert main([*arguments, "--out", str(out), *more]) == 0
    return out, arguments


SMALL = ["--set", "model.width=16", "--set", "head.heads=2", "--set", "optimiser.min_steps=0"]


def test_training_takes_the_config_and_options_beside_it_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = written(tmp_path, "--cues", "rgb,flow")
    told = capsys.readouterr().out
    assert "cost of one run" in told
    assert f"train.run --config {config}" in told
    suggested = Config.read(config)
    assert suggested.data.features
    assert suggested.reasons["stride"].startswith(f"{STRIDE}: ")
    assert suggested.reasons["window"].startswith(f"{WINDOW}: ")
    run = ["--config", str(config), "--out", str(tmp_path / "run")]
    assert training.main([*run, "--epochs", "1", "--cues", "rgb", "--set", "head.levels=3", *SMALL]) == 0
    used = Config.read(tmp_path / "run" / "config.json")
    assert used.cues == ("rgb",)
    assert used.optimiser.epochs == 1
    assert used.head_options == {**suggested.head_options, "levels": 3, "heads": 2}
    assert used.sampling == suggested.sampling
    assert set(suggested.reasons) - set(used.reasons) == {"head.levels", "optimiser.epochs"}, "a changed one has none"


def test_another_head_beside_a_config_starts_from_its_own_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = written(tmp_path, "--no-cost")
    run = ["--config", str(config), "--out", str(tmp_path / "run"), "--head", "tadtr"]
    assert training.main([*run, "--epochs", "1", "--set", "model.width=16", "--set", "head.heads=2"]) == 0
    used = Config.read(tmp_path / "run" / "config.json")
    assert used.model.head == "tadtr"
    assert "levels" not in used.head_options
    assert "tadtr starts from its recipe" in capsys.readouterr().err
    assert not any(path.startswith("head.") for path in used.reasons)


def test_reasons_change_nothing_and_a_run_goes_on_without_them(tmp_path: Path) -> None:
    config, _ = written(tmp_path, "--no-cost")
    run = ["--out", str(tmp_path / "run"), "--epochs", "2", *SMALL]
    assert training.main(["--config", str(config), *run, "--stop-after", "1"]) == 75
    values = json.loads(config.read_text())
    del values["reasons"]
    config.write_text(json.dumps(values))
    assert training.main(["--config", str(config), *run, "--resume"]) == 0


def test_without_features_it_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = World(tmp_path, "extracted").write()[2:]
    assert main([*arguments, "--out", str(tmp_path / "config.json"), "--no-cost"]) == 0
    told = capsys.readouterr().out
    stride = Config.read(tmp_path / "config.json").reasons["stride"].partition(":")[0]
    assert "extract.rgb --videos videos/ --features features/mine.h5" in told
    assert f"--window {USUAL_WINDOW} --stride {stride}" in told


def test_what_cannot_be_measured_is_refused_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, "extracted")
    for row in world.database.values():
        row["annotations"] = []
    assert main([*world.write()[2:], "--out", str(tmp_path / "config.json")]) == 2
    assert "no action" in capsys.readouterr().err
    assert not (tmp_path / "config.json").exists()
    assert main([*world.write()[2:], "--out", str(tmp_path / "annotations.json")]) == 2, "never over its input"
