"""TV-L1 on the GPU: batches of pairs, in Triton kernels (flow.tvl1_cuda.kernels) with the pyramid in PyTorch.

    from flow.tvl1_cuda.solver import CudaTVL1
    flows = CudaTVL1("compat").solve(frames0, frames1)        # (B, H, W) gray twice -> (B, H, W, 2) float32, on the GPU

One launch is one inner iteration of the whole batch. An image that has converged leaves each launch at once, by reading
its own error: the host is not asked. The host runs one round of up to 30 iterations ahead of the GPU and learns only
whether anybody is left. Sums are added in a fixed order, so the same batch gives the same bits.

Under TRITON_INTERPRET=1 everything runs on the CPU, slowly: that is how it is tested where there is no GPU.
"""

import os
from collections.abc import Iterator

import numpy as np
import torch
import triton
from torch import Tensor

from flow.tvl1_common.frames import check_frames, to_gray_levels
from flow.tvl1_common.parameters import FlowError, choose_parameters
from flow.tvl1_common.pyramid import level_sizes, taps
from flow.tvl1_cuda import kernels, kernels_warp

BLOCK = 256  # pixels of a program of median and warp
FLAT = 1.1920929e-07  # as flow.tvl1_cpu.warp


class CudaTVL1:
    """Same call as `flow.solver.TVL1` for one pair; `solve` for many. Every iteration checks the stop: block is 1."""

    def __init__(self, preset: str = "compat", device: str | None = None, **parameters: float) -> None:
        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu" and not interpreted:
            raise FlowError("backend cuda: PyTorch sees no GPU here. Take --backend cpu")
        self.device = torch.device(device)
        self.parameters = choose_parameters(preset, parameters)
        self._taps: dict[tuple[int, int, float], tuple[Tensor, ...]] = {}  # on the device, for every size met so far

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """(H, W) twice -> (H, W, 2) float32."""
        return self.solve(np.asarray(frame0)[None], np.asarray(frame1)[None])[0].cpu().numpy()

    def solve(self, frames0: np.ndarray, frames1: np.ndarray) -> Tensor:
        """(B, H, W) gray twice -> (B, H, W, 2) float32 on the device."""
        p = self.parameters
        for frame0, frame1 in zip(frames0, frames1, strict=True):
            check_frames(frame0, frame1)
        _, height, width = frames0.shape
        sizes = level_sizes(height, width, p.scales, p.scale_step)
        pyramids = [list(self._pyramid(self._upload(frames), sizes)) for frames in (frames0, frames1)]
        flow = torch.zeros((len(frames0), 2, *sizes[-1]), device=self.device)
        for level in reversed(range(len(sizes))):
            if level < len(sizes) - 1:
                ratios = [coarse / fine for coarse, fine in zip(sizes[level + 1], sizes[level], strict=True)]
                flow = self._resize(flow, sizes[level], ratios) * (1.0 / p.scale_step)
            flow = self._solve_level(pyramids[0][level], pyramids[1][level], flow)
        return flow.permute(0, 2, 3, 1).contiguous()

    def _upload(self, frames: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack([to_gray_levels(frame, "frame") for frame in frames])).to(self.device)

    def _pyramid(self, frames: Tensor, sizes: list[tuple[int, int]]) -> Iterator[Tensor]:
        """(B, H, W) at each size, each from the one before."""
        ratio = 1.0 / self.parameters.scale_step
        yield frames
        for size in sizes[1:]:
            frames = self._resize(frames[:, None], size, [ratio, ratio])[:, 0]
            yield frames

    def _resize(self, pictures: Tensor, size: tuple[int, int], ratios: list[float]) -> Tensor:
        """(B, C, H, W) -> (B, C, *size), bilinear by OpenCV's rule, first along x and then along y."""
        for axis, to, ratio in ((3, size[1], ratios[1]), (2, size[0], ratios[0])):
            low, high, part = self._taps_of(pictures.shape[axis], to, ratio)
            part = part[:, None] if axis == 2 else part
            pictures = pictures.index_select(axis, low) * (1 - part) + pictures.index_select(axis, high) * part
        return pictures

    def _taps_of(self, from_size: int, to_size: int, ratio: float) -> tuple[Tensor, ...]:
        key = from_size, to_size, ratio
        if key not in self._taps:
            low, part = (torch.from_numpy(values).to(self.device) for values in taps(*key))
            self._taps[key] = low, (low + 1).clamp_max(from_size - 1), part
        return self._taps[key]

    def _solve_level(self, frame0: Tensor, frame1: Tensor, flow: Tensor) -> Tensor:
        """Improves flow (B, 2, H, W)."""
        p = self.parameters
        batch, height, width = frame0.shape
        state = torch.zeros((batch, 6, height, width), device=self.device)
        state[:, :2] = flow
        constants = torch.empty((batch, 4, height, width), device=self.device)
        picture = with_gradient(frame1)
        for _ in range(p.warps):
            grid = (triton.cdiv(height * width, BLOCK), batch)
            kernels_warp.warp[grid](frame0, picture, state, constants, height, width, FLAT=FLAT, BLOCK=BLOCK)
            state = self._iterate(state, constants)
        return state[:, :2].clone()

    def _iterate(self, state: Tensor, constants: Tensor) -> Tensor:
        """All inner iterations after one warp, in rounds that begin with a median."""
        p = self.parameters
        batch, _, height, width = state.shape
        goal = p.epsilon**2 * height * width
        other = torch.empty_like(state)
        active = torch.ones(batch, dtype=torch.int32, device=self.device)
        looks: list[tuple[Tensor, torch.cuda.Event | None]] = []
        for number in range(p.outer_iterations):
            if number >= 2 and not _anyone_left(*looks[number - 2]):
                break
            if p.median:
                median = torch.empty((batch, 2, height, width), device=self.device)
                grid = (triton.cdiv(height * width, BLOCK), 2 * batch)
                kernels.median[grid](state, median, active, height, width, BLOCK=BLOCK)
                state[:, :2] = median
            state = self._round(state, other, constants, active, goal)
            looks.append(_look(active))
        return state

    def _round(self, state: Tensor, other: Tensor, constants: Tensor, active: Tensor, goal: float) -> Tensor:
        """Up to inner_iterations; updates active."""
        p = self.parameters
        batch, _, height, width = state.shape
        strips = triton.cdiv(height, kernels.ROWS)
        shape = {"NUM_PARTS": strips, "PARTS": triton.next_power_of_2(strips)}
        partial = torch.zeros((batch, 2, strips), device=self.device)
        partial[:, 0] = torch.where(active > 0, float("inf"), 0.0)[:, None]
        count = torch.zeros(batch, dtype=torch.int32, device=self.device)
        lt, step_size = p.lambda_ * p.theta, p.tau / p.theta
        for number in range(p.inner_iterations):
            source, target = (state, other) if number % 2 == 0 else (other, state)
            kernels.iterate[(strips, batch)](
                source, target, constants, partial, count, number, goal, height, width, lt, p.theta, step_size,
                **shape, ROWS=kernels.ROWS, COLUMNS=triton.next_power_of_2(width),
            )  # fmt: skip
        kernels.judge[(batch,)](partial, p.inner_iterations % 2, active, goal, **shape)
        swapped = (count % 2 == 1)[:, None, None, None]
        return torch.where(swapped, other, state)


def with_gradient(frames: Tensor) -> Tensor:
    """(B, H, W) -> (B, 3, H, W): the picture and its centred differences, halved at the border too."""
    padded = torch.nn.functional.pad(frames[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_x = 0.5 * (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2])
    along_y = 0.5 * (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1])
    return torch.stack([frames, along_x, along_y], dim=1).contiguous()


def _look(active: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Begins to copy the flags to the host without waiting for them."""
    if active.device.type != "cuda":
        return active.clone(), None
    flags = torch.empty(active.shape, dtype=active.dtype, pin_memory=True)
    flags.copy_(active, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return flags, copied


def _anyone_left(flags: Tensor, copied: torch.cuda.Event | None) -> bool:
    if copied is not None:
        copied.synchronize()  # of the round before the one that the GPU is busy with: it does not run dry
    return bool(flags.any())
