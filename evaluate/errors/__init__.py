"""What kinds of mistakes a run makes, and how two runs differ."""
