"""The pages of the solver one by one, against OpenCV and NumPy."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from flow.tvl1_common.pyramid import level_sizes, taps
from flow.tvl1_cpu import jit
from flow.tvl1_cpu.layout import RECORD, U2, aligned, count_steps, fold, unfold
from flow.tvl1_cpu.median import five_rows, median
from flow.tvl1_cpu.resize import resize

SIZES = [(16, 16), (17, 31), (40, 33), (16, 257), (50, 16), (64, 96)]


def folded(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(all records with the row above, the records from row 0 on)."""
    height, width = picture.shape
    row = count_steps(width) * RECORD
    state = aligned((height + 2) * row)
    fold(picture.ravel(), width, height, state[row:], U2, RECORD)
    return state, state[row:]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_folding_and_unfolding_give_the_picture_back_and_leave_padding_zero(height: int, width: int) -> None:
    picture = np.random.default_rng(0).random((height, width), np.float32) + 1
    state, rows = folded(picture)
    out = np.empty(height * width, np.float32)
    unfold(rows, U2, width, height, out)
    assert np.array_equal(out.reshape(height, width), picture)
    assert np.count_nonzero(state) == height * width


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_median_equals_that_of_opencv_bit_for_bit(height: int, width: int) -> None:
    picture = np.random.default_rng(1).standard_normal((height, width)).astype(np.float32)
    state, rows = folded(picture)
    median(state, U2, width, height, *(aligned(five_rows(width)) for _ in range(3)))
    out = np.empty(height * width, np.float32)
    unfold(rows, U2, width, height, out)
    assert np.array_equal(out.reshape(height, width), cv2.medianBlur(picture, 5))
    assert np.count_nonzero(state) == np.count_nonzero(out)


@pytest.mark.parametrize(("size", "to", "ratio"), [((50, 64), (40, 51), 1.25), ((33, 21), (50, 31), None)])
def test_resizing_follows_the_rule_of_opencv(size: tuple[int, int], to: tuple[int, int], ratio: float | None) -> None:
    picture = np.random.default_rng(2).random(size, np.float32) * 255
    if ratio is None:
        reference = cv2.resize(picture, to[::-1], interpolation=cv2.INTER_LINEAR)
    else:
        reference = cv2.resize(picture, None, fx=1 / ratio, fy=1 / ratio, interpolation=cv2.INTER_LINEAR)
    assert reference.shape == to
    x, y = taps(size[1], to[1], ratio or size[1] / to[1]), taps(size[0], to[0], ratio or size[0] / to[0])
    out = np.empty(to[0] * to[1], np.float32)
    resize(picture.ravel(), size[1], *x, *y, np.float32(1), out)
    assert np.abs(out.reshape(to) - reference).max() < 0.01


def test_the_pyramid_ends_before_sixteen_pixels() -> None:
    assert level_sizes(224, 224, 5, 0.8) == [(224, 224), (179, 179), (143, 143), (114, 114), (91, 91)]
    assert level_sizes(20, 64, 5, 0.8) == [(20, 64), (16, 51)]


def test_the_cache_is_named_by_what_the_pages_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for page in jit.PAGES:
        (tmp_path / f"{page}.py").write_text(page)
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    before = jit._digest_of_pages()
    (tmp_path / "warp.py").write_text("changed")
    assert jit._digest_of_pages() != before


def test_all_compiled_pages_are_in_the_digest() -> None:
    folder = Path(jit.__file__).parent
    compiled = {page.stem for page in folder.glob("*.py") if "from flow.tvl1_cpu.jit import" in page.read_text()}
    assert compiled <= set(jit.PAGES)


def test_a_folder_nobody_may_write_to_is_passed_over(tmp_path: Path) -> None:
    locked = tmp_path / "file-and-no-folder"
    locked.write_text("")  # a file in the place of the folder refuses even root
    locked.chmod(stat.S_IRUSR)
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(locked)}
    program = "from flow.tvl1_cpu.jit import CACHE_FOLDER; print(CACHE_FOLDER)"
    answer = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
    assert "tvl1-" in answer.stdout
    assert str(locked) not in answer.stdout
