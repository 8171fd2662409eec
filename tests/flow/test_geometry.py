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


@pytest.mark.parametrize(
    ("name", "geometry"),
    [
        ("size128x171-crop112-torchvision/1", Geometry(128, 112, 171, "torchvision/1")),
        ("short256-crop224-torchvision/1", Geometry(256, 224, 0, "torchvision/1")),
        ("short224-crop224-antialiased/1", Geometry(224, 224, 0, "antialiased/1")),
    ],
)
def test_the_names_of_other_rules_and_of_fixed_sizes_lead_back_to_them_too(name: str, geometry: Geometry) -> None:
    assert geometry.name == name and Geometry.named(name) == geometry


def test_a_fixed_size_is_that_of_every_frame_whatever_its_aspect() -> None:
    geometry = Geometry(128, 112, 171, "torchvision/1")
    assert geometry.resize(np.zeros((320, 180, 3), np.uint8)).shape == (128, 171, 3)
    rows, columns = np.mgrid[0:128, 0:171]
    assert geometry.crop_center(np.stack([rows, columns], -1))[0, 0].tolist() == [8, 30]  # 29.5 goes to the even 30


def test_libraries_round_the_long_side_down() -> None:
    for rule in ("torchvision/1", "antialiased/1"):
        assert Geometry(256, 224, 0, rule).resized_size(240, 321) == (256, 342)  # 342.4
        assert Geometry(256, 224, 0, rule).resized_size(512, 513) == (256, 256)  # 256.5


def test_an_antialiased_resize_averages_what_a_linear_one_leaves_out() -> None:
    stripes = np.tile(np.array([0, 0, 0, 240], np.uint8), (64, 16))[..., None].repeat(3, 2)  # every fourth column
    plain, smooth = Geometry(16, 16).resize(stripes), Geometry(16, 16, 0, "antialiased/1").resize(stripes)
    assert plain.max() == 0  # looks at the two columns in the middle of four
    assert np.abs(smooth[:, 1:-1].astype(int) - 60).max() <= 30


def test_halves_of_grey_levels_go_to_the_even_one_where_torchvision_has_it_so() -> None:
    pairs = np.array([[10, 11, 11, 12, 12, 13]], np.uint8).repeat(2, 0)[..., None].repeat(3, 2)
    halved = Geometry(1, 1, 3, "torchvision/1").resize(pairs)
    assert halved[0, :, 0].tolist() == [10, 12, 12]  # 10.5, 11.5, 12.5


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="crop 225"):
        Geometry(224, 225)
    with pytest.raises(ValueError, match="at most width 100"):
        Geometry(128, 112, 100)
    with pytest.raises(ValueError, match="rule 'cubic/1' is unknown: expected one of linear/1"):
        Geometry(128, 112, 0, "cubic/1")
    with pytest.raises(ValueError, match="resize it first"):
        Geometry(64, 64).crop_center(np.zeros((63, 80)))
