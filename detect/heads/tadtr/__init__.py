"""TadTR: the head, the transformer under it, its matching."""
