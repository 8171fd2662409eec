"""The same world on every processor with AVX2: one machine plays several by switching off what its own can do.

Without AVX2, OpenCV rounds some pixels the other way, so that nothing is claimed for such processors.
"""

import hashlib
import io
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from extract.world import film
from extract.world.scene import render
from extract.world.untrimmed import FPS
from extract.world.worlds import PRESETS

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 60
LESSER_PROCESSORS = {  # environment switches of NumPy's and OpenCV's own dispatch
    "NumPy without AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    "NumPy without AVX-512": {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
    "OpenCV without AVX-512": {"OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL"},
    "OpenCV without its own kernels": {"OPENCV_IPP": "disabled"},
}


def digests() -> str:
    """Hashes of the pictures and of the file of a video's beginning."""
    frames = list(islice(render(PRESETS["tiny"].story("training_0000").scene), FRAMES))
    pictures = hashlib.sha256(np.stack(frames).tobytes()).hexdigest()
    return f"{pictures} {encoded(frames)}"


def encoded(frames: list[np.ndarray], **options: str) -> str:
    """The hash of these frames as a film."""
    target = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "OPTIONS", {**film.OPTIONS, **options})
        film.encode(iter(frames), target, FPS)
    return hashlib.sha256(target.getvalue()).hexdigest()


def test_the_same_frames_give_the_same_bytes_every_time_with_every_instruction_set() -> None:
    """libx264's macroblock tree gave other bytes from run to run with AVX-512, and is left out."""
    frames = list(islice(render(PRESETS["tiny"].story("training_0000").scene), FRAMES))
    often = {encoded(frames) for _ in range(8)}
    parameters = film.OPTIONS["x264-params"]
    for asm in ("SSE4.2", "AVX2", "AVX512"):  # those that the processor lacks are left out by libx264
        often |= {encoded(frames, **{"x264-params": f"{parameters}:asm={asm}"}) for _ in range(2)}
    assert len(often) == 1


@pytest.mark.parametrize("switches", LESSER_PROCESSORS.values(), ids=LESSER_PROCESSORS)
def test_a_lesser_processor_renders_the_same_pictures_and_files(switches: dict[str, str]) -> None:
    code = "import sys; sys.path[:0] = ['.', 'tests/extract']; import test_world_everywhere as w; print(w.digests())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, **switches},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == digests()
