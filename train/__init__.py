"""Training: datasets, methods, the frozen motion teacher, one loop."""
