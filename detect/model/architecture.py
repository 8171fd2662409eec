"""The architecture of a detector around its head, told once: to train it, and to load it."""

from dataclasses import dataclass

WIDEST, DEEPEST = 2**16, 64  # channels and convolutions of a branch; more is a slip of the keyboard


@dataclass(frozen=True)
class Architecture:
    """Branches and head of a detector; ValueError for one that cannot be."""

    head: str = "actionformer"
    width: int = 512  # channels D of a branch, and of the head unless its own settings say otherwise
    projection_depth: int = 2  # convolutions between the features and a branch; ActionFormer's embedding has 2
    dropout: float = 0.0  # share of whole input channels silenced; OpenTAD gains with 0.2
    normalise: bool = False  # features to mean 0 and deviation 1 per channel, by statistics of the training videos

    def __post_init__(self) -> None:
        for name, most in (("width", WIDEST), ("projection_depth", DEEPEST)):
            value = getattr(self, name)
            if value <= 0:
                raise ValueError(f"model.{name} = {value}: expected a value above zero")
            if value > most:
                raise ValueError(f"model.{name} = {value}: expected at most {most:,}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"model.dropout = {self.dropout}: expected a share in [0, 1)")
