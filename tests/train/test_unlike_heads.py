"""A head of fixed samples beside one of any length: what each declares is what its videos, teachers and runs are given.

The unlike member is a toy, tests/train/query_head.py.
"""

import dataclasses
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyWorld
from query_head import NamelessQueryHead, QueryHead, QueryHeadConfig
from small_methods import detector as small_detector

import features
from detect.heads import HEADS
from detect.heads.base import Candidates, Croppable, Targets
from detect.inference import detect
from detect.model.detector import Detector, DetectorConfig, DetectorError
from detect.model.named import NamedHead
from detect.run import main as detect_run
from detect.suppress import Suppression
from detect.windows import SampleRule
from evaluate.files.detections import read_detections
from features.storage.grid import ClipGrid
from train.assemble import assemble, open_material
from train.config import Config, Optimiser, Sampling
from train.data.dataset import draw_crop
from train.data.videos import Video
from train.recipes import recipe_for
from train.recipes.recipe import NAMES
from train.run import main

LENGTH = 16
QUERIES = ["--head", "queries", "--set", f"head.length={LENGTH}", "--set", "model.width=16", "--epochs", "1"]


@pytest.fixture(autouse=True)
def heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "queries", QueryHead)
    monkeypatch.setitem(HEADS, "nameless", NamelessQueryHead)


def detector_of(head: str = "queries", **changes: object) -> Detector:
    torch.manual_seed(0)
    values = {"classes": ("left", "right"), "feature_dims": {"rgb": 6}, "width": 16, "head": head, **changes}
    return Detector(DetectorConfig(**values)).eval()  # type: ignore[arg-type]


def video(num_steps: int) -> tuple[dict[str, np.ndarray], ClipGrid]:
    x = np.random.default_rng(0).normal(size=(num_steps, 6)).astype(np.float32)
    return {"rgb": x}, ClipGrid.regular(num_steps, fps=4, window=1, stride=4)  # a step a second, the first at 1/8 s


def run(world: TinyWorld, *more: str, out: str = "run") -> int:
    return main(world.arguments(*QUERIES, *more, out=out, small=False))


# ---- inference


@pytest.mark.parametrize("num_steps", [1, 15, 16, 17, 40, 700])
def test_a_video_of_any_length_is_seen_in_samples_of_the_heads_length(num_steps: int) -> None:
    model = detector_of(head_config={"length": LENGTH})
    x, grid = video(num_steps)
    found = detect(model, x, grid, 1000.0)
    shown = []
    for start, stop in SampleRule(length=LENGTH).windows(num_steps):  # one by one, padded by hand
        sample = torch.zeros(1, 6, LENGTH)
        sample[0, :, : stop - start] = torch.from_numpy(x["rgb"][start:stop].T)
        mask = torch.arange(LENGTH)[None] < stop - start
        with torch.no_grad():
            [one] = model.head.decode(model({"rgb": sample}, mask))
        shown += [(score, label) for score, label in zip(one.scores.tolist(), one.labels.tolist(), strict=True)]
    said = list(zip(found.scores.tolist(), found.labels.tolist(), strict=True))
    assert len(said) and all(any(abs(s - t) < 1e-5 and a == b for t, b in shown) for s, a in said)
    assert (found.segments[:, 1] > found.segments[:, 0]).all()


def test_an_action_seen_by_several_windows_is_detected_once_and_in_its_place() -> None:
    model = detector_of(head_config={"length": LENGTH})
    begin, end = 17.0, 23.0

    def decode(predictions: dict) -> list[Candidates]:
        """An oracle: each window that holds the action whole says it, later ones more surely."""
        said = []
        for number in range(len(predictions["logits"])):
            start = windows[number].start
            inside = start <= begin and end <= start + LENGTH
            rows = torch.tensor([[begin - start, end - start]]) if inside else torch.zeros(0, 2)
            said.append(Candidates(rows, torch.full((len(rows),), 0.5 + 0.01 * number), torch.zeros(len(rows)).long()))
        return said

    x, grid = video(60)
    windows = model.head.sample.windows(60)
    assert sum(w.start <= begin and end <= w.stop for w in windows) == 2
    model.head.decode = decode  # type: ignore[method-assign]
    found = detect(model, x, grid, 1000.0)
    assert found.segments.tolist() == [[pytest.approx(begin + 0.125), pytest.approx(end + 0.125)]]
    assert found.scores.tolist() == [pytest.approx(0.52)]


