"""The GPU's solver against the CPU's: in Triton's interpreter, and on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import texture, write_video

import flow.pipeline.store
from flow.solver import TVL1, make_solver
from flow.tvl1_common.parameters import FlowError

INTERPRETED = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
from pictures import texture, write_video
from flow.solver import TVL1
from flow.tvl1_cuda.solver import CudaTVL1

few = dict(scales=2, warps=1, outer_iterations=1, inner_iterations=3)
moving, still = (texture(20, 21), texture(20, 21, 1, 0)), (texture(20, 21), texture(20, 21))
batch = CudaTVL1("exact", device="cpu", **few).solve(*(np.stack(frames) for frames in zip(moving, still))).numpy()
solve = TVL1("exact", **few)
for flow, pair in zip(batch, (moving, still)):
    print(np.abs(flow - solve(*pair)).max(), np.abs(solve(*pair)).max())
print(solve.iterations)
"""


def test_the_kernels_give_the_cpus_flow_in_tritons_interpreter() -> None:
    program = INTERPRETED.format(folder=str(Path(__file__).parent))
    settings = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    moving, still, _ = answer.stdout.splitlines()
    difference, largest = map(float, moving.split())
    assert largest > 0.3
    assert difference < 1e-3
    assert still == "0.0 0.0"  # it converged at once, and its neighbour in the batch did not move it


@pytest.mark.slow
def test_the_command_with_the_kernels_in_the_interpreter_gives_the_flow_of_the_cpus_command(tmp_path: Path) -> None:
    videos = [str(write_video(tmp_path / f"{name}.mkv", frames, 16, 20)) for name, frames in (("v", 4), ("w", 3))]
    few = ["--preset", "exact", "--warps", "1", "--outer-iterations", "1", "--inner-iterations", "2"]
    for backend in ("cuda", "cpu"):
        command = [sys.executable, "-m", "flow.tvl1", "--videos", *videos, "--out", str(tmp_path / f"{backend}.h5")]
        command += ["--backend", backend, "--size", "16", "--crop", "16", *few]
        environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, capture_output=True, check=True)
    for video in ("v", "w"):
        ours, reference = (flow.pipeline.store.open(tmp_path / f"{name}.h5").read(video) for name in ("cuda", "cpu"))
        assert np.abs(ours.astype(int) - reference).max() <= 1  # a step of the quantiser
        assert reference.std() > 0
    assert flow.pipeline.store.open(tmp_path / "cuda.h5").attributes("v")["solver"] == "tvl1-cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_the_cuda_backend_says_what_to_take() -> None:
    with pytest.raises(FlowError, match="--backend cpu"):
        make_solver("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_gpu_gives_the_cpus_flow_and_the_same_bits_twice() -> None:
    from flow.tvl1_cuda.solver import CudaTVL1

    frames0 = np.stack([texture(72, 100, k) for k in range(8)])
    frames1 = np.stack([texture(72, 100, k + 2, k - 4) for k in range(8)])
    solve = CudaTVL1("exact")
    flows = solve.solve(frames0, frames1).cpu().numpy()
    again = solve.solve(frames0, frames1).cpu().numpy()
    assert np.array_equal(flows, again)
    errors = [np.linalg.norm(flow - TVL1("exact")(a, b), axis=-1).mean() for flow, a, b in zip(flows, frames0, frames1)]  # noqa: B905
    assert np.mean(errors) < 0.02
