"""A twin: a network whose last layers are there twice, trained, stored and run in one pass over the clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
from moving_bars import moving_bars

import features
from command.signals import Interrupted
from detect.model.detector import Detector, DetectorConfig, DetectorError
from extract import distill, motion, rgb, synthetic
from extract.backbones import build_backbone, find_backbone
from extract.backbones.base import BackboneError, outputs_of
from extract.backbones.checkpoints import WeightsError, read_state, write_state
from extract.learning.batches import ClipArrays
from extract.learning.student import Student, StudentRecipe, explained
from extract.learning.student_training import StudentTraining
from extract.learning.training import train_to_end
from extract.pipeline import embedding
from extract.pipeline.new_videos import Embedder
from extract.pipeline.settings import SettingsError
from features.running.stopwatch import Stopwatch

pytestmark = pytest.mark.usefixtures("one_thread")


def some_clips(name: str, count: int = 2) -> np.ndarray:
    side = build_backbone(name, "rgb", quiet=True).geometry.crop
    return np.random.default_rng(0).integers(0, 256, (count, 16, side, side, 3), dtype=np.uint8)


def write_twin(path: Path, seed: int = 0) -> Path:
    """A twin of the small backbone whose second last layers differ from the first."""
    network = build_backbone("nano", "rgb")
    network.grow_twin()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.twin.parameters():  # type: ignore[union-attr]
            parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=generator))
    write_state(path, network.state_dict(), "{}")
    return path


# The network


@pytest.mark.parametrize("name", ["nano", "i3d_inception"])
def test_a_twin_is_born_with_the_same_features_twice(name: str) -> None:
    network, clips = build_backbone(name, "rgb", quiet=True), some_clips(name, 1)
    plain = network.embed_each(clips)
    network.grow_twin()
    made = network.embed_each(clips)
    assert list(plain) == [""] and list(made) == ["appearance", "motion"]
    for features_of_one in (*made.values(), network.embed(clips)):
        np.testing.assert_array_equal(features_of_one, plain[""])


def test_shared_layers_run_once_and_only_what_is_wanted_of_the_others() -> None:
    network, clips = build_backbone("nano", "rgb"), some_clips("nano")
    network.grow_twin("body.4")
    assert network.shared == ("body.0", "body.1", "body.2", "body.3") and network.twin is not None
    ran: list[str] = []
    for owner, layers in (("own", network.layers()), ("second", network.twin.layers())):
        for name in ("body.0", "body.2", "body.4", "body.6"):  # the convolutions; the pools between are one module
            layers[name].register_forward_hook(lambda *_, said=f"{owner} {name}": ran.append(said))
    network.embed_each(clips)
    shared, own, second = ["own body.0", "own body.2"], ["own body.4", "own body.6"], ["second body.4", "second body.6"]
    assert ran == [*shared, *own, *second]
    ran.clear()
    assert list(network.embed_each(clips, ["motion"])) == ["motion"]
    assert ran == [*shared, *second]


def test_a_network_that_declares_no_layers_and_a_layer_that_is_none_are_refused() -> None:
    with pytest.raises(BackboneError, match=r"does not say which layers .*Backbone\.layers.* leave --twin out"):
        build_backbone("own_backbones:FrameNet", "rgb", quiet=True).grow_twin()
    network = build_backbone("nano", "rgb")
    for layer in ("body.0", "body.9", "cells"):
        with pytest.raises(BackboneError, match=rf"--twin {layer}: nano can part before body\.1, body\.2"):
            network.grow_twin(layer)
    network.grow_twin()
    with pytest.raises(BackboneError, match="is a twin already"):
        network.grow_twin()


@pytest.mark.parametrize("layer", ["body.2", "body.6"])
def test_a_checkpoint_tells_where_its_twin_parts(layer: str, tmp_path: Path) -> None:
    network, clips = build_backbone("nano", "rgb"), some_clips("nano")
    network.grow_twin(layer)
    with torch.no_grad():
        next(network.twin.parameters()).mul_(1.5)  # type: ignore[union-attr]
    write_state(tmp_path / "twin.pt", network.state_dict(), "{}")
    again = build_backbone("nano", "rgb", tmp_path / "twin.pt")
    assert again.shared == network.shared and outputs_of(tmp_path / "twin.pt") == again.outputs
    expected, made = network.embed_each(clips), again.embed_each(clips)
    for output in expected:
        np.testing.assert_array_equal(made[output], expected[output])
    assert not np.array_equal(made["motion"], made["appearance"])


def test_the_twin_that_ships_is_found_by_its_stream_and_fits_the_package() -> None:
    path = find_backbone("nano").shipped_weights("rgb_twin")
    assert path is not None and path.stat().st_size <= 3e6
    assert {tensor.dtype for tensor in read_state(path).values()} <= {torch.float16, torch.int64}
    plain, network = build_backbone("nano", "rgb"), build_backbone("nano", "rgb", path)
    assert network.outputs == ("appearance", "motion") and network.shared[-1] == "body.3"
    clips = some_clips("nano", 4)
    made, original = network.embed_each(clips), plain.embed(clips)
    assert np.corrcoef(made["appearance"].ravel(), original.ravel())[0, 1] > 0.8
    assert np.abs(np.corrcoef(made["motion"].ravel(), original.ravel())[0, 1]) < 0.8


# Training


def training_of_a_twin(source: ClipArrays, **changes: object) -> StudentTraining:
    network, original = build_backbone("nano", "rgb"), build_backbone("nano", "rgb")
    network.grow_twin()
    recipe = StudentRecipe(batch=8, **{"epochs": 2, **changes})  # type: ignore[arg-type]
    return StudentTraining(Student(network.requires_grad_(True), source.dim), recipe, source, original=original)


def test_at_birth_a_twin_explains_all_that_the_network_saw_and_nothing_after_its_layers_changed() -> None:
    source = moving_bars(32)
    training = training_of_a_twin(source)
    training.teachers.measure(source, "cpu")
    at_birth = explained(training.teachers, source, 16, "cpu", bfloat16=False)
    assert at_birth["appearance"] == pytest.approx(1) and at_birth["motion"] < 0.1
    with torch.no_grad():
        training.student.backbone.get_submodule("body.6.0").weight.mul_(-1)  # type: ignore[operator]
    assert explained(training.teachers, source, 16, "cpu", bfloat16=False)["appearance"] < 0.1


def test_a_twin_learns_motion_and_keeps_what_the_network_saw() -> None:
    """Kept because it is asked for: without its term appearance goes astray with the layers that both share."""
    source, held_out = moving_bars(48), moving_bars(32, seed=9)
    astray = {}
    for weight in (1.0, 0.0):
        training = training_of_a_twin(source, epochs=3, appearance_weight=weight)
        original = training.teachers.original
        assert original is not None
        before = {name: value.clone() for name, value in original.state_dict().items()}
        made = train_to_end(training, held_out)
        assert all(torch.equal(original.state_dict()[name], value) for name, value in before.items())
        assert any(not torch.equal(made.state_dict()[name], value) for name, value in before.items())
        r2 = training.history[-1].r2
        assert r2 is not None and r2 > 0.4
        clips, targets = next(source.in_order(48))
        prepared = made.inputs(torch.from_numpy(clips))
        answers = training.student.train()(*prepared)
        wanted = training.teachers(prepared, torch.from_numpy(targets))
        astray[weight] = (answers["appearance"] - wanted["appearance"]).square().mean().item()
    assert astray[1.0] < 0.8 * astray[0.0]


def test_an_interrupted_twin_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    source, held_out = moving_bars(16), moving_bars(8, seed=9)
    whole = train_to_end(training_of_a_twin(source), held_out).state_dict()
    asked = iter([True, True, True])
    with pytest.raises(Interrupted):
        train_to_end(training_of_a_twin(source), held_out, tmp_path / "state.pt", lambda: next(asked))
    again = training_of_a_twin(source)
    again.load(tmp_path / "state.pt")
    assert again.step == 1
    resumed = train_to_end(again, held_out).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_twin_without_the_network_that_it_began_as_is_refused() -> None:
    network = build_backbone("nano", "rgb")
    network.grow_twin()
    with pytest.raises(ValueError, match="needs the network that it begins as"):
        StudentTraining(Student(network, 1536), StudentRecipe(batch=8), moving_bars(8))


# The commands


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few videos, with the features of their gradients."""
    folder = tmp_path_factory.mktemp("world")
    assert synthetic.main(["--out", str(folder / "world"), "--preset", "tiny"]) == 0
    assert motion.main([*made_of(folder), "--cue", "gradient"]) == 0
    return folder


