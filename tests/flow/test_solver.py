"""TV-L1 on the CPU: known motion, OpenCV's answer, the same bits always, and words for what cannot be solved."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import texture

from flow.solver import TVL1, make_solver
from flow.solver_opencv import OpenCVTVL1
from flow.tvl1_common.parameters import FlowError, Parameters, choose_parameters

# Of TVL1("compat") on texture(72, 100) and texture(72, 100, 3, -1), float32 bytes; made by solver tvl1/2
# on an AVX2 processor. A change of the digest is a change of everybody's flow: bump Settings' solver version.
GOLDEN = "5de608f0a56427ebef6367121e90bdf36e5cc3ac3199fa2a2b7391f167402832"

DIGEST_PROGRAM = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from pictures import texture
from flow.tvl1_cpu.jit import LANES
from flow.solver import TVL1
flow = TVL1("compat")(texture(72, 100), texture(72, 100, 3, -1))
print(LANES, hashlib.sha256(flow.tobytes()).hexdigest())
"""


def endpoint_error(flow: np.ndarray, truth: np.ndarray | tuple[float, float]) -> np.ndarray:
    return np.linalg.norm(flow - np.asarray(truth, np.float32), axis=-1)


@pytest.mark.parametrize("preset", ["exact", "compat", "fast"])
def test_a_picture_that_moves_three_right_and_one_up_has_that_flow(preset: str) -> None:
    flow = TVL1(preset)(texture(72, 100), texture(72, 100, 3, -1))
    assert flow.shape == (72, 100, 2)
    assert flow.dtype == np.float32
    inner = endpoint_error(flow, (3, -1))[8:-8, 8:-8]
    assert np.median(inner) < 0.05
    assert inner.mean() < 0.15  # zero flow: 3.16


@pytest.mark.parametrize("shape", [(72, 100), (16, 16), (17, 31), (40, 257), (65, 16), (33, 32)])
@pytest.mark.parametrize("preset", ["exact", "compat"])
def test_flow_equals_that_of_opencv_at_any_size(shape: tuple[int, int], preset: str) -> None:
    frame0, frame1 = texture(*shape), texture(*shape, 1, 1)
    reference = OpenCVTVL1()(frame0, frame1)
    error = endpoint_error(TVL1(preset)(frame0, frame1), reference)
    assert error.mean() < 0.08  # OpenCV's own answer moves by half of that with noise of 1e-4 gray levels
    assert np.linalg.norm(reference, axis=-1).mean() > 0.4  # so zero flow would not pass


@pytest.mark.parametrize(
    "changes",
    [
        {"theta": 0.5},
        {"lambda_": 0.05},
        {"tau": 0.1},
        {"scales": 2},
        {"scale_step": 0.5},
        {"median": False},
        {"inner_iterations": 5},
        {"outer_iterations": 2},
    ],
)
def test_every_parameter_means_what_it_means_in_opencv(changes: dict[str, float]) -> None:
    # With several warps, noise of 1e-4 gray levels moves OpenCV's own answer by .01 to .04 px here: rounding decides
    # in a problem with many minima. One warp and a fixed number of iterations leave nothing to chance.
    fixed = {"epsilon": 0.0, "outer_iterations": 1, "inner_iterations": 10, "warps": 1}
    frame0, frame1 = texture(48, 64), texture(48, 64, 2, 0)
    ours, reference = (one("exact", **fixed | changes)(frame0, frame1) for one in (TVL1, OpenCVTVL1))
    assert endpoint_error(ours, reference).mean() < 0.001
    usual = OpenCVTVL1("exact", **fixed)(frame0, frame1)
    assert endpoint_error(usual, reference).mean() > 0.005  # the parameter does something


