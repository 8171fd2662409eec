"""Clips, backbones and the small synthetic world: from pixels to features."""

import command.loading  # noqa: F401
