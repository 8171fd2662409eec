"""Detectors at work: as files of ONNX, and in several processes."""
