"""Detection heads: one file each, one dictionary."""