def test_the_suppression_of_a_head_is_its_own_unless_the_configuration_says_otherwise() -> None:
    assert detector_of().suppression == QueryHead.suppression
    assert detector_of("actionformer").suppression == Suppression()
    assert detector_of(suppression=Suppression(sigma=0.3)).suppression.sigma == 0.3


def test_a_detector_of_a_windowed_head_survives_its_file(tmp_path: Path) -> None:
    detector_of(head_config={"length": LENGTH}).save(tmp_path / "detector.pt")
    again = Detector.load(tmp_path / "detector.pt")
    assert again.head.sample == SampleRule(length=LENGTH) and again.suppression == QueryHead.suppression


# ---- labels from elsewhere


def test_a_head_that_names_no_classes_is_told_those_of_the_video() -> None:
    x, grid = video(40)
    found = detect(detector_of("nameless"), x, grid, 1000.0, class_scores=np.array([0.1, 0.9]))
    assert set(found.labels.tolist()) == {0, 1} and found.labels[0] == 1


def test_a_head_that_names_no_classes_has_a_classifier_beside_it_that_does() -> None:
    """Told what it should have learnt: the first 20 steps show class 1, the others class 0."""
    x, grid = video(40)
    model = detector_of("nameless", head_config={"length": LENGTH})
    windows = iter(model.head.sample.windows(40))

    def decode(_: dict) -> list[Candidates]:
        said = []
        for start, stop in windows:
            second = (torch.arange(start, stop) < 20).float()
            rows = torch.tensor([[18.0, 19.0], [21.0, 22.0]]) - start
            rows = rows[(rows[:, 0] >= 0) & (rows[:, 1] < stop - start)]
            classes = torch.stack([0.8 - 0.7 * second, 0.1 + 0.7 * second], dim=1)
            said.append(Candidates(rows, torch.full((len(rows),), 0.5), None, classes))
        return said

    model.head.decode = decode  # type: ignore[method-assign]
    found = detect(model, x, grid, 1000.0)
    best = found.scores > 0.6  # sqrt(0.5 · 0.8)
    starts = [row[0] for row in found.segments[best].tolist()]
    assert sorted(zip(starts, found.labels[best].tolist(), strict=True)) == [(18.125, 1), (21.125, 0)]
    assert found.scores[best].tolist() == pytest.approx([math.sqrt(0.4)] * 2)
    assert found.scores[~best].max() < 0.4, "the other class of the same segment: sqrt(0.5 · sqrt(0.1 · 0.8))"


def test_what_is_told_of_the_video_prevails_over_the_detectors_own_classifier() -> None:
    x, grid = video(40)
    model = detector_of("nameless")
    own, told = detect(model, x, grid, 1000.0), detect(model, x, grid, 1000.0, class_scores=np.array([0.0, 1.0]))
    assert set(own.labels.tolist()) == {0, 1} and told.labels[told.scores > 0].tolist() == [1] * sum(told.scores > 0)


