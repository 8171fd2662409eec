"""ActionFormer: the head, and the transformer under it."""
