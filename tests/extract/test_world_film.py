"""Film: what goes into an mp4 file comes out again, frame for frame."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from extract.world import film
from extract.world.photographs import WorldError


def ramp(num_frames: int) -> list[np.ndarray]:
    """Frames of one gray level each, six levels apart, on which a lost or doubled frame shows."""
    return [np.full((64, 64, 3), 20 + 6 * frame, np.uint8) for frame in range(num_frames)]


@pytest.mark.parametrize("num_frames", [1, 2, 33])
def test_as_many_frames_come_out_as_went_in_and_in_their_order(num_frames: int) -> None:
    decoded = film.through_codec(ramp(num_frames), 15)
    assert decoded.shape == (num_frames, 64, 64, 3)
    np.testing.assert_allclose(decoded.mean((1, 2, 3)), 20 + 6.0 * np.arange(num_frames), atol=2)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        film.write(ramp(20), tmp_path / name, 15, comment="one")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_film_tells_its_frame_rate_its_length_and_its_comment(tmp_path: Path) -> None:
    film.write(ramp(20), tmp_path / "a.mp4", 15, comment="flowless world x training_0000")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.width, stream.height) == (15, 20, 64, 64)
        assert container.metadata["comment"] == "flowless world x training_0000"


def test_colours_survive_as_red_green_and_blue() -> None:
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    decoded = film.through_codec([np.broadcast_to(c, (64, 64, 3)).copy() for c in colours], 15)
    np.testing.assert_allclose(decoded.mean((1, 2)), colours, atol=4)


def test_an_interrupted_film_leaves_no_video_behind(tmp_path: Path) -> None:
    def frames():
        yield from ramp(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film.write(frames(), tmp_path / "a.mp4", 15)
    assert not (tmp_path / "a.mp4").exists()


def test_a_missing_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "CODEC", "no_such_codec")
    with pytest.raises(WorldError, match="no no_such_codec encoder"):
        film.encode(ramp(1), io.BytesIO(), 15)
