"""Tensors to detections: branches, fusion, heads, inference."""
