"""Training methods: one file each, one dictionary."""
