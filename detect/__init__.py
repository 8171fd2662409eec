"""Tensors to detections: branches, fusion, heads, inference."""

import command.loading  # noqa: F401
