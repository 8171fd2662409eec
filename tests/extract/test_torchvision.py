"""The networks of torchvision: equal to the library called by hand, on real frames, with its published file layout."""

import os
import warnings
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extract import rgb
from extract.backbones import BACKBONES, build_backbone, find_weights
from extract.backbones.checkpoints import WeightsError, read_state, write_state
from extract.backbones.libraries import LibraryError, import_library
from extract.backbones.torchvision import MODELS, Model
from flow.decode.video import read_frames

video = import_library("torchvision.models.video")
pytestmark = pytest.mark.usefixtures("one_thread")
each_model = pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
CLIPS = [  # the network, and how many frames it is given: as few as it takes, or with `slow` those that it reads
    ("mc3_18", 4, False), ("s3d", 14, False), ("swin3d_t", 2, False),
    ("r3d_18", 16, True), ("mc3_18", 16, True), ("r2plus1d_18", 16, True), ("s3d", 32, True), ("mvit_v2_s", 16, True),
    ("swin3d_t", 32, True),
]  # fmt: skip


def published(model: Model) -> Any:
    return getattr(video, model.weights).DEFAULT


def random_network(model: Model) -> nn.Module:
    """As the library builds it, under weights and statistics that keep activations in a usual range."""
    torch.manual_seed(0)
    network: nn.Module = getattr(video, model.name)(weights=None)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.normal_(layer.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.8, 1.2)  # type: ignore[arg-type]
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    return network.eval()


def real_frames(shared_data: Path, number: int) -> list[np.ndarray]:
    return [frame.rgb for frame in islice(read_frames(shared_data / "videos" / "v_GGSY1Qvo990.mp4"), 40, 40 + number)]


@pytest.mark.parametrize(
    ("name", "frames"),
    [pytest.param(n, k, id=f"{n}-{k}", marks=[pytest.mark.slow] if slow else []) for n, k, slow in CLIPS],
)
def test_features_equal_the_library_called_by_hand_on_real_frames(
    name: str, frames: int, shared_data: Path, tmp_path: Path
) -> None:
    """The same weights, read from a file in the layout that torchvision publishes, classifier and all."""
    model = next(model for model in MODELS if model.name == name)
    theirs, seen = random_network(model), real_frames(shared_data, frames)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    setattr(theirs, model.classifier, nn.Identity())
    with torch.no_grad():
        expected = theirs(published(model).transforms()(torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2))[None])
    ours = build_backbone(name, "rgb", tmp_path / "w.pth")
    clip = np.stack([ours.geometry.crop_center(ours.geometry.resize(frame)) for frame in seen])
    made = ours.embed(clip[None])
    assert made.shape == expected.shape == (1, ours.dim) and np.abs(made).max() > 1e-3
    assert np.linalg.norm(made - expected.numpy()) <= 1e-4 * np.linalg.norm(expected.numpy())


@each_model
def test_the_table_has_the_numbers_of_the_librarys_transforms(model: Model) -> None:
    said, weights = published(model).transforms(), published(model)
    assert said.crop_size == [model.geometry.crop] * 2
    fixed = [model.geometry.width] if model.geometry.width else []
    assert said.resize_size == [model.geometry.short_side, *fixed]
    assert (said.mean, said.std) == (list(model.mean), list(model.std))
    rate = float(weights.meta["_docs"].split("frame_rate=")[1].split("`")[0])
    length = int(weights.meta["_docs"].split("clip_len=")[1].split("`")[0])
    if model.name != "s3d":  # a quarter of what it was measured on
        assert model.steps == length and model.window == length * 30 / rate
    else:
        assert (model.steps, model.window) == (length / 4, length / 4 * 30 / rate)


@each_model
def test_it_is_the_published_network_without_its_classifier(model: Model) -> None:
    made = BACKBONES[model.name]("rgb")
    head = sum(p.numel() for p in getattr(getattr(video, model.name)(), model.classifier).parameters())
    assert sum(p.numel() for p in made.parameters()) == published(model).meta["num_params"] - head


@pytest.mark.parametrize("name", ["mc3_18", "s3d"])
def test_its_layers_one_after_the_other_are_the_network(name: str) -> None:
    """What a twin runs."""
    made = build_backbone(name, "rgb", quiet=True)
    x = torch.randn(1, 3, 14, *[made.geometry.crop] * 2)
    y: Tensor = x
    for layer in made.layers().values():
        y = layer(y)
    torch.testing.assert_close(made.finish(y), made(x))


@pytest.mark.parametrize("cue", ["flow", "gradient"])
def test_a_motion_cue_changes_the_first_convolution_alone(cue: str) -> None:
    for name in ("mc3_18", "s3d", "swin3d_t"):
        still, moving = BACKBONES[name]("rgb").state_dict(), BACKBONES[name](cue).state_dict()
        changed = [tensor for tensor in still if still[tensor].shape != moving[tensor].shape]
        assert len(changed) == (cue == "flow") and still.keys() == moving.keys()
        assert all(moving[tensor].shape[1] == 2 for tensor in changed)


