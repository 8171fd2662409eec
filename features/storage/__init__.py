"""The feature store: clip grid, parts, index, shards, reading."""
