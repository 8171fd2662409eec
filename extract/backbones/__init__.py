"""Published and small video backbones: one file each, one dictionary."""
