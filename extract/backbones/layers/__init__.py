"""Layers of backbones that torch does not have, or has slower."""
