"""Answers: annotations, detections, mean average precision, diagnosis, reports. Imports only command."""

import command.loading  # noqa: F401