def test_scores_of_classes_are_refused_where_they_are_not_expected() -> None:
    x, grid = video(40)
    with pytest.raises(DetectorError, match="'queries' names classes itself: scores of classes are not expected"):
        detect(detector_of(), x, grid, 1000.0, class_scores=np.array([0.1, 0.9]))
    with pytest.raises(DetectorError, match="expected one for each of the detector's 2 classes"):
        detect(detector_of("nameless"), x, grid, 1000.0, class_scores=np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize(("head", "labels"), [("queries", None), ("nameless", torch.zeros(1).long())])
def test_labels_are_refused_where_the_head_says_it_gives_none_and_missed_where_it_says_it_does(
    head: str, labels: torch.Tensor | None
) -> None:
    model, (x, grid) = detector_of(head), video(20)
    model.head.decode = lambda _: [Candidates(torch.tensor([[1.0, 2.0]]), torch.ones(1), labels)]  # type: ignore[method-assign]
    with pytest.raises(DetectorError, match="classes, but its labels are"):
        detect(model, x, grid, 1000.0)


def test_a_head_that_names_no_classes_is_trained_and_detects_by_command_with_nothing_but_the_store(
    world: TinyWorld,
) -> None:
    assert main(world.arguments("--head", "nameless", *QUERIES[2:], small=False)) == 0
    out, weights = world.runs / "detections.json", world.runs / "run/detector.pt"
    assert detect_run(["--detector", str(weights), "--features", str(world.features), "--out", str(out)]) == 0
    assert set(read_detections(out).labels) == set(Detector.load(weights).config.classes)


def test_a_head_that_names_no_classes_keeps_its_suppression_and_what_it_lets_a_student_see() -> None:
    model = detector_of("nameless")
    assert model.suppression == NamelessQueryHead.suppression and isinstance(model.head, NamedHead)
    finder = model.head.finder
    finder.for_student = lambda said: {"segments": said["segments"]}  # type: ignore[method-assign]
    said = model({"rgb": torch.zeros(1, 6, 32)}, torch.ones(1, 32, dtype=torch.bool))
    assert set(said) == {"logits", "segments", "names", "steps"}
    assert set(model.head.for_student(said)) == {"segments", "names", "steps"}


# ---- training


def test_crops_are_as_long_as_the_head_needs_them_wherever_an_action_is() -> None:
    long = Video("v", 400, Targets(torch.tensor([[301.0, 309.0]]), torch.tensor([0])), slack=2.0)
    rule = SampleRule(length=LENGTH)
    crops = [draw_crop(long, Sampling(), rule, np.random.default_rng(n)) for n in range(50)]
    assert all(stop - start == LENGTH and start < 309 and stop > 301 for start, stop in crops)
    assert len({start % 4 for start, _ in crops}) > 1, "at any step: nothing cached need fit"
    short = Video("v", 10, Targets(torch.tensor([[3.0, 6.0]]), torch.tensor([0])), slack=2.0)
    assert {draw_crop(short, Sampling(), rule, np.random.default_rng(n)) for n in range(9)} == {(0, 10)}


def test_a_video_of_many_windows_can_give_as_many_samples_of_an_epoch_also_without_labels(world: TinyWorld) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0
    taught = ["--method", "direct", "--teacher", str(world.runs / "flow/detector.pt")]
    taught += ["--train-videos", "5", "--unlabelled-subset", "Training", "--set", "head.training_overlap=0"]
    assert run(world, *taught, out="student") == 0
    config = Config.read(world.runs / "student/config.json")
    _, samples = assemble(config, open_material(config.data), world.runs / "again")
    assert samples.unlabelled is not None
    shown = [name for batch in samples.batches(0) for name in batch.videos]
    for pool, places, labelled in (
        (samples.labelled, samples.places, True),
        (samples.unlabelled, samples.unlabelled_places, False),
    ):
        counts = [places.count(place) for place in range(len(pool.videos))]
        assert counts == [-(-video.num_steps // LENGTH) for video in pool.videos] and min(counts) > 1
        for place, video in enumerate(pool.videos):
            first = places.index(place)
            items = [samples[0, first + k, labelled] for k in range(counts[place])]
            assert {item.video for item in items} == {video.name}
            assert len({item.cues["rgb"].tobytes() for item in items}) > 1, "cut in different places"
    size = config.sampling.batch_size
    assert len(samples) == len(samples.places) and samples.steps_per_epoch() == len(samples) // size
    assert len(shown) == 2 * size * samples.steps_per_epoch()


@pytest.mark.parametrize("method", ["decomposed", "direct", "augmented_rgb"])
def test_a_teacher_that_cannot_be_cropped_is_shown_the_very_samples_of_the_student(
    world: TinyWorld, method: str
) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0 and run(world, "--cues", "rgb,flow", out="two") == 0
    paths = [str(world.runs / name / "detector.pt") for name in ("flow", "two")]
    taught = ["--method", method, "--teacher", paths[0], "--joint-teacher", paths[1], "--train-videos", "5"]
    assert run(world, *taught, "--unlabelled-subset", "Training", out="student") == 0
    store = features.open(world.features)
    assert not any(s.startswith("teacher-") for v in store.videos for s in store.streams(v)), "nothing was cached"
    config = Config.read(world.runs / "student/config.json")
    _, samples = assemble(config, open_material(config.data), world.runs / "again")
    motion, joint = (Detector.load(path) for path in paths)
    batch = next(samples.batches(0))
    assert set(batch.cues) == {"rgb"} and batch.mask.shape[1] == LENGTH and not batch.labelled.all()
    for row, name in enumerate(batch.videos):
        whole = {cue: torch.from_numpy(store.read(name, cue).astype(np.float32)).T for cue in ("rgb", "flow")}
        steps, length = whole["rgb"].shape[1], int(batch.mask[row].sum())
        here = batch.cues["rgb"][row, :, :length]
        [start] = [s for s in range(steps - length + 1) if torch.equal(whole["rgb"][:, s : s + length], here)]
        cues = {cue: x[None, :, start : start + length] for cue, x in whole.items()}
        mask = batch.mask[row : row + 1]
        with torch.no_grad():
            [branch] = motion.branch_features(cues, mask)
            for role, said in (("motion", motion.predict_from([branch], mask)), ("joint", joint(cues, mask))):
                for field, value in said.items():
                    assert torch.allclose(batch.teachers[role].predictions[field][row], value[0], atol=1e-5)
        view = batch.teachers["motion"].features
        assert view is not None and torch.allclose(view[row], branch[0], atol=1e-5)
        assert batch.teachers["joint"].features is None and not view.requires_grad


def test_workers_give_the_same_batches_with_teachers_that_are_run_live(world: TinyWorld) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0
    assert run(world, "--method", "direct", "--teacher", str(world.runs / "flow/detector.pt"), out="student") == 0
    config = Config.read(world.runs / "student/config.json")
    made = []
    for workers in (0, 1):
        sampling = dataclasses.replace(config.sampling, workers=workers)
        _, samples = assemble(dataclasses.replace(config, sampling=sampling), open_material(config.data), world.runs)
        made.append(next(iter(samples.batches(0))))
        pickle.dumps(samples.live)  # as where workers are spawned
    one, other = (batch.teachers["motion"] for batch in made)
    assert torch.equal(one.predictions["segments"], other.predictions["segments"])


def test_a_windowed_head_learns_is_saved_and_detects_by_command(world: TinyWorld) -> None:
    assert run(world) == 0
    out = world.runs / "detections.json"
    words = ["--detector", str(world.runs / "run/detector.pt"), "--features", str(world.features), "--out", str(out)]
    assert detect_run(words) == 0
    assert len(read_detections(out).videos) == len(features.open(world.features).videos)


def test_a_resized_video_fits_a_head_of_one_length_whole(world: TinyWorld) -> None:
    assert run(world, "--set", f"head.resize={LENGTH}") == 0
    config = Config.read(world.runs / "run/config.json")
    _, samples = assemble(config, open_material(config.data), world.runs / "again")
    assert all(v.num_steps == LENGTH for v in samples.labelled.videos)
    assert next(samples.batches(0)).mask.all()


def test_a_teacher_of_other_samples_is_refused(world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "--cues", "flow", out="flow") == 0
    teacher = ["--method", "direct", "--teacher", str(world.runs / "flow/detector.pt")]
    assert run(world, *teacher, "--set", "head.length=20", out="student") == 2
    assert "differ in settings of the head: {'length': 16} and {'length': 20}" in capsys.readouterr().err


def test_a_run_takes_what_its_head_wants_of_optimiser_and_suppression_unless_it_is_told_otherwise(
    world: TinyWorld,
) -> None:
    assert run(world) == 0 and run(world, "--set", "optimiser.clip_norm=2", out="told") == 0
    config, told = (Config.read(world.runs / out / "config.json") for out in ("run", "told"))
    assert config.optimiser.clip_norm == 0.1 and told.optimiser.clip_norm == 2.0
    assert config.suppression == QueryHead.suppression
    assert Detector.load(world.runs / "run/detector.pt").suppression == QueryHead.suppression
    for name in NAMES:
        assert recipe_for("queries", name).optimiser_of(QueryHead).clip_norm == 0.1
        assert recipe_for("actionformer", name).optimiser_of(HEADS["actionformer"]).clip_norm == Optimiser().clip_norm


def test_the_normaliser_of_a_head_without_one_of_its_own_is_the_positives_of_the_step() -> None:
    normaliser = QueryHead(16, 2, QueryHeadConfig()).new_normaliser()
    assert [normaliser.update(n) for n in (7, 0, 3)] == [7.0, 1.0, 3.0]
    assert normaliser.state_dict() == {}


def test_settings_of_training_alone_may_differ_between_teacher_and_student(world: TinyWorld) -> None:
    small = ["--epochs", "1"]
    assert main(world.arguments(*small, "--cues", "flow", "--set", "head.normaliser=7", out="flow")) == 0
    teacher = ["--method", "direct", "--teacher", str(world.runs / "flow/detector.pt")]
    assert main(world.arguments(*small, *teacher, "--set", "head.drop_path=0.1", out="student")) == 0


def test_only_heads_of_any_length_can_be_cropped() -> None:
    for name, kind in HEADS.items():
        head = small_detector(("rgb",), head=name).head
        assert isinstance(head.finder if isinstance(head, NamedHead) else head, kind)
        assert not isinstance(head, Croppable) or head.sample.length is None, name
