"""The report: its findings, charts, timelines and page."""
