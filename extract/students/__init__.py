"""Motion students: RGB networks that learn what a motion network says of a clip."""
