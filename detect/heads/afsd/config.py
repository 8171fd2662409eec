"""What may be set about AFSD."""

from dataclasses import dataclass

from detect.windows import SampleRule


@dataclass(frozen=True)
class AFSDConfig:
    """Defaults are the published ones for THUMOS'14 unless a line says otherwise."""

    width: int = 512  # channels; 64 does for the small world
    length: int = 64  # steps of a sample, a multiple of 2^(levels - 1)
    every: int = 1  # 3: only each third step of the features is read, as OpenTAD does with THUMOS'14's
    overlap: float = 0.5  # of neighbouring windows
    training_overlap: float | None = None  # likewise in training, which sets how many samples of a video an epoch has
    resize: int | None = None  # steps that every video is resized to (ActivityNet: 96); None: as many as it has
    levels: int = 6
    frames: int = 4  # of the finer axis, to a step; 8 for ActivityNet
    groups: int = 32  # of channels normalised together
    tower: int = 2  # convolutions before the outputs
    unit: float = 0.25  # steps that a distance of 1 is: a frame
    unit_doubles: bool = False  # from level to level (ActivityNet)
    ranges: tuple[tuple[float, float], ...] | None = None  # steps to the farther boundary that each level tells
    min_iou: float = 0.5  # of a proposal that is refined; 0.6 for ActivityNet
    refine_best: bool = False  # in a sample where no proposal has it, the best (ActivityNet)
    smooth: bool = False  # refinement by a smooth L1 loss (ActivityNet)
    offset_weight: float = 10.0  # of either loss of boundaries beside those of classes; 1 for ActivityNet
    map_weight: float = 0.1  # of the losses of starts and ends in the first level, beside those in frames
    consistency_weight: float = 0.0  # of boundary consistency; 0.1 is the authors', OpenTAD leaves it out
    focal_alpha: float = 0.25  # of background; 1 - alpha of every class
    focal_gamma: float = 2.0
    min_score: float = 0.01  # candidates below are not decoded

    def __post_init__(self) -> None:
        if self.ranges is not None:  # lists, as read from JSON
            object.__setattr__(self, "ranges", tuple((float(low), float(high)) for low, high in self.ranges))
            if len(self.ranges) != self.levels:
                raise ValueError(f"AFSDConfig: ranges must be one for each of {self.levels} levels")
        if self.levels < 1 or self.tower < 0 or self.frames < 1:
            raise ValueError("AFSDConfig: levels and frames must be at least 1, tower at least 0")
        if self.length % 2 ** (self.levels - 1):
            multiple = 2 ** (self.levels - 1)
            raise ValueError(
                f"AFSDConfig: length {self.length} must be a multiple of {multiple} for {self.levels} levels"
            )
        if self.groups < 1 or self.width % (2 * self.groups):
            raise ValueError(f"AFSDConfig: width {self.width} must be a multiple of twice the groups {self.groups}")
        if not self.unit > 0:
            raise ValueError("AFSDConfig: unit must be positive")
        self.sample_rule  # noqa: B018  (refuses what is no number of steps)

    @property
    def sample_rule(self) -> SampleRule:
        return SampleRule(
            every=self.every,
            resize=self.resize,
            length=self.length,
            overlap=self.overlap,
            training_overlap=self.training_overlap,
        )
