"""The parameters of TV-L1 and their presets, the same for every backend."""

from dataclasses import dataclass, replace

from command.errors import FlowlessError


class FlowError(FlowlessError):
    """Frames or parameters that no flow can be computed from, or a backend that is not there."""


@dataclass(frozen=True)
class Parameters:
    """Names after Zach et al. 2007 and Sanchez et al. 2013; defaults are those of OpenCV's DualTVL1OpticalFlow."""

    tau: float = 0.25  # step of the dual update; above 0.25 the iteration diverges
    lambda_: float = 0.15  # weight of the data term; larger follows the pictures closer
    theta: float = 0.3  # how tightly u and v are coupled
    scales: int = 5  # levels of the pyramid, the full size included; fewer where a level would be under 16 pixels
    scale_step: float = 0.8  # size of a level over the next finer one
    warps: int = 5  # linearisations per level
    epsilon: float = 0.01  # px: iterations stop when u changes less, in the root mean square
    inner_iterations: int = 30  # at most, between two medians
    outer_iterations: int = 10  # at most, per warp; each begins with a median
    median: bool = True  # 5x5 median of the flow
    block: int = 2  # inner iterations between two looks at the change of u; 1 stops exactly where OpenCV does

    def __post_init__(self) -> None:
        """Refuses what cannot work."""
        checks = {
            "tau": 0 < self.tau <= 0.25,
            "lambda_": self.lambda_ > 0,
            "theta": self.theta > 0,
            "scales": self.scales >= 1,
            "scale_step": 0 < self.scale_step < 1,
            "warps": self.warps >= 1,
            "epsilon": self.epsilon >= 0,
            "inner_iterations": self.inner_iterations >= 1,
            "outer_iterations": self.outer_iterations >= 1,
            "block": 1 <= self.block <= 64,
        }
        wrong = [f"{name}={getattr(self, name)}" for name, fine in checks.items() if not fine]
        if wrong:
            raise FlowError(f"TV-L1: {', '.join(wrong)} cannot work (tau lies in (0, 0.25], scale_step in (0, 1), "
                            "counts are at least 1, block at most 64)")  # fmt: skip


PRESETS = {
    "exact": Parameters(block=1),  # stops just where OpenCV does: EPE to it .012 px, its own noise
    "compat": Parameters(),  # a few per cent faster; EPE to OpenCV .019 px where exact has .012
    "fast": Parameters(scale_step=0.65, scales=6, warps=3),  # a deeper pyramid: half the work, and large motion found
}


def choose_parameters(preset: str, changes: dict[str, float]) -> Parameters:
    """A preset with some values replaced."""
    if preset not in PRESETS:
        raise FlowError(f"TV-L1: no preset {preset!r}; there are {', '.join(PRESETS)}")
    try:
        return replace(PRESETS[preset], **changes)  # type: ignore[arg-type]
    except TypeError as error:
        names = ", ".join(Parameters.__dataclass_fields__)
        raise FlowError(f"TV-L1: {sorted(changes)}: no such parameter; there are {names}") from error
