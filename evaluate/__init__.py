"""Answers: annotations, detections, mean average precision, diagnosis, reports. Imports no other room."""

import command.loading  # noqa: F401
