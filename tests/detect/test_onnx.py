"""Detectors as files of ONNX: the numbers and detections of PyTorch, from nothing but the files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import SMALL, make_detector, make_store

import features
from detect.deployed import detectors
from detect.deployed.detectors import OnnxDetector, image_of, load_detector
from detect.heads import HEADS
from detect.inference import Detected, detect, detect_video
from detect.model.detector import Detector, DetectorConfig, DetectorError
from detect.video import detect_actions
from evaluate.files.detections import read_detections
from extract.pipeline import onnx_networks
from features.computing import onnx_files
from features.computing.onnx_files import OnnxError, OnnxFile, check_same
from features.storage.grid import ClipGrid
from flowless.deployment import export, video

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

TINY: dict[str, object] = {"levels": 2, "stem": 1, "tower": 1, "window": 5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("world"))


def awake(path: Path) -> Path:
    """The detector of a file with every block at work: they begin as the identity."""
    detector = Detector.load(path)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith("_path.scale"):
                parameter.fill_(1.0)
    detector.save(path)
    return path


@pytest.fixture(scope="module")
def files(store: Path) -> Path:
    """A folder with detector.pt, and the files that the command makes of it."""
    folder = store.parent / "files"
    folder.mkdir()
    detector = awake(make_detector(store, folder / "detector.pt", **TINY))
    made = ["--detector", str(detector), "--onnx", str(folder / "detector.onnx")]
    assert export.main([*made, "--backbone", "nano"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "detector.backbone.onnx", "detector.onnx", "detector.pt",
    ]  # fmt: skip
    return folder


def assert_same(found: Detected, expected: Detected) -> None:
    """The same detections in the same order, but for scores that only rounding tells apart."""
    assert len(found.scores) == len(expected.scores) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    for segment, score, label in zip(*expected, strict=True):
        here = (np.abs(found.scores - score) <= 1e-5) & (found.labels == label)
        assert np.abs(found.segments[here] - segment).max(1).min(initial=np.inf) <= 1e-4


@pytest.mark.parametrize("steps", [1, 7, 128, 129, 700])
def test_any_number_of_steps_gives_what_pytorch_gives_in_the_same_order(files: Path, steps: int) -> None:
    ours, theirs = Detector.load(files / "detector.pt"), load_detector(files / "detector.onnx")
    assert isinstance(theirs, OnnxDetector) and theirs.config == ours.config
    seen = {"rgb": np.random.default_rng(steps).normal(size=(steps, 1536)).astype(np.float16)}
    grid = ClipGrid.regular(steps, fps=30, window=16, stride=4)
    expected, found = (detect(each, seen, grid, steps / 7.5 + 1) for each in (ours, theirs))
    assert_same(found, expected)


def test_a_batch_of_samples_of_different_lengths_is_seen_as_pytorch_sees_it(files: Path) -> None:
    ours, theirs = Detector.load(files / "detector.pt"), load_detector(files / "detector.onnx")
    torch.manual_seed(0)
    x, mask = torch.randn(3, 1536, 256), torch.arange(256)[None] < torch.tensor([[256], [130], [1]])
    expected, found = ours({"rgb": x}, mask), theirs({"rgb": x}, mask)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=1e-4)


def test_a_video_needs_the_two_files_alone(files: Path, store: Path, tmp_path: Path) -> None:
    """Away from detector.pt; the detections are those by way of the store and PyTorch."""
    for name in ("detector.onnx", "detector.backbone.onnx"):
        shutil.copy(files / name, tmp_path)
    arguments = ["--runtime", "onnx", "--detector", str(tmp_path / "detector.onnx"), "--out", str(tmp_path / "out")]
    assert video.main([*arguments, "--device", "cpu", str(store.parent / "videos")]) == 0
    read, opened = read_detections(tmp_path / "out" / "detections.json"), features.open(store)
    for number, name in enumerate(read.videos):
        expected, _ = detect_video(Detector.load(files / "detector.pt"), opened, name)
        mine = read.video == number
        np.testing.assert_allclose(read.segments[mine], expected.segments, atol=1e-3)
        np.testing.assert_allclose(read.scores[mine], expected.scores, atol=1e-4)
        assert [read.labels[k] for k in read.label[mine]] == [("jump", "spin")[k] for k in expected.labels]


def test_without_its_backbone_beside_it_the_features_are_pytorchs(files: Path, store: Path, tmp_path: Path) -> None:
    shutil.copy(files / "detector.onnx", tmp_path)
    actions = detect_actions(store.parent / "videos" / "a.mp4", tmp_path / "detector.onnx", device="cpu")
    expected = detect_actions(store.parent / "videos" / "a.mp4", files / "detector.pt", device="cpu")
    assert [action.label for action in actions] == [action.label for action in expected] != []
    np.testing.assert_allclose([a.score for a in actions], [a.score for a in expected], atol=1e-4)


def test_features_of_the_backbones_file_are_those_of_the_store(files: Path, store: Path) -> None:
    from features.running.stopwatch import Stopwatch

    made = onnx_networks.OnnxEmbedder(files / "detector.backbone.onnx")(store.parent / "videos" / "a.mp4", Stopwatch())
    np.testing.assert_allclose(made.features["rgb"], features.open(store).read("a", "rgb"), atol=2e-3)


def test_a_backbone_of_another_detector_is_refused(files: Path, store: Path, tmp_path: Path) -> None:
    shutil.copy(files / "detector.onnx", tmp_path / "d.onnx")
    other = Detector.load(files / "detector.pt").config
    for changed in ({"stride": 8}, {"feature_ids": {"rgb": "nano-rgb-0123456789abcdef"}}):
        detector = Detector(DetectorConfig(**{**vars(other), **changed}))
        with pytest.raises(DetectorError, match=r"gives features .*export both with one detect\.export --backbone"):
            video.make_embedder(detector, networks=files / "detector.backbone.onnx")


def test_tags_is_exported_with_windows_of_its_length(store: Path, tmp_path: Path) -> None:
    ours = Detector.load(make_detector(store, tmp_path / "detector.pt", "tags", length=8, tower=(8,)))
    image, differences = image_of(ours)
    assert max(differences.values()) < 1e-4
    theirs = detectors._opened(OnnxFile(image, "tags"))
    seen = {"rgb": np.random.default_rng(0).normal(size=(21, 1536)).astype(np.float16)}  # windows, the last one padded
    grid = ClipGrid.regular(21, fps=30, window=16, stride=4)
    expected, found = (detect(each, seen, grid, 10.0) for each in (ours, theirs))
    assert_same(found, expected)


def test_int8_is_smaller_and_says_how_far_it_is_away(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = (files / "detector.onnx").read_bytes()
    smaller = onnx_files.quantised(image)
    assert len(smaller) < 0.6 * len(image)
    theirs, ours = OnnxFile(smaller, "int8"), OnnxFile(image, "float32")
    sample = detectors.samples(Detector.load(files / "detector.pt"), 128, [100])[0]
    arrays = {name: value.numpy() for name, value in sample.items()}
    apart = np.abs(theirs(arrays)["logits"] - ours(arrays)["logits"]).max()
    assert 0 < apart < 0.5


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_head_is_exported_or_refused_with_the_reason(head: str, tmp_path: Path) -> None:
    detector = Detector(
        DetectorConfig(classes=("a",), feature_dims={"rgb": 8}, width=16, head=head, head_config=SMALL[head])
    )
    if head in ("actionformer", "tags"):
        detectors.check_exportable(detector)
    else:
        with pytest.raises(DetectorError, match=rf"the head '{head}' cannot be a graph of ONNX: .*Run detector\.pt"):
            detectors.check_exportable(detector)


def test_a_detector_that_reads_motion_is_refused_unless_wanted() -> None:
    detector = Detector(
        DetectorConfig(classes=("a",), feature_dims={"rgb": 8, "flow": 8}, branches=("rgb", "flow"), width=16)
    )
    with pytest.raises(DetectorError, match=r"reads flow: whoever runs it has to compute that .*--with-motion"):
        detectors.check_exportable(detector)
    detectors.check_exportable(detector, with_motion=True)


def test_what_differs_from_pytorch_is_not_written(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = (files / "detector.onnx").read_bytes()
    monkeypatch.setattr(detectors, "export", lambda *given: image)
    other = Detector.load(files / "detector.pt")
    with torch.no_grad():
        other.head.classifier.output.bias.add_(1e-3)  # type: ignore[union-attr, operator]
    other.save(tmp_path / "other.pt")
    assert export.main(["--detector", str(tmp_path / "other.pt"), "--onnx", str(tmp_path / "o.onnx")]) == 2
    assert "gives other numbers than PyTorch: logits by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other.pt"]
    for value in (float("nan"), float("inf"), 2e-4):
        with pytest.raises(OnnxError, match="other numbers"):
            check_same({"logits": value})


def test_outputs_never_overwrite_what_is_read(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "d.onnx"
    shutil.copy(files / "detector.pt", source)
    before = source.read_bytes()
    assert export.main(["--detector", str(source), "--onnx", str(source)]) == 2
    assert "this is what is read" in capsys.readouterr().err and source.read_bytes() == before


def test_options_that_do_not_fit_are_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["--detector", str(files / "detector.pt"), "--onnx"]
    for words, told in (
        ([*made, "x.bin"], "expected a name that ends in .onnx"),
        ([*made, "x.onnx", "--weights", "w.pt"], "--weights needs --backbone"),
    ):
        with pytest.raises(SystemExit):
            export.main(words)
        assert told in capsys.readouterr().err
    assert export.main([*made, "x.onnx", "--backbone", "r3d_18"]) == 2
    assert "the features rgb of this detector come from nano" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        video.main(["--runtime", "onnx", "--detector", str(files / "detector.pt"), "--out", "out", "v.mp4"])
    assert "onnx runs FILE.onnx, which detect.export writes" in capsys.readouterr().err


def test_a_file_that_is_none_of_ours_is_refused(files: Path, tmp_path: Path) -> None:
    image = (files / "detector.onnx").read_bytes()
    about = OnnxFile(image, "x").about
    damaged = {
        "text.onnx": (b"no graph", "is no file of ONNX that can be run"),
        "cut.onnx": (image[: len(image) // 2], "is no file of ONNX that can be run"),
        "plain.onnx": (onnx_files.described(image, {}), "expected a file of schema flowless-onnx-detector/1"),
        "config.onnx": (onnx_files.described(image, {**about, "config": "[]"}), "made by another version of flowless"),
    }
    for name, (content, told) in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DetectorError, match=told):
            load_detector(tmp_path / name)
    with pytest.raises(DetectorError, match=r"gone\.onnx: No such file"):
        load_detector(tmp_path / "gone.onnx")
    with pytest.raises(DetectorError, match="runs on the CPU alone"):
        load_detector(files / "detector.onnx", "cuda")


def test_a_missing_library_is_told_with_what_to_install(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(DetectorError, match=r"pip install 'flowless\[onnx\]'"):
        load_detector(files / "detector.onnx")


def test_the_metadata_tell_classes_and_settings(files: Path) -> None:
    about = OnnxFile(files / "detector.onnx").about
    assert about["schema"] == "flowless-onnx-detector/1" and about["precision"] == "float32" and about["steps"] == "128"
    assert json.loads(about["config"])["classes"] == ["jump", "spin"]
    assert json.loads(about["outputs"]) == ["logits", "offsets", "valid"]
