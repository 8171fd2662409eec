"""Weights of RGB for another cue: the first layer averaged, if asked for, in one way for every backbone."""

from pathlib import Path

import pytest
import torch
from test_every_backbone import write_video

import features
from extract import motion
from extract.backbones import build_backbone, find_backbone, find_weights
from extract.backbones.base import Backbone
from extract.backbones.checkpoints import WeightsError
from extract.pipeline.settings import ClipSettings, SettingsError

pytestmark = pytest.mark.usefixtures("one_thread")
FIRST = {  # of each backbone, the layers that clips come to
    "nano": ["body.0.0"],
    "i3d_inception": ["Conv3d_1a_7x7.conv3d"],
    "own_backbones:SmallTSM": ["network.conv1"],
    "own_backbones:SmallSlowFast": ["slow.0.conv", "fast.0.conv"],
    "own_backbones:SmallMC3": ["network.stem.0"],
    "own_backbones:SmallSwin": ["network.patch_embed.proj"],
    "own_backbones:TinyVideoMAE": ["videomae.embeddings.patch_embeddings.projection"],
    "own_backbones:FrameNet": ["body.0"],
}


def of_rgb(name: str, path: Path) -> tuple[Backbone, Path]:
    made = build_backbone(name, "rgb", quiet=True)
    torch.save(made.state_dict(), path)
    return made, path


@pytest.mark.parametrize("cue", ["flow", "gradient"])
@pytest.mark.parametrize("name", FIRST)
def test_every_channel_of_the_first_layer_is_the_mean_of_red_green_and_blue(
    name: str, cue: str, tmp_path: Path
) -> None:
    before, path = of_rgb(name, tmp_path / "w.pt")
    after = build_backbone(name, cue, path, first_layer="mean")
    weights = {f"{layer}.weight" for layer in FIRST[name]}
    for tensor, value in after.state_dict().items():
        old = before.state_dict()[tensor]
        if tensor not in weights:
            torch.testing.assert_close(value, old, rtol=0, atol=0)
            continue
        assert value.shape[1] == {"flow": 2, "gradient": 3}[cue]
        for channel in range(value.shape[1]):
            torch.testing.assert_close(value[:, channel], (old[:, 0] + old[:, 1] + old[:, 2]) / 3)


@pytest.mark.parametrize(("cue", "differ"), [("flow", True), ("gradient", False)])
def test_nothing_is_averaged_unasked(cue: str, differ: bool, tmp_path: Path) -> None:
    """Gradients have three channels as RGB has: weights are taken as they are."""
    before, path = of_rgb("nano", tmp_path / "w.pt")
    if differ:
        with pytest.raises(WeightsError, match=r"of another shape .*3, 3, 5, 5\) instead of .*--first-layer mean"):
            build_backbone("nano", cue, path)
    else:
        after = build_backbone("nano", cue, path).state_dict()
        assert all(torch.equal(value, after[tensor]) for tensor, value in before.state_dict().items())


def test_a_store_says_how_it_was_done_and_keeps_such_features_apart(tmp_path: Path) -> None:
    _, path = of_rgb("nano", tmp_path / "w.pt")
    video, store = write_video(tmp_path / "v.mp4", 21), tmp_path / "f.h5"
    command = ["--videos", str(video), "--features", str(store), "--cue", "gradient", "--device", "cpu"]
    command += ["--backbone", "nano", "--weights", str(path)]
    ids = []
    for more in ([], ["--first-layer", "mean"]):
        assert motion.main([*command, *more]) == 0
        said = features.open(store).attributes("v", "gradient")
        assert said.get("first_layer", "") == ("mean" if more else "")
        ids.append(said["feature_id"])
    assert ids[0] != ids[1]


def test_weights_that_are_not_of_rgb_are_refused(tmp_path: Path) -> None:
    torch.save(build_backbone("nano", "flow").state_dict(), tmp_path / "flow.pt")
    said = (
        r"flow\.pt: --first-layer mean: body\.0\.0\.weight has 2 input channels and is not of RGB.*leave the option out"
    )
    with pytest.raises(WeightsError, match=said):
        build_backbone("nano", "gradient", tmp_path / "flow.pt", first_layer="mean")


@pytest.mark.parametrize(("cue", "weights"), [("rgb", Path("w.pt")), ("flow", None)])
def test_it_is_for_given_weights_and_for_another_cue(cue: str, weights: Path | None) -> None:
    with pytest.raises(SettingsError, match="--first-layer mean: turns weights of RGB into those of another cue: give"):
        ClipSettings(cue, backbone="nano", weights=weights, first_layer="mean")


def test_published_weights_of_rgb_may_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = find_backbone("tsm_r50")
    monkeypatch.setattr(kind, "published_weights", classmethod(lambda cls, cue: Path("fetched.pth")))
    assert find_weights("tsm_r50", Path("DEFAULT"), "flow", "mean") == Path("fetched.pth")
    with pytest.raises(WeightsError, match=r"published weights are of rgb, and not of flow.*--first-layer mean"):
        find_weights("tsm_r50", Path("DEFAULT"), "flow")
