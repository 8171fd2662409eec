"""Training: datasets, methods, the frozen motion teacher, one loop."""

import command.loading  # noqa: F401
