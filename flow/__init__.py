"""Pixels: frames of a video, TV-L1 optical flow, temporal gradients."""

import command.loading  # noqa: F401
