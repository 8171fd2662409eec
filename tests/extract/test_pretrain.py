"""Pretraining: the same seed gives the same weights, and every cue sees what its name says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from extract import pretrain as command
from extract.backbones.nano import Nano
from extract.world.film import through_codec
from extract.world.photographs import WorldError
from extract.world.pretraining import Clips, PretrainingRecipe, accuracy, batches, make_clips, pretrain, write_weights
from extract.world.scene import render
from extract.world.trimmed import CLIP_CLASSES, stage_clip
from extract.world.untrimmed import FPS


def test_clips_are_the_last_frames_of_films_and_their_classes_take_turns() -> None:
    clips = make_clips("rgb", 13, bias=0.4, seed=0, split="training")
    assert clips.labels.tolist() == [*range(12), 0]
    assert clips.stored.shape == (13, 17, 64, 64, 3)
    rng = np.random.default_rng([0, *b"training", 3])
    film = through_codec(render(stage_clip(rng, 3, 0.4)), FPS)
    np.testing.assert_array_equal(clips.stored[3], film[3:])
    decoded, labels = clips.batch(np.array([3]))
    np.testing.assert_array_equal(decoded[0].numpy(), film[3:19])  # RGB is the first 16 of the 17 frames motion needs
    assert labels.tolist() == [3]


def test_the_gradient_is_the_difference_of_neighbouring_frames() -> None:
    rgb, gradient = (make_clips(cue, 1, bias=0.0, seed=0, split="test") for cue in ("rgb", "gradient"))
    frames = rgb.stored[0].astype(np.int16)
    decoded, _ = gradient.batch(np.array([0]))
    assert decoded.dtype == torch.int16
    np.testing.assert_array_equal(decoded[0].numpy(), frames[1:] - frames[:-1])


def test_flow_tells_which_way_an_object_went() -> None:
    """Clips of straight motions, one to two pixels a frame: flow inside the object points there."""
    clips = make_clips("flow", 4, bias=0.0, seed=0, split="test")
    assert CLIP_CLASSES[:4] == ("right", "down", "left", "up")
    assert clips.stored.dtype == np.uint8 and clips.stored.shape == (4, 16, 64, 64, 2)
    for label, (axis, sign) in enumerate([(0, 1), (1, 1), (0, -1), (1, -1)]):
        flow = clips.batch(np.array([label]))[0][0].numpy()
        moving = sign * flow[4:12, ..., axis]
        assert np.quantile(moving, 0.97) > 0.7  # an object covers some 5 to 10 % of the frame
        assert np.quantile(-moving, 0.97) < 0.7


def test_every_clip_is_seen_once_in_an_epoch() -> None:
    parts = list(batches(np.random.default_rng(0), 10, 3))
    assert [len(part) for part in parts] == [3, 3, 3]
    assert len(set(np.concatenate(parts).tolist())) == 9


def test_accuracy_counts_what_is_told_right() -> None:
    labels = np.array([0, 1, 2, 3])
    clips = Clips(np.arange(4, dtype=np.uint8), labels, lambda stored: stored)

    class Oracle(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(12)[torch.where(x == 3, 0, x.long())]  # knows all but the last

    assert accuracy(Oracle(), clips) == 0.75  # type: ignore[arg-type]


def test_the_same_weights_make_the_same_file_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = Nano("flow")
    for name in ("a.pt", "other_name.pt"):
        write_weights(backbone, tmp_path / "new" / name)
    first, second = ((tmp_path / "new" / name).read_bytes() for name in ("a.pt", "other_name.pt"))
    assert first == second and len(first) < 1.5e6
    state = torch.load(tmp_path / "new/a.pt", weights_only=True)
    torch.testing.assert_close(state["body.0.0.weight"].float(), backbone.body[0][0].weight, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    def first_layer(seed: int) -> torch.Tensor:
        backbone, _ = pretrain(PretrainingRecipe("gradient", seed, num_clips=32, num_test_clips=12, epochs=1, batch=16))
        return backbone.body[0][0].weight

    assert torch.equal(first_layer(0), first_layer(0))
    assert not torch.equal(first_layer(0), first_layer(1))


def test_the_command_writes_weights_and_tells_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "pretrain", lambda recipe: (Nano(recipe.cue), 0.5))
    out = tmp_path / "nano_rgb.pt"
    assert command.main(["--cue", "rgb", "--out", str(out)]) == 0
    assert "accuracy 0.500" in (said := capsys.readouterr().out) and "sha256" in said
    Nano("rgb").load_state_dict(torch.load(out, weights_only=True), strict=True)


def test_missing_photographs_are_an_error_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(recipe: PretrainingRecipe) -> None:
        raise WorldError("scikit-image is not installed")

    monkeypatch.setattr(command, "pretrain", without)
    assert command.main(["--cue", "rgb", "--out", str(tmp_path / "x.pt")]) == 2
    assert "WorldError: scikit-image is not installed" in capsys.readouterr().err
    assert not (tmp_path / "x.pt").exists()


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--clips", "3"], ["--epochs", "0"]])
def test_impossible_settings_are_refused(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--cue", "rgb", "--out", "x.pt", *options])
    assert f"{options[0]} {options[1]}: expected" in capsys.readouterr().err


@pytest.mark.slow
def test_motion_can_be_learned_from_gradients_in_two_minutes() -> None:
    """Twelve motions, looks that tell nothing: chance is .08."""
    _, right = pretrain(PretrainingRecipe("gradient", num_clips=960, num_test_clips=240, epochs=6))
    assert right > 0.4
