"""Suppression: of many candidates that mean the same action, keep the best."""

from dataclasses import dataclass

KINDS = ("gaussian", "linear", "hard", "none")


@dataclass(frozen=True)
class Suppression:
    """How candidates of one class that repeat one another are thinned out.

    Defaults are ActionFormer's for THUMOS'14.
    """

    kind: str = "gaussian"
    sigma: float = 0.5  # gaussian: scores decay by exp(-IoU² / sigma)
    iou: float = 0.5  # linear, hard: overlap from which a candidate is decayed, or dropped
    min_score: float = 0.001  # dropped below
    max_per_video: int = 200
    voting: float | None = (
        None  # overlap from which suppressed candidates still have a say in the segment; None: none has
    )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Suppression: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.sigma <= 0 or self.max_per_video < 1 or self.min_score < 0:
            raise ValueError("Suppression: sigma and max_per_video must be positive, min_score at least 0")
