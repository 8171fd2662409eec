"""Geometry: sizes that can be worked out on paper, and crops that hit the centre."""

import numpy as np
import pytest

from flow.decode.geometry import Geometry


def test_the_short_side_is_exact_and_the_long_side_keeps_the_aspect() -> None:
    geometry = Geometry(256, 224)
    assert geometry.resized_size(240, 320) == (256, 341)  # 341.33
    assert geometry.resized_size(320, 240) == (341, 256)
    assert geometry.resized_size(360, 480) == (256, 341)
    assert geometry.resized_size(512, 513) == (256, 257)  # 256.5 rounds up, for even and odd alike
    assert Geometry(64, 64).resized_size(64, 64) == (64, 64)


def test_a_frame_of_the_right_size_is_left_alone() -> None:
    frame = np.arange(64 * 80 * 3, dtype=np.uint8).reshape(64, 80, 3)
    assert Geometry(64, 64).resize(frame) is frame


def test_a_linear_ramp_survives_the_resize_and_channels_keep_their_order() -> None:
    frame = np.zeros((128, 160, 3), np.uint8)
    frame[..., 0] = np.arange(160)  # red grows to the right
    frame[..., 2] = 200
    resized = Geometry(64, 64).resize(frame)
    assert resized.shape == (64, 80, 3)
    expected = np.arange(80) * 2 + 0.5  # halving takes the mean of two neighbours
    np.testing.assert_allclose(resized[10, :, 0], expected, atol=0.51)
    assert (resized[..., 1] == 0).all() and (resized[..., 2] == 200).all()


def test_the_crop_is_the_centre_for_interleaved_and_planar_arrays() -> None:
    rows, columns = np.mgrid[0:256, 0:341]
    interleaved = np.stack([rows, columns], axis=-1)
    crop = Geometry().crop_center(interleaved)
    assert crop.shape == (224, 224, 2)
    assert crop[0, 0].tolist() == [16, 58]  # (256 - 224) / 2 and floor((341 - 224) / 2)
    planar = Geometry().crop_center(np.moveaxis(interleaved, -1, 0)[None], axes=(-2, -1))
    assert planar.shape == (1, 2, 224, 224)
    np.testing.assert_array_equal(planar[0, 1], crop[..., 1])


def test_a_name_says_the_rule_and_leads_back_to_it() -> None:
    assert Geometry().name == "short256-crop224-linear/1"
    assert Geometry.named("short64-crop64-linear/1") == Geometry(64, 64)
    with pytest.raises(ValueError, match="unknown: expected a name such as"):
        Geometry.named("short256-crop224-antialias/1")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="crop 225"):
        Geometry(224, 225)
    with pytest.raises(ValueError, match="resize it first"):
        Geometry(64, 64).crop_center(np.zeros((63, 80)))
