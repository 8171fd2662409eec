"""Annotation and detection files of every origin, read and written."""