def made_of(folder: Path, store: str = "f.h5") -> list[str]:
    return ["--videos", str(folder / "world" / "videos"), "--features", str(folder / store), "--backbone", "nano"]


def test_a_twin_is_trained_and_gives_two_streams_of_its_own(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "twin.pt"
    learn = [*made_of(world), "--epochs", "1", "--held-out", "0.2"]
    assert distill.main([*learn, "--twin", "--out", str(weights)]) == 0
    assert "of that of the RGB network's own features" in capsys.readouterr().out
    log = Path(f"{weights}.log.csv").read_text().splitlines()
    assert log[0] == "epoch,step,loss,r2,appearance_r2" and len(log) == 2
    assert {name.startswith("twin.body.") for name in read_state(weights) if name.startswith("twin")} == {True}
    further = [*learn, "--init", str(weights), "--out", str(tmp_path / "further.pt")]
    assert distill.main(further) == 2
    assert "is a twin. Train it further with --twin" in capsys.readouterr().err
    assert distill.main([*further, "--twin"]) == 0
    assert outputs_of(tmp_path / "further.pt") == ("appearance", "motion")


def test_one_pass_over_the_clips_writes_both_streams(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_twin(tmp_path / "twin.pt")
    command = [*made_of(world, "one_pass.h5"), "--weights", str(weights)]
    assert rgb.main(command) == 0
    opened = features.open(world / "one_pass.h5")
    assert opened.streams("test_0000") == ("rgb", "rgb_motion")
    assert opened.attributes("test_0000", "rgb_motion")["output"] == "motion"
    ids = {stream: opened.feature_id(stream) for stream in ("rgb", "rgb_motion")}
    plain = build_backbone("nano", "rgb", weights)
    reads = []
    original = embedding.read_frames
    monkeypatch.setattr(embedding, "read_frames", lambda *a, **k: reads.append(a) or original(*a, **k))
    embedder = Embedder(ids, 16, 4, [weights])
    assert len({id(network.backbone) for network in embedder.networks}) == 1 and len(embedder.networks) == 2
    watch = Stopwatch()
    made = embedder(world / "world" / "videos" / "test_0000.mp4", watch)
    assert len(reads) == 1 and set(watch.seconds) == {"decode", "twin_network"}
    for stream in ids:
        np.testing.assert_array_equal(made.features[stream], opened.read("test_0000", stream))
    assert not np.array_equal(made.features["rgb"], made.features["rgb_motion"]) and plain.twin is not None
    capsys.readouterr()
    assert rgb.main(command) == 0
    assert "0 done, 6 skipped" in capsys.readouterr().out
    (world / "one_pass.parts" / "rgb_motion" / "test_0000.h5").unlink()
    assert rgb.main(command) == 0
    assert "1 done, 5 skipped" in capsys.readouterr().out


def test_a_detector_of_the_plain_network_is_not_fed_the_twins_features(world: Path, tmp_path: Path) -> None:
    """Nor the other way, nor one output for the other."""
    weights, other = write_twin(tmp_path / "twin.pt"), write_twin(tmp_path / "other.pt", seed=1)
    ids = {}
    for store, options in {
        "plain.h5": [],
        "twin.h5": ["--weights", str(weights)],
        "named.h5": ["--weights", str(weights), "--stream", "rgb_twin"],
    }.items():
        assert rgb.main([*made_of(world, store), *options]) == 0
        opened = features.open(world / store)
        ids[store] = {stream: opened.feature_id(stream) for stream in opened.streams("test_0000")}
    assert ids["named.h5"] == {"rgb_twin": ids["twin.h5"]["rgb"], "rgb_twin_motion": ids["twin.h5"]["rgb_motion"]}
    assert len({ids["plain.h5"]["rgb"], *ids["twin.h5"].values()}) == 3
    config = DetectorConfig(classes=("a",), feature_dims={"rgb": 1536}, feature_ids=ids["plain.h5"])
    with pytest.raises(DetectorError, match=r"stream 'rgb' has features nano-rgb-\w+, but the detector was trained on"):
        Detector(config).check_features({"rgb": ids["twin.h5"]["rgb"]}, "twin.h5")
    with pytest.raises(SettingsError, match=r"other\.pt would give nano-rgb-\w+ and nano-rgb-\w+; .*Give the very"):
        Embedder(ids["twin.h5"], 16, 4, [other])


def test_what_cannot_be_a_twin_is_refused_by_one_line_before_any_work(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_twin(tmp_path / "twin.pt")
    assert motion.main([*made_of(world, "no.h5"), "--cue", "gradient", "--weights", str(weights)]) == 2
    assert "is a twin, which sees RGB and not gradient" in capsys.readouterr().err
    learn = [*made_of(world), "--out", str(tmp_path / "no.pt"), "--twin"]
    assert distill.main([*learn, "stem"]) == 2
    assert "--twin stem: nano can part before body.1" in capsys.readouterr().err
    assert not (world / "no.h5").exists() and not (tmp_path / "no.pt").exists()
    state = {name: value for name, value in read_state(weights).items() if name != "twin.body.4.0.weight"}
    write_state(tmp_path / "torn.pt", state, "{}")
    with pytest.raises(WeightsError, match=r"1 missing \(twin\.body\.4\.0\.weight\)"):
        build_backbone("nano", "rgb", tmp_path / "torn.pt")
