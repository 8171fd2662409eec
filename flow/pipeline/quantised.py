"""Pixels of flow as bytes: how much is lost, and nothing else changes."""

import numpy as np

BOUND = 20.0  # px


def quantise(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Pixels -> uint8, any shape."""
    scaled = (np.clip(flow, -bound, bound) + np.float32(bound)) * np.float32(255.0 / (2 * bound))
    return np.rint(scaled).astype(np.uint8)


def dequantise(values: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """uint8 -> pixels, float32."""
    return values.astype(np.float32) * np.float32(2 * bound / 255.0) - np.float32(bound)
