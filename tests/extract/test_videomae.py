"""VideoMAE: equal to transformers called by hand on real frames, and loading what its publishers wrote."""

from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from own_backbones import TinyVideoMAE
from torch import Tensor

from extract.backbones import BACKBONES, build_backbone, find_weights
from extract.backbones.checkpoints import WeightsError, write_state
from extract.backbones.libraries import import_library
from extract.backbones.videomae import MODELS
from flow.decode.video import read_frames

transformers = import_library("transformers")
videomae = import_library("transformers.models.videomae.modeling_videomae")
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = "own_backbones:TinyVideoMAE"


def published_by(kind: str, network: type = TinyVideoMAE) -> Any:
    """The library's model, fine-tuned (with a classifier) or pre-trained alone (with a decoder), in random weights."""
    torch.manual_seed(0)
    model, side, steps = network.model, network.geometry.crop, network.steps  # type: ignore[attr-defined]
    config = transformers.VideoMAEConfig(
        hidden_size=model.dim, intermediate_size=4 * model.dim, num_attention_heads=model.heads,
        num_hidden_layers=model.layers, image_size=side, num_frames=steps, use_mean_pooling=kind == "fine-tuned",
        decoder_hidden_size=12, decoder_intermediate_size=12, decoder_num_attention_heads=2,
        decoder_num_hidden_layers=1,
    )  # fmt: skip
    of = videomae.VideoMAEForVideoClassification if kind == "fine-tuned" else videomae.VideoMAEForPreTraining
    made = of(config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0, 0.05)
    return made


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As releases before 5 wrote them, and so the files on the hub."""
    told = {".query.bias": ".q_bias", ".value.bias": ".v_bias"}
    return {name.replace(name[-11:], told.get(name[-11:], name[-11:])): x for name, x in state.items()}


def features_by_hand(model: Any, pixel_values: Tensor) -> Tensor:
    patches = model.videomae(pixel_values).last_hidden_state
    return model.fc_norm(patches.mean(1)) if hasattr(model, "fc_norm") else patches.mean(1)


def real_clip(shared_data: Path, number: int) -> list[np.ndarray]:
    return [frame.rgb for frame in islice(read_frames(shared_data / "videos" / "v_GGSY1Qvo990.mp4"), 40, 40 + number)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (TINY, "fine-tuned"),
        (TINY, "pre-trained"),
        pytest.param("videomae-small", "fine-tuned", marks=pytest.mark.slow),
        pytest.param("videomae-base", "fine-tuned", marks=pytest.mark.slow),
    ],
)
def test_features_equal_the_library_called_by_hand_on_real_frames(
    name: str, kind: str, shared_data: Path, tmp_path: Path
) -> None:
    """Its image processor, in Pillow as when the weights were published, its model, its names in the file."""
    network = TinyVideoMAE if name == TINY else BACKBONES[name]
    side, seen = network.geometry.crop, real_clip(shared_data, network.steps or 0)
    theirs = published_by(kind, network)
    torch.save(theirs.state_dict(), tmp_path / "w.bin")
    pil = import_library("transformers.models.videomae.image_processing_pil_videomae").VideoMAEImageProcessorPil
    numbers = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # of preprocessor_config.json
    sizes = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    with torch.no_grad():
        expected = features_by_hand(theirs, pil(**numbers, **sizes)(seen, return_tensors="pt")["pixel_values"]).numpy()
    ours = build_backbone(name, "rgb", tmp_path / "w.bin")
    made = ours.embed(np.stack([ours.geometry.crop_center(ours.geometry.resize(frame)) for frame in seen])[None])
    assert made.shape == expected.shape == (1, ours.dim) and np.abs(made).max() > 1e-2
    assert np.linalg.norm(made - expected) <= 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", ["fine-tuned", "pre-trained"])
@pytest.mark.parametrize("names", ["today's", "those on the hub"])
@pytest.mark.parametrize("file", ["w.bin", "model.safetensors", "a folder"])
def test_every_published_layout_loads_strictly(kind: str, names: str, file: str, tmp_path: Path) -> None:
    theirs = published_by(kind)
    state = {name: x.contiguous() for name, x in theirs.state_dict().items()}
    if names != "today's":
        state = old_names(state)
        assert any(name.endswith("attention.attention.q_bias") for name in state)
    path = tmp_path / ("model.safetensors" if file == "a folder" else file)
    if path.suffix == ".bin":
        torch.save(state, path)
    else:
        import_library("safetensors.torch").save_file(state, path)
    given = find_weights(TINY, tmp_path if file == "a folder" else path, "rgb")
    ours = build_backbone(TINY, "rgb", given)
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), features_by_hand(theirs, clip.transpose(1, 2)))


@pytest.mark.parametrize("kind", ["fine-tuned", "pre-trained"])
def test_what_a_training_of_ours_writes_loads_again(kind: str, tmp_path: Path) -> None:
    torch.save(published_by(kind).state_dict(), tmp_path / "published.bin")
    before = build_backbone(TINY, "rgb", tmp_path / "published.bin")
    write_state(tmp_path / "w.pt", before.state_dict(), "{}")
    after = build_backbone(TINY, "rgb", tmp_path / "w.pt")
    clip = torch.randn(1, 3, 4, 32, 32)
    torch.testing.assert_close(after(clip), before(clip))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("another size", r"does not fit TinyVideoMAE: \d+ of another shape"),
        ("another network", "does not fit TinyVideoMAE: .*missing"),
        ("truncated", "not a file of safetensors: .* The file may be half downloaded: fetch it again"),
        ("another cue", r"of another shape \(videomae.embeddings.patch_embeddings.projection.weight"),
    ],
)
def test_wrong_weights_are_refused(wrong: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = {name: x.contiguous() for name, x in published_by("fine-tuned").state_dict().items()}
    if wrong == "another size":
        state = {name: torch.zeros(*x.shape[:-1], x.shape[-1] + 1) for name, x in state.items()}
    elif wrong == "another network":
        state = {"stem.0.weight": torch.zeros(1)}
    import_library("safetensors.torch").save_file(state, path)
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(WeightsError, match=said):
        build_backbone(TINY, "flow" if wrong == "another cue" else "rgb", path)


@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_without_a_network_default_says_what_to_fetch(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(import_library("huggingface_hub"), "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("extract.backbones.videomae.urlopen", unreachable)
    with pytest.raises(WeightsError) as told:
        find_weights(model.name, Path("DEFAULT"), "rgb")
    assert f"{model.repository}/resolve/main/model.safetensors" in str(told.value)
    assert "no route to host" in str(told.value) and "give its path with --weights" in str(told.value)


def test_default_is_the_file_in_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_library("huggingface_hub"), "try_to_load_from_cache", lambda *_: str(tmp_path / "m"))
    assert find_weights("videomae-small", Path("DEFAULT"), "rgb") == tmp_path / "m"
