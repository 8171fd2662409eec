"""Videos: which ones, what they say about themselves, and their frames."""
