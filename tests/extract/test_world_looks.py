"""Looks: hue must stay invisible to whoever sees gray, and photographs must come from the disk or be missed loudly."""

import cv2
import numpy as np
import pytest

from extract.world import photographs as photographs_page
from extract.world.looks import LUMA, Look, luma_matched, paint_object, paint_scene
from extract.world.photographs import WorldError, cut_out, photographs

HUES = np.arange(0, 360, 15.0)


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.rint(image).astype(np.uint8), cv2.COLOR_RGB2GRAY).astype(int)


def unmatched(hue: float) -> np.ndarray:
    """The same hue as everyone would paint it, at half brightness."""
    return cv2.cvtColor(np.array([[[hue / 2, 200, 128]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].astype(float)


@pytest.mark.parametrize("luma", [40.0, 120.0, 200.0])
def test_every_hue_of_one_luma_has_one_gray_value(luma: float) -> None:
    colours = np.array([luma_matched(hue, 0.8, luma) for hue in HUES])
    assert colours.min() >= 0 and colours.max() <= 255
    np.testing.assert_allclose(colours @ LUMA, luma, atol=1e-9)
    assert np.abs(gray(colours[None])[0] - luma).max() <= 1
    assert np.ptp([unmatched(hue) @ LUMA for hue in HUES]) > 60  # what the matching has to undo


def test_red_is_red_and_blue_is_blue() -> None:
    red, green, blue = (luma_matched(hue, 0.8, 60) for hue in (0, 120, 240))
    assert red.argmax() == 0 and green.argmax() == 1 and blue.argmax() == 2
    np.testing.assert_allclose(luma_matched(-30, 0.5, 90), luma_matched(330, 0.5, 90))


def test_another_hue_leaves_the_gray_object_as_it_was() -> None:
    for seed in range(6):
        (red, red_mask), (blue, blue_mask) = (paint_object(Look(hue, seed), 40) for hue in (0.0, 240.0))
        assert np.abs(gray(red) - gray(blue)).max() <= 1
        assert np.abs(red - blue).mean() > 40  # and yet everyone else sees it
        np.testing.assert_array_equal(red_mask, blue_mask)


def test_another_hue_leaves_the_gray_scene_as_it_was() -> None:
    for seed in range(6):
        red, blue = (paint_scene(Look(hue, seed), 64) for hue in (0.0, 240.0))
        assert np.abs(gray(red) - gray(blue)).max() <= 1
        assert np.abs(red - blue).mean() > 8


def test_the_pattern_of_a_scene_comes_from_its_seed_and_not_from_its_hue() -> None:
    scenes = [gray(paint_scene(Look(90.0, seed), 64)) for seed in range(4)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(scenes) for b in scenes[:i]) > 10


def test_an_object_covers_part_of_its_canvas_and_fades_at_its_rim() -> None:
    for seed in range(20):
        mask = paint_object(Look(0.0, seed), 40)[1]
        assert mask.min() >= 0 and mask.max() <= 1
        assert 0.1 < mask.mean() < 0.6
        assert mask[20, 20] > 0.9 and mask[0, 0] == mask[-1, -1] == 0


def test_all_photographs_lie_inside_the_installed_wheels() -> None:
    album = photographs()
    assert len(album) == 16
    assert all(image.dtype == np.uint8 and min(image.shape[:2]) == 320 and image.shape[2] == 3 for image in album)
    astronaut = album[0].astype(int)
    assert (astronaut[..., 0] - astronaut[..., 2]).mean() > 10  # an orange suit: red before blue, so RGB
    assert cut_out(np.random.default_rng(0), 128).shape == (128, 128, 3)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_page, "find_spec", lambda package: None)
    photographs.cache_clear()
    with pytest.raises(WorldError, match=r"scikit-image is not installed.*pip install 'flowless\[world\]'"):
        photographs()


def test_a_package_without_its_photographs_is_named_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_page, "SKIMAGE", ("no_such_photograph.png",))
    photographs.cache_clear()
    with pytest.raises(WorldError, match=r"no_such_photograph\.png: no readable photograph"):
        photographs()
    photographs.cache_clear()
