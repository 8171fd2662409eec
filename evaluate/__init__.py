"""Answers: annotations, detections, mean average precision, diagnosis, reports. Imports no other room."""
