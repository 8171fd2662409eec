"""When the frames of a video are shown, told without decoding them."""

from importlib import import_module

import numpy as np

from flow.decode.video import DECODERS, VideoInfo


def frame_times(info: VideoInfo) -> np.ndarray:
    """Seconds (N,) of the frames that read_frames gives, by the packets; evenly spread where these do not tell."""
    times = getattr(import_module(DECODERS[info.decoder]), "times", None) if info.is_vfr else None
    found = None if times is None else times(info.path)
    return np.arange(info.num_frames) / info.fps if found is None else np.asarray(found[: info.num_frames])
