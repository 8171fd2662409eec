"""Small videos for the tests of detection."""

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, num_frames: int = 80, seed: int = 0, noise: bool = False) -> Path:
    """Texture that drifts, 80 x 64 at 20 frames a second."""
    texture = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    image = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for index in range(num_frames):
            if noise:  # does not compress
                image = np.random.default_rng(index).integers(0, 256, image.shape, dtype=np.uint8)
            shifted = np.ascontiguousarray(np.roll(image, index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        container.mux(stream.encode(None))
    return path
