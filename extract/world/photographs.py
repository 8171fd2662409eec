"""Photographs behind the scenes: the few that ship inside the scikit-image and scikit-learn wheels."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from command.errors import FlowlessError

# Both packages know more photographs by name, but would download those while running. These lie on the disk.
SKIMAGE = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
SKLEARN = ("china.jpg", "flower.jpg")
SHORT_SIDE = 320  # pixels; a 128-pixel scene then shows about a fifth of a photograph


class WorldError(FlowlessError):
    """The synthetic world cannot be made as asked."""


@lru_cache(maxsize=1)
def photographs() -> tuple[NDArray[np.uint8], ...]:
    """All photographs, RGB uint8 (H, W, 3) with a short side of 320 pixels, always in the same order."""
    skimage, sklearn = _folder("skimage", "data"), _folder("sklearn", "datasets/images")
    paths = [skimage / name for name in SKIMAGE] + [sklearn / name for name in SKLEARN]
    return tuple(_read(path) for path in paths)


def cut_out(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A random square (size, size, 3) out of a random photograph."""
    album = photographs()
    photograph = album[rng.integers(len(album))]
    top, left = (int(rng.integers(extent - size + 1)) for extent in photograph.shape[:2])
    return photograph[top : top + size, left : left + size].astype(np.float32)


def _folder(package: str, below: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
        raise WorldError(
            f"{name} is not installed, and its photographs are the scenery of the synthetic world: "
            "install the extra, pip install 'flowless[world]'"
        )
    return Path(spec.submodule_search_locations[0]) / below


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise WorldError(
            f"{path}: no readable photograph here, but the scikit-image and scikit-learn wheels carry it. "
            "Install both from their wheels: pip install --force-reinstall scikit-image scikit-learn"
        )
    height, width = image.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1], np.uint8)
