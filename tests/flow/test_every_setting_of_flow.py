"""Every setting of flow.tvl1 and flow.gradient reaches what it names, or says why it changes nothing."""

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from flow.pipeline.motions import MOTIONS
from flow.pipeline.settings import FlowSettings
from flow.solver import TVL1
from flow.tvl1_common.parameters import Parameters

# Another value for every field. A new field must be entered here or below, or the tests say so.
STORE: dict[str, Any] = {
    "cue": "gradient", "short_side": 320, "crop": 112, "codec": "jpeg", "bound": 10.0,
    "parameters": Parameters(warps=2), "backend": "opencv", "min_decoded": 0.5, "fps": 15.0,
    "width": 448, "rule": "torchvision/1",
}  # fmt: skip
CHANGE_NOTHING = {"decoder": "counts where it gives other pixels, by the video's decoded_by"}
TVL1_OTHER: dict[str, Any] = {
    "tau": 0.1, "lambda_": 0.5, "theta": 0.1, "scales": 1, "scale_step": 0.5, "warps": 1, "epsilon": 0.1,
    "inner_iterations": 3, "outer_iterations": 1, "median": False, "block": 7,
}  # fmt: skip


def test_every_setting_of_a_flow_store_is_accounted_for() -> None:
    assert {field.name for field in dataclasses.fields(FlowSettings)} == {*STORE, *CHANGE_NOTHING}
    assert {field.name for field in dataclasses.fields(Parameters)} == set(TVL1_OTHER)


@pytest.mark.parametrize("name", STORE)
def test_flow_is_made_anew_where_a_setting_that_changes_it_is_another(name: str) -> None:
    usual, other = FlowSettings("flow"), FlowSettings(**{"cue": "flow", name: STORE[name]})
    assert usual.fingerprint("1" * 64) != other.fingerprint("1" * 64)
    assert FlowSettings.from_json(other.to_json()) == other


def test_a_decoder_counts_where_it_gives_other_pixels() -> None:
    usual, other = FlowSettings("flow"), FlowSettings("flow", decoder="opencv")
    assert usual.fingerprint("1" * 64) == other.fingerprint("1" * 64)
    assert usual.fingerprint("1" * 64) != usual.fingerprint("1" * 64, decoded_by="opencv")


@pytest.fixture(scope="module")
def moved() -> tuple[np.ndarray, np.ndarray]:
    """Texture that turns and moves by some pixels, 48 x 64."""
    noise = np.random.default_rng(0).random((48, 64)).astype(np.float32)
    before = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    turned = cv2.getRotationMatrix2D((32, 24), 6, 1) + np.array([[0, 0, 2.5], [0, 0, -1.5]])
    return before, cv2.warpAffine(before, turned, (64, 48), borderMode=cv2.BORDER_REFLECT)


def test_every_parameter_of_tvl1_changes_the_flow(moved: tuple[np.ndarray, np.ndarray]) -> None:
    pytest.importorskip("numba", reason="the solver on CPUs needs the extra flow")
    usual = TVL1()(*moved)
    assert np.array_equal(TVL1()(*moved), usual)
    for name, value in TVL1_OTHER.items():
        assert not np.array_equal(TVL1(**{name: value})(*moved), usual), name


@pytest.mark.parametrize("cue", MOTIONS)
def test_what_a_store_holds_says_its_planes_and_their_type(cue: str) -> None:
    settings = FlowSettings(cue, short_side=32, crop=24, backend="opencv")
    motion = MOTIONS[settings.cue]
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)
    planes = motion.task(settings)(*(motion.prepare(frame, settings.geometry) for frame in frames))
    assert planes.shape == (motion.planes, 24, 24) and planes.dtype == motion.dtype(settings.codec)
    assert MOTIONS[cue].name == cue and settings.made_from["cue"] == cue
