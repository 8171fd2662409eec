"""Detectors put to work: on video files, and as files of ONNX. Both see what comes before a detector."""
