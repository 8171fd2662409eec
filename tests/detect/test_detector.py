"""The deployed detector: cues, branches, normalisation, saving and loading."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from detect.model.detector import SCHEMA, Detector, DetectorConfig, DetectorError
from detect.model.fusion import FusionConfig
from detect.model.sealed import write_sealed
from detect.suppress import Suppression
from detect.windows import SampleRule

CONFIG = DetectorConfig(
    classes=("jump", "spin"),
    feature_dims={"rgb": 6, "flow": 4},
    width=8,
    head_config={"levels": 3, "window": 5},
    feature_ids={"rgb": "a1b2", "flow": "c3d4"},
    normalise=True,
)


def detector(**changes: object) -> Detector:
    torch.manual_seed(0)
    return Detector(dataclasses.replace(CONFIG, **changes)).eval()  # type: ignore[arg-type]


def cues(batch: int = 2, steps: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        cue: torch.randn(batch, dims, steps, generator=generator) for cue, dims in sorted(CONFIG.feature_dims.items())
    }


MASK = torch.arange(12)[None] < torch.tensor([[12], [5]])


@pytest.mark.parametrize("branches", [("rgb",), ("flow",), ("rgb", "rgb"), ("rgb", "flow")])
def test_a_detector_of_any_branches_predicts(branches: tuple[str, ...]) -> None:
    model = detector(branches=branches)
    assert model.cues == tuple(dict.fromkeys(branches))
    features = model.branch_features(cues(), MASK)
    assert [f.shape for f in features] == [(2, 8, 12)] * len(branches)
    assert all((f[1, :, 5:] == 0).all() for f in features)
    predictions = model({cue: cues()[cue] for cue in model.cues}, MASK)
    assert predictions["logits"].shape == (2, 12 + 6 + 3, 2)
    assert torch.equal(predictions["logits"], model.predict_from(features, MASK)["logits"])


def test_two_branches_of_one_cue_see_it_differently() -> None:
    appearance, motion = detector(branches=("rgb", "rgb")).branch_features(cues(), MASK)
    assert not torch.allclose(appearance, motion)


def test_a_head_for_single_branches_comes_fresh_and_is_not_deployed() -> None:
    model = detector(branches=("rgb", "rgb"))
    shared = model.new_head(model.config.width)
    assert shared.in_channels == 8 and model.head.in_channels == 16
    assert all(parameter is not other for parameter in shared.parameters() for other in model.parameters())
    [appearance, _] = model.branch_features(cues(), MASK)
    assert shared(appearance, MASK)["logits"].shape == (2, 21, 2)


def test_normalisation_takes_mean_and_deviation_out() -> None:
    model, plain = detector(), detector(normalise=False)
    mean, deviation = torch.arange(6.0), torch.arange(1.0, 7.0)
    deviation[2] = 0  # a channel that never changes
    model.set_normalisation({"rgb": (mean, deviation)})
    given = cues()["rgb"]
    scaled = (given - mean[:, None]) / torch.where(deviation > 0, deviation, 1.0)[:, None]
    found, expected = model({"rgb": given}, MASK), plain({"rgb": scaled}, MASK)
    assert torch.allclose(found["logits"], expected["logits"], atol=1e-5)


def test_a_saved_detector_comes_back_the_same(tmp_path: Path) -> None:
    model = detector(
        branches=("rgb", "flow"), fusion=FusionConfig("residual", True), suppression=Suppression(kind="linear", iou=0.3)
    )
    model.set_normalisation({"rgb": (torch.ones(6), torch.full((6,), 2.0)), "flow": (torch.ones(4), torch.ones(4))})
    model.save(tmp_path / "detector.pt")
    again = Detector.load(tmp_path / "detector.pt")
    assert again.config == model.config and not again.training
    assert torch.equal(again(cues(), MASK)["logits"], model(cues(), MASK)["logits"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector.pt"]
    weights = sum(value.numel() * 4 for value in model.state_dict().values())
    assert (tmp_path / "detector.pt").stat().st_size < weights + 40_000


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        detector().save(tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.parametrize("resize", [None, 48])
def test_a_detector_saved_before_heads_declared_their_samples_is_read(tmp_path: Path, resize: int | None) -> None:
    model = detector()
    before = json.loads(model.config.to_json())
    before |= {"resize": resize, "suppression": dataclasses.asdict(Suppression(sigma=0.3))}
    saved = {"schema": SCHEMA, "config": json.dumps(before), "state": dict(model.state_dict())}
    write_sealed(tmp_path / "old.pt", saved)
    again = Detector.load(tmp_path / "old.pt")
    assert again.head.sample == SampleRule(resize=resize, multiple=4) and again.suppression.sigma == 0.3
    assert torch.equal(again(cues(), MASK)["logits"], model(cues(), MASK)["logits"])


def test_files_that_are_no_detectors_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"none\.pt: no such file; train\.run"):
        Detector.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(DetectorError, match=r"text\.pt: not a detector file"):
        Detector.load(tmp_path / "text.pt")
    torch.save({"state": {}}, tmp_path / "other.pt")
    with pytest.raises(DetectorError, match=r"other\.pt: expected a file of schema flowless-detector/1, found None"):
        Detector.load(tmp_path / "other.pt")
    detector().save(tmp_path / "good.pt")
    (tmp_path / "short.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:-900])
    with pytest.raises(DetectorError, match=r"short\.pt: not a detector file"):
        Detector.load(tmp_path / "short.pt")


def test_a_file_from_a_stranger_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this must not run",)

    torch.save({"schema": "flowless-detector/1", "config": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(DetectorError, match=r"trap\.pt: not a detector file \(UnpicklingError"):
        Detector.load(tmp_path / "trap.pt")


def test_features_made_otherwise_are_refused() -> None:
    model = detector()
    model.check_features({"rgb": "a1b2"}, "store.h5")
    with pytest.raises(DetectorError, match=r"store\.h5: stream 'rgb' has features ffff, .* trained on a1b2"):
        model.check_features({"rgb": "ffff"}, "store.h5")
    detector(feature_ids={}).check_features({"rgb": "ffff"}, "store.h5")  # trained on features without an id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ()}, "classes must be distinct"),
        ({"classes": ("a", "a")}, "classes must be distinct"),
        ({"branches": ("rgb", "rgb", "flow")}, "one or two branches"),
        ({"branches": ("gradient",)}, "feature_dims lacks gradient"),
        ({"head": "yolo"}, "no head 'yolo'; there are actionformer"),
    ],
)
def test_impossible_detectors_are_refused_at_birth(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_a_wrong_field_of_the_head_is_named() -> None:
    with pytest.raises(DetectorError, match=r"does not fit the head 'actionformer': .*depth"):
        detector(head_config={"depth": 3})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_predictions_on_the_gpu_are_those_on_the_cpu() -> None:
    model = detector(branches=("rgb", "rgb"))
    expected = model(cues(), MASK)
    on_gpu = model.to("cuda")({name: value.to("cuda") for name, value in cues().items()}, MASK.to("cuda"))
    assert torch.equal(on_gpu["valid"].cpu(), expected["valid"])
    assert torch.allclose(on_gpu["logits"].cpu(), expected["logits"], atol=1e-3)
    assert torch.allclose(on_gpu["offsets"].cpu(), expected["offsets"], atol=1e-3)