# Weights


def test_what_a_training_of_ours_writes_loads_again(tmp_path: Path) -> None:
    before = build_backbone("mc3_18", "flow", quiet=True)
    write_state(tmp_path / "w.pt", before.state_dict(), "{}")
    after = build_backbone("mc3_18", "flow", tmp_path / "w.pt")
    assert all(torch.equal(x, after.state_dict()[name]) for name, x in before.state_dict().items())


class Opens:
    """Code that reading a pickle would run."""

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return (os.mkdir, ("sprung",))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("another network", "does not fit mc3_18: "),
        ("truncated", "the file may be half downloaded"),
        ("code", "mkdir, which only running code could read, so it was left unread"),
        ("another cue", "instead of (64, 3, 3, 7, 7)). Expected weights of this backbone and this cue"),
        ("a program", "is a TorchScript program, a whole network and no state_dict: name it with --backbone"),
        ("no checkpoint", "torch.save did not write it"),
        ("a folder", "holds no model.safetensors or pytorch_model.bin. Give the file of weights itself"),
    ],
)
def test_wrong_weights_are_refused_by_one_line(
    wrong: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    state = BACKBONES["mc3_18"]("flow" if wrong == "another cue" else "rgb").state_dict()
    if wrong == "another network":
        state = BACKBONES["s3d"]("rgb").state_dict()
    torch.save({"weights": Opens()} if wrong == "code" else state, path)
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    elif wrong == "a program":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is old
            torch.jit.trace(nn.Linear(1, 1), torch.zeros(1, 1)).save(str(path))
    elif wrong == "no checkpoint":
        path.write_text("<html>404</html>")
    elif wrong == "a folder":
        path = tmp_path
    command = ["--videos", ".", "--features", "f.h5", "--backbone", "mc3_18", "--weights", str(path)]
    assert rgb.main([*command, "--device", "cpu"]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and str(path) in told and len(told.splitlines()) == 1, told
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "f.h5").exists()


def test_default_is_the_librarys_own_file_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that a network was fetched into before; its name ends with the beginning of its sha256."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    model = next(model for model in MODELS if model.name == "mc3_18")
    place = tmp_path / "checkpoints" / Path(published(model).url).name
    place.parent.mkdir()
    torch.save(random_network(model).state_dict(), place)
    with pytest.raises(WeightsError, match=r"mc3_18-a90a0ba3\.pth: is not what https.* half of it perhaps: delete it"):
        find_weights("mc3_18", Path("DEFAULT"), "rgb")
    monkeypatch.setattr("extract.backbones.published.HASH", r"-(none)\.")
    assert find_weights("mc3_18", Path("DEFAULT"), "rgb") == place
    made = build_backbone("mc3_18", "rgb", Path("DEFAULT"))
    assert torch.equal(made.state_dict()["network.stem.0.weight"], read_state(place)["stem.0.weight"])


@each_model
def test_without_a_network_default_says_what_to_fetch_and_where_to_put_it(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    command = ["--videos", str(tmp_path), "--features", str(tmp_path / "f.h5"), "--backbone", model.name]
    assert rgb.main([*command, "--weights", "DEFAULT"]) == 2
    told, url = capsys.readouterr().err.strip(), published(model).url
    assert len(told.splitlines()) == 1 and "no route to host" in told
    assert f"Fetch {url} " in told and f"put it at {tmp_path / 'checkpoints' / Path(url).name}, or give" in told


@pytest.mark.parametrize(
    ("backbone", "cue", "said"),
    [
        ("r3d_18", "flow", "published weights are of rgb, and not of flow"),
        ("i3d_inception", "rgb", "no library publishes weights of i3d_inception"),
        ("nano", "rgb", "no library publishes weights of nano"),
    ],
)
def test_default_is_refused_where_nothing_is_published(backbone: str, cue: str, said: str) -> None:
    with pytest.raises(WeightsError, match=f"--weights DEFAULT: {said}"):
        find_weights(backbone, Path("DEFAULT"), cue)


def test_without_weights_they_are_random_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    build_backbone("mc3_18", "rgb")
    assert (
        "WARNING: mc3_18 has no weights for rgb: its features are those of a RANDOM network" in capsys.readouterr().err
    )


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    monkeypatch.setattr("extract.backbones.libraries.importlib.import_module", missing)
    for module, extra in {"torchvision.models.video": "torchvision", "transformers": "transformers"}.items():
        with pytest.raises(LibraryError, match=rf"{extra} is not installed: pip install 'flowless\[{extra}\]'"):
            import_library(module)


def test_a_torchvision_for_another_torch_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise RuntimeError("undefined symbol: _ZN3c10\nand more")

    monkeypatch.setattr("extract.backbones.libraries.importlib.import_module", fails)
    with pytest.raises(LibraryError, match=r"torchvision does not fit torch .*undefined symbol.* Install the one made"):
        import_library("torchvision.models.video")
