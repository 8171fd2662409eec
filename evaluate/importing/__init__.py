"""Annotations as other programs and people write them: spreadsheets, ELAN, BORIS, VIA, CVAT, Label Studio."""
