"""Weights that ship with the package: the small backbone of the synthetic world."""
