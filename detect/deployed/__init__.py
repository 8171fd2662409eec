"""Detectors as files of ONNX: written and checked, run."""
