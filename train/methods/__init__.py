"""The training methods by name."""

from train.methods.augmented_rgb import AugmentedRGB
from train.methods.base import Method
from train.methods.decomposed import Decomposed
from train.methods.direct import Direct
from train.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {
    "supervised": Supervised,
    "direct": Direct,
    "decomposed": Decomposed,
    "augmented_rgb": AugmentedRGB,
}
