"""G-TAD: the head, its graph over steps, its alignment of every segment, what it learns from."""
