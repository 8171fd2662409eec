"""Clips, backbones and the small synthetic world: from pixels to features."""