def test_the_same_bits_come_out_as_in_the_golden_run() -> None:
    flow = TVL1("compat")(texture(72, 100), texture(72, 100, 3, -1))
    assert hashlib.sha256(flow.tobytes()).hexdigest() == GOLDEN


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+popcnt,+bmi,+bmi2,+f16c"},
        {"FLOWLESS_LANES": "16"},
    ],
    ids=["avx2 only", "sixteen lanes, as with avx-512"],
)
def test_other_vector_widths_and_processors_give_the_golden_bits(tmp_path: Path, environment: dict[str, str]) -> None:
    program = DIGEST_PROGRAM.format(folder=str(Path(__file__).parent))
    settings = {**os.environ, **environment, "NUMBA_CACHE_DIR": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
    lanes, digest = answer.stdout.split()
    assert digest == GOLDEN
    assert lanes == ("16" if "FLOWLESS_LANES" in environment else "8")


def test_a_solver_that_changed_size_in_between_gives_the_same_bits_as_a_new_one() -> None:
    solve = TVL1("compat")
    pair = texture(40, 48), texture(40, 48, 1, 0)
    first = solve(*pair)
    solve(texture(20, 20), texture(20, 20, 1, 0))  # OpenCV's would forget half of its pyramid here
    assert np.array_equal(solve(*pair), first)
    assert np.array_equal(TVL1("compat")(*pair), first)


def test_the_stride_of_the_input_does_not_matter() -> None:
    wide0, wide1 = texture(40, 96), texture(40, 96, 1, 0)
    contiguous = TVL1()(np.ascontiguousarray(wide0[:, ::2]), np.ascontiguousarray(wide1[:, ::2]))
    assert np.array_equal(TVL1()(wide0[:, ::2], wide1[:, ::2]), contiguous)
    assert np.array_equal(TVL1()(np.asfortranarray(wide0[:, ::2]), wide1[:, ::2]), contiguous)


def test_floats_between_zero_and_one_are_the_same_picture_as_bytes() -> None:
    frame0, frame1 = texture(40, 48), texture(40, 48, 1, 0)
    as_floats = TVL1()(frame0.astype(np.float32) / 255, frame1.astype(np.float64) / 255)
    assert endpoint_error(as_floats, TVL1()(frame0, frame1)).mean() < 0.01


def test_black_frames_do_not_move() -> None:
    black = np.zeros((40, 48), np.uint8)
    assert np.array_equal(TVL1()(black, black), np.zeros((40, 48, 2), np.float32))
    assert np.isfinite(TVL1()(black, texture(40, 48))).all()


@pytest.mark.slow
def test_frames_of_4k_are_solved() -> None:
    flow = TVL1("fast", warps=1, outer_iterations=1)(texture(2160, 3840), texture(2160, 3840, 2, -1))
    assert np.median(endpoint_error(flow, (2, -1))) < 0.1  # zero flow: 2.2


def test_a_scene_cut_gives_finite_flow() -> None:
    flow = TVL1()(texture(40, 48), 255 - texture(40, 48, 500, 500))
    assert np.isfinite(flow).all()


@pytest.mark.parametrize(
    ("frame0", "frame1", "words"),
    [
        (np.zeros((20, 20), np.uint8), np.zeros((20, 21), np.uint8), r"\(20, 20\) and frame1 \(20, 21\)"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), "gray"),
        (np.full((20, 20), np.nan), np.zeros((20, 20)), "frame0: holds NaN"),
        (np.zeros((20, 20)), np.full((20, 20), 255.0), "frame1: goes from 255 to 255.*0..1"),
        (np.zeros((20, 20), np.int32), np.zeros((20, 20), np.int32), "int32, expected uint8"),
        (np.zeros((15, 20), np.uint8), np.zeros((15, 20), np.uint8), "at least 16 x 16"),
    ],
)
@pytest.mark.parametrize("backend", ["cpu", "opencv"])
def test_what_cannot_be_solved_is_refused_with_its_reason(
    frame0: np.ndarray, frame1: np.ndarray, words: str, backend: str
) -> None:
    with pytest.raises(FlowError, match=words):
        make_solver(backend)(frame0, frame1)


def test_parameters_that_cannot_work_are_refused_by_name() -> None:
    with pytest.raises(FlowError, match=r"tau=0\.3"):
        TVL1(tau=0.3)
    with pytest.raises(FlowError, match="no preset 'quick'"):
        TVL1("quick")
    with pytest.raises(FlowError, match="no such parameter"):
        TVL1(gamma=1.0)
    assert choose_parameters("fast", {"warps": 2}) == Parameters(scale_step=0.65, scales=6, warps=2)


def test_without_numba_opencv_takes_over_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(make_solver("auto"), OpenCVTVL1)
    assert "30 to 50 times slower" in capsys.readouterr().err
    with pytest.raises(FlowError, match="pip install"):
        make_solver("cpu")


def test_an_unknown_backend_is_named_with_those_there_are() -> None:
    with pytest.raises(FlowError, match="there are auto, cpu, cuda, opencv"):
        make_solver("gpu")


def test_iterations_stop_early_where_nothing_moves() -> None:
    still, moving = TVL1("exact"), TVL1("exact")
    still(texture(40, 48), texture(40, 48))
    moving(texture(40, 48), texture(40, 48, 2, 1))
    assert max(max(level) for level in still.iterations) == 1
    assert sum(moving.iterations[-1]) > 20


def test_opencv_is_given_a_fresh_pyramid_for_every_size() -> None:
    solve = OpenCVTVL1()
    pair = texture(64, 64), texture(64, 64, 4, 0)
    first = solve(*pair)
    solve(texture(20, 20), texture(20, 20))
    assert np.array_equal(solve(*pair), first)
    reused = cv2.optflow.DualTVL1OpticalFlow_create()  # what happens otherwise
    reused.calc(texture(20, 20), texture(20, 20), None)
    assert not np.array_equal(reused.calc(*pair, None), first)
